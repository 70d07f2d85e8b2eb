"""Rows as CSV, read back by the standard library."""

import csv
import io

from cnn_jax.inspect.table import as_csv


def test_rows():
    rows = [{"layer": "a, b", "value": 0.5, "share": None}, {"layer": 'a "c"', "value": 2, "share": 1.0}]
    text = as_csv(rows)
    assert text.startswith("layer,value,share\n")
    assert list(csv.DictReader(io.StringIO(text))) == [
        {"layer": "a, b", "value": "0.5", "share": ""},
        {"layer": 'a "c"', "value": "2", "share": "1.0"},
    ]
