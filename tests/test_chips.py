"""Peaks of accelerators by the arithmetic of an experiment."""

import pytest

from cnn_jax import chips
from cnn_jax.chips import peak
from cnn_jax.config.parsing import parse


@pytest.mark.parametrize(
    ("device", "compute", "precision", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", "bfloat16", None, 989),
        ("NVIDIA H100 80GB HBM3", "float32", None, 495),
        ("NVIDIA H100 80GB HBM3", "float32", "highest", 67),
        ("NVIDIA H100 80GB HBM3", "bfloat16", "highest", 989),
        ("NVIDIA A100-SXM4-80GB", "float32", "tensorfloat32", 156),
        ("Tesla T4", "float32", None, 8.1),
        ("Tesla T4", "bfloat16", None, 8.1),
        ("TPU v5 lite", "bfloat16", None, 197),
        ("TPU v4", "float32", "highest", 275),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "float32", None, None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "float32", None, None),
        ("cpu", "float32", None, None),
    ],
)
def test_the_arithmetic_decides(device, compute, precision, tera):
    experiment = parse({"model": {"compute": compute}, "train": {"matmul_precision": precision}})
    assert peak(experiment, device) == (tera and pytest.approx(tera * 1e12))


@pytest.mark.parametrize(
    ("kind", "refused"), [("Tesla T4", True), ("NVIDIA L4", False), ("TPU v5e", False), ("cpu", False)]
)
def test_bfloat16_is_refused_where_there_is_none(kind, refused):
    fault = chips.arithmetic_fault(parse({"model": {"compute": "bfloat16"}}), kind)
    assert (fault is not None) == refused
    assert chips.arithmetic_fault(parse({}), kind) is None
