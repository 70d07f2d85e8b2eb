"""Plots of a sweep: whatever the trials came to, and as few artists for many trials as for few."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from cnn_jax.report import report_folder, sweep_plots, sweep_scatter
from cnn_jax.report.sweep_plots import COLOURED_CURVES, Cost, Curve, PointCurves
from cnn_jax.report.sweep_scatter import Dot
from cnn_jax.sweep.statistics import Estimate


def points_of(ends, seeds=1, finished=True):
    """Points whose trials end at these accuracies, after 0.3 and 0.6."""
    return [
        PointCurves(f"a={number}", [Curve([(1, 0.3), (2, 0.6), (3, end)], finished)] * seeds, baseline=number == 0)
        for number, end in enumerate(ends)
    ]


def drawn(figure):
    assert report_folder.png(figure).startswith(b"\x89PNG")
    return figure.axes[0]


@pytest.mark.parametrize("count", [1, 2, COLOURED_CURVES, COLOURED_CURVES + 1, 60])
@pytest.mark.parametrize("spread", [0.0, 1e-9, 0.0005, 0.2])
def test_learning_curves_whose_ends_lie_at_any_distance(count, spread):
    axes = drawn(sweep_plots.learning_curves(points_of(0.9 - spread * np.arange(count) / count), "test"))
    low, high = axes.get_ylim()
    assert low < 90 < high, "the best end is seen"
    close = spread < 0.01 or count == 1
    assert (low > 60) == close, "the first epochs are left out where all end close together"


@pytest.mark.parametrize(
    "curves",
    [
        [],
        [Curve([], True)],
        [Curve([(1, 0.5)], True)],
        [Curve([(1, 0.5), (2, 0.6)], False)],
        [Curve([(1, 0.5)], False), Curve([(2, 0.6)], True)],
    ],
)
@pytest.mark.parametrize("count", [1, COLOURED_CURVES + 5])
def test_points_with_few_or_no_epochs(curves, count):
    drawn(sweep_plots.learning_curves([PointCurves(f"a={n}", curves, False) for n in range(count)], "test"))


def test_many_curves_are_one_artist():
    few, many = (
        drawn(sweep_plots.learning_curves(points_of(np.linspace(0.5, 0.9, count), seeds=2), "test"))
        for count in (30, 300)
    )
    assert len(many.get_children()) == len(few.get_children())
    assert sum(len(each.get_paths()) for each in many.collections) > 800  # 294 means and 588 trials


def test_a_front_of_many_equal_points():
    points = [Cost(f"a={n}", 1.0 + n % 2, Estimate(1, 0.5)) for n in range(200)]
    axes = drawn(sweep_plots.trade_off(points, "parameters"))
    assert len(axes.texts) <= 12


def dots_of(count, low=1e-4, high=1.0):
    values = np.geomspace(low, high, count)
    return [Dot((float(value),), 0.9 - 0.02 * abs(np.log10(value) + 2)) for value in values]


def test_a_continuous_effect_has_a_logarithmic_axis_and_means():
    axes = drawn(sweep_scatter.continuous_effect("optimizer.learning_rate", dots_of(96), unset=[0.5, 0.7]))
    assert axes.get_xscale() == "log"
    (scatter,) = [each for each in axes.collections if isinstance(each, PathCollection)]
    assert scatter.get_offsets().shape == (96, 2)
    assert axes.get_xlabel().endswith("(not set: n=2, mean 60.00 %)")
    line = axes.get_lines()[0]
    x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
    assert len(x) == 12  # 96 trials in parts of 8
    accuracies = np.array([dot.metric for dot in dots_of(96)])
    np.testing.assert_allclose(y, 100 * accuracies.reshape(12, 8).mean(axis=1))
    np.testing.assert_allclose(x, np.median(np.geomspace(1e-4, 1, 96).reshape(12, 8), axis=1))


@pytest.mark.parametrize("values", [np.linspace(0.5, 0.9, 40), np.linspace(1e-4, 0.6, 40), np.linspace(0, 1, 40)])
def test_evenly_spread_values_have_a_linear_axis(values):
    dots = [Dot((float(value),), 0.9) for value in values]
    assert drawn(sweep_scatter.continuous_effect("model.dropout", dots, unset=[])).get_xscale() == "linear"


@pytest.mark.parametrize("values", [[0.0], [-3, 0, 5], [1], [1, 1, 1], [1e-99, 1e99], [2**60, 1]])
def test_few_and_odd_values(values):
    dots = [Dot((value,), 0.5) for value in values]
    drawn(sweep_scatter.continuous_effect("a.b", dots, unset=[]))
    drawn(sweep_scatter.pair(("a.b", "a.c"), [Dot((value, value), 0.5) for value in values], ([], [])))
    drawn(sweep_scatter.pair(("a.b", "a.c"), [Dot((value, 0), 0.5) for value in values], ([], ["$\\frac$", "V" * 300])))


def test_more_trials_are_no_more_artists():
    few, many = (drawn(sweep_scatter.continuous_effect("a.b", dots_of(count), unset=[])) for count in (200, 2000))
    assert len(few.get_children()) == len(many.get_children())


def test_the_best_trials_lie_on_top_and_have_all_colours():
    rng = np.random.default_rng(0)
    dots = [Dot((float(x), float(y)), float(x)) for x, y in rng.random((100, 2))]
    dots.append(Dot((0.5, 0.5), -5.0))  # a trial that failed to learn leaves the others their colours
    axes = drawn(sweep_scatter.pair(("a.b", "a.c"), dots, ([], [])))
    (scatter,) = axes.collections
    assert np.all(np.diff(scatter.get_array()) >= 0)
    assert scatter.get_clim()[0] > 0
