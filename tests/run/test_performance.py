"""Figures of a run that depend on its machine."""

from types import SimpleNamespace

import jax
import pytest

from cnn_jax.config.parsing import parse
from cnn_jax.run import performance as performances
from cnn_jax.run.performance import performance
from cnn_jax.run.records import Percentiles


def device(kind, peak_bytes):
    return SimpleNamespace(device_kind=kind, memory_stats=lambda: {"peak_bytes_in_use": peak_bytes})


def test_the_share_counts_all_devices(monkeypatch):
    monkeypatch.setattr(performances.chips, "peak", lambda experiment, kind: {"some chip": 1e12}[kind])
    step_seconds = Percentiles(p50=0.1, p90=0.2, p99=0.3)
    devices = [device("some chip", 5), device("some chip", 7)]  # of this process; another has two more
    found = performance(parse({}), 2_000_000_000, 500.0, step_seconds, devices, 4)
    # 2 GFLOP an image, 500 images a second, of 4 TFLOP/s.
    assert (found.peak_flops, found.mfu) == (4e12, pytest.approx(0.25))
    assert (found.step_seconds, found.device_peak_bytes) == (step_seconds, 7)


def test_a_cpu_has_neither_peak_nor_memory_of_its_own():
    block = bytearray(b"1") * 50_000_000
    found = performance(parse({}), 1, 1.0, None, jax.local_devices(), 1)
    assert (found.peak_flops, found.mfu, found.device_peak_bytes) == (None, None, None)
    assert found.process_peak_bytes > len(block)
