"""Peaks of accelerators, and the share that a training makes of them."""

import jax
import pytest

from cnn_jax.config_parse import parse
from cnn_jax.train import performance
from cnn_jax.train.peaks import peak


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


def test_the_share_counts_all_devices(monkeypatch):
    monkeypatch.setattr(performance, "peak", lambda experiment, kind: {jax.devices()[0].device_kind: 1e12}[kind])
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    found = performance.performance(parse({}), 2_000_000_000, 500.0, {"p50": 0.1})
    # 2 GFLOP an image, 500 images a second, of 4 TFLOP/s.
    assert (found["peak_flops"], found["peak_share"]) == (4e12, pytest.approx(0.25))
    assert found["step_seconds"] == {"p50": 0.1}


def test_a_cpu_has_neither_peak_nor_memory_of_its_own():
    block = bytearray(b"1") * 50_000_000
    found = performance.performance(parse({}), 1, 1.0, None)
    assert (found["peak_flops"], found["peak_share"], found["device_peak_bytes"]) == (None, None, None)
    assert found["process_peak_bytes"] > len(block)
