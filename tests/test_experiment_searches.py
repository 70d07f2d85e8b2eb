"""The searches among the experiment files: sound, at the stated cost, and refused with what does not go with them."""

import itertools
import random
import runpy
import types
from pathlib import Path

import pytest

from cnn_jax import geometry
from cnn_jax.config import parsing
from cnn_jax.config.parsing import ConfigError
from cnn_jax.ops import GeometryError
from cnn_jax.sweep.search import plan

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
RECIPE, DOWNSAMPLING = EXPERIMENTS / "recipe_search.py", EXPERIMENTS / "downsampling_search.py"
WITHOUT_OPTUNA = {"sampler": "random"}


@pytest.fixture(scope="module")
def downsampling():
    """Names of the experiment file."""
    return types.SimpleNamespace(**runpy.run_path(str(DOWNSAMPLING)))


def read(file, overrides=None, changes=None):
    return plan.read(file, overrides or {}, {**WITHOUT_OPTUNA, **(changes or {})})


def test_the_recipes_halving_and_its_rival_cost_the_same():
    rival = read(RECIPE, changes={"sampler": "halton", "trials": 12, "stopping": None})
    halved = read(RECIPE)
    assert halved.budget == rival.budget == 12 * 5
    assert {bracket.sizes for bracket in halved.brackets} == {(6, 3, 1)}
    assert {bracket.epochs for bracket in halved.brackets} == {(1, 2, 5)}
    assert len(halved.brackets) == 5


def test_the_textbooks_network_fills_the_budget(downsampling):
    point = {"stage1": "max 2", "stage2": "max 2", "stage3": "none", "padding": "VALID"}
    network = downsampling.network(point)
    assert network["features"] == (8, 16, 16)
    # 26x26 maps of 8 kernels of 3x3x1, 11x11 of 16 of 3x3x8, 3x3 of 16 of 3x3x16, then 3*3*16 x 64 and 64 x 10.
    assert downsampling.BUDGET == 26**2 * 9 * 8 + 11**2 * 9 * 8 * 16 + 3**2 * 9 * 16 * 16 + 144 * 64 + 640
    assert downsampling.multiply_adds(point, 16) == downsampling.BUDGET


def test_the_cost_of_a_point_is_that_of_its_network(downsampling):
    space = read(DOWNSAMPLING).search.space
    points = [
        dict(zip(space, values, strict=True)) for values in itertools.product(*(each.values for each in space.values()))
    ]
    assert len(points) == 5 * 5 * 5 * 4
    some, collapsed = random.Random(0).sample(points, 30), 0
    overlapping = dict.fromkeys(downsampling.STAGES, "max 3, stride 2")
    for point in [*some, {**overlapping, "padding": "VALID"}]:
        network = downsampling.network(point)
        told = downsampling.multiply_adds(point, network["features"][1])
        model = parsing.parse({"model": network}).model
        try:
            assert geometry.summarize(model, (28, 28, 1), 10).multiply_adds == told, point
        except GeometryError:
            assert told == 0
            collapsed += 1
    assert collapsed == 1  # the windows of 3 no longer fit the third map, of 2 pixels


def test_every_network_is_the_widest_within_the_budget(downsampling):
    point = {"stage1": "stride 2", "stage2": "stride 2", "stage3": "none", "padding": "SAME"}
    width = downsampling.network(point)["features"][1]
    assert (
        downsampling.multiply_adds(point, width) <= downsampling.BUDGET < downsampling.multiply_adds(point, width + 1)
    )
    whole = dict.fromkeys(downsampling.STAGES, "none") | {"padding": "SAME"}
    width = downsampling.network(whole)["features"][1]
    assert (width, downsampling.multiply_adds(whole, width) > downsampling.BUDGET) == (downsampling.LEAST_WIDTH, True)


@pytest.mark.parametrize(
    ("file", "overrides", "message"),
    [
        (RECIPE, {"data.validation_fraction": 0}, "decides by validation images"),
        (RECIPE, {"train.epochs": 1}, "train.epochs=1 has no rung but the last"),
        (RECIPE, {"model.features": (8, 8, 8)}, "--config.model.features: the search varies model.features"),
        (RECIPE, {"augment.flip": True}, "--config.augment.flip: the search varies augment"),
        (RECIPE, {"model.name": "lenet5"}, "config.model.pooling: got"),
        (DOWNSAMPLING, {"model.padding": "SAME"}, "--config.model.padding: the search varies model"),
        (DOWNSAMPLING, {"train.eval_every_epochs": 2}, "nothing is measured after epochs 1"),
    ],
)
def test_what_does_not_go_with_the_searches_is_refused(file, overrides, message):
    with pytest.raises(ConfigError, match=message):
        read(file, overrides)


def test_the_textbooks_networks_are_those_of_the_search(downsampling):
    sweep = runpy.run_path(str(EXPERIMENTS / "downsampling.py"))["get_sweep"]()
    networks = {each["model"].name: each["model"].value for each in sweep.trials}
    kinds = {
        "max": ("max 2", "max 2", "none"),
        "average": ("average 2", "average 2", "none"),
        "stride": ("stride 2", "stride 2", "none"),
        "max 3, strides": ("max 3, stride 2", "stride 2", "stride 2"),
    }
    assert {name.split("; ")[0] for name in networks} == set(kinds)
    for name, network in networks.items():
        kind, padding = name.split("; ")
        point = dict(zip(downsampling.STAGES, kinds[kind], strict=True)) | {"padding": padding}
        assert network == downsampling.network(point)
    config = runpy.run_path(str(EXPERIMENTS / "downsampling.py"))["get_config"]()
    assert config == downsampling.get_config()
    assert {each["seed"] for each in sweep.trials} == {1, 2, 3, 4, 5}  # those of the confirmation
