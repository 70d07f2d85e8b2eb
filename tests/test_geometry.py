"""The layer table against the lecture's."""

import csv
import json

import jax
import pytest
from rich.console import Console

from cnn_jax import geometry, models
from cnn_jax.config import Cnn
from cnn_jax.ops import GeometryError


def test_the_lectures_table():
    summary = geometry.summarize(Cnn(), (28, 28, 1), 10)
    assert [(row.output_shape, row.parameters) for row in summary.layers] == [
        ((26, 26, 32), 320),
        ((13, 13, 32), 0),
        ((11, 11, 64), 18496),
        ((5, 5, 64), 0),
        ((3, 3, 64), 36928),
        ((576,), 0),
        ((64,), 36928),
        ((10,), 650),
    ]
    assert summary.parameters == 93322
    assert sum(row.parameters for row in summary.layers[:5]) == 55744


@pytest.mark.parametrize(
    "config",
    [
        Cnn(features=(4, 6), kernel_size=(5, (1, 3)), strides=(2, 1), padding=("SAME", 1), pooling=("avg", "none")),
        Cnn(features=(3,), pooling="min", pool_window=3, pool_strides=1, pool_padding="SAME", dense=(), dropout=0.0),
        Cnn(features=(4,), pooling="none", dense=(8, 5), dropout=0.5),
    ],
)
def test_the_table_counts_what_the_network_has(config):
    summary = geometry.summarize(config, (17, 14, 3), 7)
    model = models.create(config, 7)
    variables = model.init(jax.random.key(0), (17, 14, 3))
    assert summary.parameters == sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    for before, after in zip(summary.layers[1:], summary.layers, strict=False):
        assert before.input_shape == after.output_shape


def test_resolved_padding_is_shown():
    first = geometry.summarize(Cnn(padding="SAME", strides=2, pooling="none"), (28, 28, 1), 10).layers[0]
    assert (first.padding, first.pads) == ("SAME", ((0, 1), (0, 1)))


def test_a_collapse_names_the_layer_and_a_way_out():
    with pytest.raises(GeometryError, match=r"layer conv3, input 5x5x64: a window of 9 .* at most 5"):
        geometry.summarize(Cnn(kernel_size=(3, 3, 9)), (28, 28, 1), 10)
    with pytest.raises(GeometryError, match=r"layer pool2, input 1x1x64"):
        geometry.summarize(Cnn(), (9, 9, 1), 10)


def test_json_csv_and_terminal_hold_the_same():
    summary = geometry.summarize(Cnn(), (28, 28, 1), 10)
    from_json = json.loads(geometry.as_json(summary))
    from_csv = list(csv.DictReader(geometry.as_csv(summary).splitlines()))
    assert from_json["parameters"] == 93322
    assert [row["parameters"] for row in from_json["layers"]] == [int(row["parameters"]) for row in from_csv]
    assert from_csv[0]["output_shape"] == "26x26x32"
    console = Console(width=120)
    with console.capture() as capture:
        console.print(geometry.as_table(summary))
    text = capture.get()
    assert "26x26x32" in text
    assert "Total parameters: 93,322" in text
