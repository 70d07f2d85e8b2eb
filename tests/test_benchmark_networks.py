"""What `make bench` counts for a training image, against published counts."""

import pytest

from benchmarks.networks import NETWORKS


def test_the_cost_of_the_lectures_network_by_hand():
    # maps of 26x26, 11x11 and 3x3; the image's own gradient is left out
    first, others = 26**2 * 9 * 32, 11**2 * 9 * 32 * 64 + 3**2 * 9 * 64 * 64 + 576 * 64 + 64 * 10
    assert NETWORKS["cnn"].training_flop() == 2 * (2 * first + 3 * others)


@pytest.mark.parametrize(
    ("name", "forward", "first"),
    [
        # giga multiply-adds that torchvision publishes with its weights; of the first convolution by hand
        ("alexnet", 0.714, 55**2 * 11**2 * 3 * 64),
        ("googlenet", 1.498, 112**2 * 7**2 * 3 * 64),
        ("resnet50", 4.089, 112**2 * 7**2 * 3 * 64),
    ],
)
def test_the_cost_of_torchvisions_networks(name, forward, first):
    flop = NETWORKS[name].training_flop()
    assert (flop / 2 + first) / 3 == pytest.approx(forward * 1e9, abs=0.5e6)  # three published decimals
