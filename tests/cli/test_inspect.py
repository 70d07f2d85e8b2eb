"""The flags of `inspect`."""

from pathlib import Path

import pytest

from cnn_jax.cli import main
from cnn_jax.config.parsing import ConfigError
from cnn_jax.inspect.inspect_request import InspectRequest


def parse(words):
    """The request of a command line."""
    return main.parse(words)[1]


def test_the_standard_choice():
    request = parse(["inspect", "--workdir=run"])
    assert request.inspection == InspectRequest()
    assert (request.workdir, request.images) == (Path("run"), ())


def test_all_flags():
    words = [
        *("--layers=conv1, conv2/activation", "--layers=conv1", "--channels=3,0", "--channels=3"),
        *("--classes=tench, Tinca tinca", "--classes=7", "--sections=fields,maps", "--scale=method"),
        *("--test_images=12", "--target=out", "--images=a.png", "--config.data.folder=elsewhere"),
    ]
    request = parse(["inspect", "--workdir=run", *words])
    assert request.inspection == InspectRequest(
        layers=("conv1", "conv2/activation"),
        channels=(3, 0),
        classes=("tench, Tinca tinca", "7"),
        sections=("maps", "fields"),
        scale="method",
        test_images=12,
        target=Path("out"),
    )
    assert (request.images, request.moved) == ((Path("a.png"),), {"folder": "elsewhere"})
    assert parse(["inspect", "--workdir=run", "--test_images=all"]).inspection.test_images == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--workdir=run --channels=1,x", "--channels: got 'x', expected numbers"),
        ("--workdir=run --channels=-1", "--channels: got '-1', expected numbers"),
        ("--workdir=run --sections=map", "--sections: got 'map', expected some of: kernels, maps, patches"),
        ("--workdir=run --test_images=0", "--test_images: got '0', expected a number from 1, or all"),
        ("--workdir=run --scale=shared", "--scale: "),
        ("--workdir=run --layers=", "--layers: empty"),
        ("--layers=conv1", "--workdir: inspect needs it"),
        ("--workdir=run --filter=blur", "--filter: not a flag of inspect"),
    ],
)
def test_refused(words, message):
    with pytest.raises(ConfigError) as refused:
        parse(["inspect", *words.split()])
    assert any(fault.startswith(message) for fault in refused.value.faults)
