"""The roofline by hand: 6.17 TFLOP and 82.7 GB of 256 images on a v5e take 101 ms, bound by the memory."""

import pytest

from cnn_jax.aot import roofline
from cnn_jax.chips import TPUS, Chip, of_kind


def test_bound_by_memory():
    line = roofline.estimate(TPUS["v5e"], 6.17e12, 82.7e9, 6.0e12, 256)
    assert line.bound == "memory"
    assert line.seconds == pytest.approx(82.7 / 819)
    assert line.images_per_second == pytest.approx(256 * 819 / 82.7)
    # 6 TFLOP in 101 ms are 59.4 TFLOP/s of 197
    assert line.utilisation == pytest.approx(6.0 / (82.7 / 819 * 197))
    assert line.utilisation == pytest.approx(0.302, abs=5e-4)


def test_bound_by_arithmetic():
    chip = Chip("one", (), 10.0, None, None, bandwidth=5.0, memory=1, matrix_unit=None, devices=1, source="")
    line = roofline.estimate(chip, flops=40.0, traffic=10.0, model_flops=30.0, images=8)
    assert (line.bound, line.seconds, line.images_per_second, line.utilisation) == ("arithmetic", 4.0, 2.0, 0.75)


def test_gpus_are_told_by_the_name_of_their_driver():
    assert of_kind("NVIDIA A100-SXM4-80GB").bandwidth == 2039e9
    assert of_kind("NVIDIA H100 80GB HBM3").flops == 989e12
    assert (of_kind("NVIDIA L4").flops, of_kind("NVIDIA L40S").flops) == (121e12, 362e12)
    assert of_kind("NVIDIA GeForce RTX 3060") is None
