"""Batches and table of the export checks."""

import numpy as np
import pytest

from scripts.export_checks.check import batches_of
from scripts.export_checks.table import table


@pytest.mark.parametrize(
    ("images", "sizes"),
    [(9, {1, 7}), (508, {1, 7, 500}), (509, {1, 7, 500}), (1_000, {1, 7, 500}), (10_000, {1, 7, 500})],
)
def test_batches_hold_every_image_in_three_sizes(images, sizes):
    numbers = np.arange(images)
    parts = [numbers[part] for part in batches_of(images)]
    assert np.array_equal(np.unique(np.concatenate(parts)), numbers)
    assert {len(part) for part in parts} == sizes


def result(version, difference, **figures):
    found = {"difference": difference, "other_classes": 0}
    lesser = {"difference": difference / 2, "other_classes": 0}
    return {
        "network": "alexnet",
        "version": version,
        "side": 64,
        "images": 10_000,
        "faults": [],
        "ONNX": lesser,
        "StableHLO": found,
    } | figures


def test_table_has_the_larger_difference_and_says_what_is_not_of_the_row():
    lines = table(
        [
            result("own", 1e-6),
            result("VALID", 2e-6, side=192, images=508, faults=["ONNX: 3 transposes, not 1"]),
            result("CIRCULAR", 3e-6, ONNX={"difference": 4e-6, "other_classes": 2}),
            {"network": "alexnet", "version": "REFLECT", "illegal": "a window exceeds its input"},
            result("TORCH, group norm", 5e-7, images=1_000),
            result("TORCH, layer norm", 6e-7, images=1_000),
        ]
    ).splitlines()
    names = [each.strip() for each in lines[0].split("|")]
    row = next(line for line in lines if "`alexnet`" in line)
    cells = dict(zip(names, (each.strip() for each in row.split("|")), strict=True))
    assert {
        name: cells[name] for name in ("pixels", "own", "VALID", "CIRCULAR", "REFLECT", "TORCH", "combinations")
    } == {
        "pixels": "64",
        "own": "1.0e-06",
        "VALID": "2.0e-06 (508 images, 192 pixels, ONNX: 3 transposes, not 1)",
        "CIRCULAR": "4.0e-06 (2 other classes)",
        "REFLECT": "not legal",
        "TORCH": "",
        "combinations": "6.0e-07 (2 versions, 1,000 images)",
    }
