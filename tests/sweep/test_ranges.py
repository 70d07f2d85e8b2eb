"""Ranges of fields, and points that cover them evenly."""

import math
import warnings

import numpy as np
import pytest
from scipy.stats import qmc

from cnn_jax.sweep import Named, choice, halton, integers, log_uniform, product, repeat_seeds, sobol, uniform

SPACE = {"optimizer.learning_rate": log_uniform(1e-4, 1e-1), "model.features": choice([(8, 16), (32, 64)])}


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        (uniform(2, 4), 0.0, 2.0),
        (uniform(2, 4), 0.25, 2.5),
        (uniform(2, 4), 1.0, 4.0),
        (uniform(0, 1), 1 / 3, 0.333333),  # six digits
        (log_uniform(1e-4, 1e-2), 0.5, 1e-3),
        (log_uniform(1e-4, 1e-2), 0.0, 1e-4),
        (log_uniform(1e-4, 1e-2), 1.0, 1e-2),
        (integers(1, 4), 0.24, 1),
        (integers(1, 4), 0.26, 2),
        (integers(1, 4), 0.999, 4),
        (integers(1, 4), 1.0, 4),
        (integers(1, 100, log=True), 0.0, 1),  # exp(log 0.5), rounded and kept inside
        (integers(1, 100, log=True), 0.5, 7),  # sqrt(0.5 * 100.5) = 7.09
        (integers(1, 100, log=True), 1.0, 100),
        (choice(["VALID", "SAME"]), 0.49, "VALID"),
        (choice(["VALID", "SAME"]), 1.0, "SAME"),
    ],
)
def test_a_share_of_a_range(values, share, expected):
    found = values.at(share)
    assert found == expected
    assert type(found) is type(expected)


def test_rounding_stays_inside_the_interval():
    low, high = 0.123456789, 0.1234567891
    assert uniform(low, high).at(0.5) == high  # 0.123457 lies above


def test_halton_is_that_of_scipy():
    shares = qmc.Halton(2, scramble=True, rng=7).random(6)
    points = halton(SPACE, 6, seed=7)
    expected = [float(f"{10 ** (-4 + 3 * share):.6g}") for share in shares[:, 0]]
    assert [point["optimizer.learning_rate"] for point in points] == pytest.approx(expected, rel=2e-6)
    assert [point["model.features"] for point in points] == [((8, 16), (32, 64))[int(2 * u)] for u in shares[:, 1]]
    assert halton(SPACE, 4, seed=7) == points[:4], "more points begin with the same ones"
    assert halton(SPACE, 6, seed=8) != points


def test_sobol_has_as_many_points_in_each_half():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points = sobol(SPACE, 16, seed=3)
    assert sum(point["model.features"] == (8, 16) for point in points) == 8
    assert sum(point["optimizer.learning_rate"] < math.sqrt(1e-5) for point in points) == 8


def test_points_are_an_ordinary_list_of_overrides():
    points = product(halton({"train.label_smoothing": uniform(0, 0.2)}, 3), repeat_seeds(2))
    assert len(points) == 6
    assert [point["seed"] for point in points] == [0, 1] * 3


def test_numbers_of_numpy_and_named_values():
    assert uniform(np.float32(0.5), np.int64(2)).at(1.0) == 2.0
    assert type(integers(np.int64(1), np.int64(3)).at(0.0)) is int
    assert halton({"model.norm": choice([Named("none", "none")])}, 1)[0]["model.norm"].name == "none"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: uniform(1, 1), r"uniform\(1, 1\): the interval is empty"),
        (lambda: uniform(2, 1), "give the smaller number first"),
        (lambda: uniform(0, math.inf), "expected two finite numbers"),
        (lambda: uniform(math.nan, 1), "expected two finite numbers"),
        (lambda: uniform("0", 1), "expected two finite numbers"),
        (lambda: uniform(False, True), "expected two finite numbers"),
        (lambda: log_uniform(0, 1), "the logarithm of 0 is not finite"),
        (lambda: log_uniform(-1, 1), "begin above 0"),
        (lambda: integers(1.0, 3), "expected two integers"),
        (lambda: integers(3, 3), "the interval is empty"),
        (lambda: integers(0, 3, log=True), "begin at 1"),
        (lambda: choice([]), "nothing to choose from"),
        (lambda: choice("SAME"), r"write choice\(\['SAME'\]\)"),
        (lambda: choice({"SAME": 1}), r"write choice\(list\(...\)\) for the mapping's keys"),
        (lambda: choice(3), "expected a list of values"),
        (lambda: halton({}, 3), "expected a mapping of fields to ranges"),
        (lambda: halton([1], 3), "expected a mapping of fields to ranges"),
        (lambda: halton({"model.padding": ["SAME"]}, 3), r"model.padding: got \['SAME'\], expected uniform"),
        (lambda: halton({3: uniform(0, 1)}, 3), "got the field 3, expected a dotted name"),
        (lambda: halton(SPACE, 0), "got n=0, expected an integer from 1 to 100,000"),
        (lambda: halton(SPACE, 3, seed=-1), "got seed=-1"),
        (lambda: halton(SPACE, 3.0), "got n=3.0"),
        (lambda: sobol(SPACE, 6), "expected a power of two, such as 4 or 8"),
    ],
)
def test_what_cannot_be_meant_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
