"""Statistics of sweeps against published examples, SciPy's tests, and values worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from cnn_jax.run.records import Result
from cnn_jax.sweep.rows import Row
from cnn_jax.sweep.statistics import differences, estimate, grouped, holm, measured, pareto_front, sign_test
from cnn_jax.sweep.status import Outcome
from cnn_jax.sweep.sweep_file import TrialEntry
from sweep.written_sweep import result_of

# Student's sleep data (Biometrika 6, 1908): hours gained by ten patients with two drugs.
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def row(a, seed=0, accuracy=None, status="done", b=None, training_seconds=1.0):
    """A trial; one without an accuracy has no result."""
    trial = TrialEntry(id=f"{a}{b}{seed}", point={"a": a, "b": b}, seed=seed)
    content = None if accuracy is None else result_of(accuracy, training=training_seconds)
    return Row(trial, Outcome(status), result=content and Result.model_validate(content))


def rows_of(**accuracies):
    return [row(a, seed, value) for a, values in accuracies.items() for seed, value in enumerate(values)]


def test_the_interval_of_students_data():
    # R: t.test(extra) of group 2 gives the mean 2.33 and the interval 0.8976775 to 3.7623225
    found = estimate(SECOND)
    assert (found.n, found.mean) == (10, pytest.approx(2.33))
    assert found.std == pytest.approx(2.002249, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((0.8976775, 3.7623225), abs=1e-6)


def test_the_signs_of_students_data():
    # Nine patients slept longer with the second drug, one equally long; R: binom.test(9, 9) gives 0.003906
    changes = [second - first for first, second in zip(FIRST, SECOND, strict=True)]
    assert sign_test(changes) == pytest.approx(2 * 0.5**9)
    assert sign_test([-change for change in changes]) == sign_test(changes)
    assert sign_test([1.0, -1.0, 2.0]) == 1  # binom.test(2, 3)
    assert sign_test([0.0, 0.0]) is None
    assert sign_test([]) is None


def test_the_interval_of_two_values():
    # t(0.975; 1) = 12.7062, and the deviation of 1 and 3 is sqrt(2)
    assert (estimate([1, 3]).low, estimate([1, 3]).high) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-4)


def test_few_values_have_no_interval():
    assert estimate([]) == estimate(())
    assert (estimate([]).n, estimate([]).mean) == (0, None)
    one = estimate([0.9])
    assert (one.n, one.mean, one.std, one.low, one.high) == (1, 0.9, None, None, None)


def test_equal_values_have_an_interval_of_no_width():
    found = estimate([0.9, 0.9, 0.9])
    assert (found.std, found.low, found.high) == pytest.approx((0, 0.9, 0.9))


def test_the_paired_test_of_students_data():
    # R: t.test(extra ~ group, paired = TRUE) gives p = 0.002833 and -1.58 within -2.4598858 to -0.7001142
    (found,) = differences(rows_of(second=SECOND, first=FIRST), ["a"], {"a": "second"})
    assert found.values == ("first",)
    assert (found.estimate.n, found.n_unpaired) == (10, 0)
    assert found.estimate.mean == pytest.approx(-1.58)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((-2.4598858, -0.7001142), abs=1e-6)
    assert found.p_value == pytest.approx(0.002833, abs=1e-6)
    assert found.p_holm == found.p_value  # one comparison
    assert found.significant is True


def test_paired_tests_are_scipys():
    rng = np.random.default_rng(3)
    accuracies = {name: list(0.9 + 0.01 * rng.standard_normal(5)) for name in "xyz"}
    found = differences(rows_of(**accuracies), ["a"], {"a": "y"})
    for each in found:
        theirs = stats.ttest_rel(accuracies[each.values[0]], accuracies["y"])
        assert each.p_value == pytest.approx(theirs.pvalue)
        interval = theirs.confidence_interval(0.95)
        assert (each.estimate.low, each.estimate.high) == pytest.approx((interval.low, interval.high))
    low, high = sorted(each.p_value for each in found)
    assert sorted(each.p_holm for each in found) == pytest.approx([min(1, 2 * low), max(min(1, 2 * low), high)])


def test_holm():
    # The example of Wikipedia's "Holm-Bonferroni method": at 5 % the first and the fourth are rejected.
    adjusted = holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [p < 0.05 for p in adjusted] == [True, False, False, True]
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_only_shared_seeds_are_paired():
    rows = [row("base", seed, 0.8 + 0.01 * seed) for seed in (0, 1, 2)]
    rows += [row("new", 1, 0.83), row("new", 2, 0.85), row("new", 7, 0.1), row("new", 0, status="failed")]
    (found,) = differences(rows, ["a"], {"a": "base"})
    assert found.estimate.n == 2
    assert found.n_unpaired == 2  # seed 0 of the baseline and seed 7
    assert found.estimate.mean == pytest.approx((0.02 + 0.03) / 2)


def test_what_cannot_be_judged_has_no_p_value():
    rows = rows_of(base=[0.1, 0.2, 0.3], shifted=[0.2, 0.3, 0.4], same=[0.1, 0.2, 0.3], single=[0.9])
    rows += [row("none", 0, status="failed"), row("usual", 0, 0.2), row("usual", 1, 0.5), row("usual", 2, 0.9)]
    by_name = {each.values[0]: each for each in differences(rows, ["a"], {"a": "base"})}
    assert by_name.keys() == {"shifted", "same", "single", "none", "usual"}
    for name, n, mean in (("shifted", 3, 0.1), ("same", 3, 0.0), ("single", 1, 0.8), ("none", 0, None)):
        found = by_name[name]
        assert (found.p_value, found.p_holm, found.significant) == (None, None, None), name
        assert found.estimate.n == n
        assert found.estimate.mean == (None if mean is None else pytest.approx(mean))
    assert by_name["usual"].p_holm == by_name["usual"].p_value  # the others are no part of the family


def test_without_a_baseline_nothing_is_compared():
    rows = rows_of(x=[0.1, 0.2])
    assert differences(rows, ["a"], None) == []
    assert differences(rows, ["a"], {"a": "y"}) == []


def test_points_count_all_their_trials():
    rows = [row("x", 0, 0.8), row("x", 1, 0.9), row("x", 2, status="failed"), row("x", 3, status="waiting")]
    rows += [row("x", 4, status="running"), row("x", 5, status="stopped"), row([1, 2], 0, status="infeasible")]
    first, second = grouped(rows, ["a", "b"])
    assert first.values == ("x", None)
    assert (first.estimate.n, first.n_failed, first.n_infeasible, first.n_unfinished) == (2, 1, 0, 3)
    assert first.estimate.mean == pytest.approx(0.85)
    assert second.values == ([1, 2], None)
    assert (second.estimate.n, second.n_failed, second.n_infeasible, second.n_unfinished) == (0, 0, 1, 0)


def test_values_of_other_types_are_other_points():
    assert len(grouped([row(value) for value in (1, "1", 1.0, True, None, [1], "[1]")], ["a"])) == 7


def test_main_effects_and_pairs():
    rows = [row("x", 0, 0.5, b=1), row("x", 0, 0.7, b=2), row("y", 0, 0.9, b=1), row("y", 1, 0.8, b=1)]
    x, y = grouped(rows, ["a"])
    assert (x.values, x.estimate.n, x.estimate.mean) == (("x",), 2, pytest.approx(0.6))
    assert (y.values, y.estimate.n, y.estimate.mean) == (("y",), 2, pytest.approx(0.85))
    cells = {group.values: group.estimate for group in grouped(rows, ["a", "b"])}
    assert {at: (cell.n, round(cell.mean, 9)) for at, cell in cells.items()} == {
        ("x", 1): (1, 0.5),
        ("x", 2): (1, 0.7),
        ("y", 1): (2, 0.85),
    }
    (everything,) = grouped(rows, [])
    assert (everything.values, everything.estimate.n) == ((), 4)


def test_other_metrics():
    rows = [row("x", 0, 0.9, training_seconds=10.0), row("x", 1, 0.9, training_seconds=20.0), row("x", 2)]
    (group,) = grouped(rows, ["a"], "training_seconds")
    assert (group.estimate.n, group.estimate.mean) == (2, 15)
    with pytest.raises(ValueError, match=r"metric='accuracy': expected one of test_accuracy, test_loss"):
        grouped(rows, ["a"], "accuracy")
    with pytest.raises(ValueError, match="expected one of"):
        differences(rows, ["a"], {"a": "x"}, "status")


def test_a_failed_trial_measures_nothing():
    assert measured(row("x", 0, 0.9, status="failed"), "total_seconds") is None
    assert measured(row("x", 0, 0.9), "total_seconds") == 24.0


def test_pareto_front():
    # (cost, gain): b beats c (as dear, better) and d (cheaper, as good); a is the cheapest; e the best
    costs, gains = [1, 2, 2, 3, 5], [0.5, 0.8, 0.7, 0.8, 0.9]
    assert pareto_front(costs, gains) == [0, 1, 4]
    assert pareto_front(costs[::-1], gains[::-1]) == [4, 3, 0]
    assert pareto_front([1, 1], [0.5, 0.5]) == [0, 1]
    assert pareto_front([], []) == []
    with pytest.raises(ValueError, match="zip"):
        pareto_front([1], [])


def test_pareto_front_against_every_pair():
    """Random small whole numbers, so that equal costs, equal gains and equal pairs are many."""
    rng = np.random.default_rng(5)
    for _ in range(300):
        costs, gains = rng.integers(0, 6, (2, rng.integers(1, 12))).tolist()
        pairs = list(zip(costs, gains, strict=True))
        beaten = [
            any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in pairs)  # the definition
            for cost, gain in pairs
        ]
        expected = sorted((index for index in range(len(pairs)) if not beaten[index]), key=lambda i: pairs[i])
        assert pareto_front(costs, gains) == expected
