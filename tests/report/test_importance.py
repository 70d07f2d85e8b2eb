"""Permutation importance: what it must be for scores whose dependence is known, and silence where nothing is known."""

import numpy as np
import pytest

from cnn_jax.report.importance import FEWEST, importance

SHARES = np.random.default_rng(1).random((300, 3))


def test_a_field_that_decides_alone():
    found = importance(SHARES.tolist(), [True] * 3, SHARES[:, 0].tolist())
    assert found.n == 300
    assert found.explained > 0.98
    (decides, _), *others = found.fields
    # Shuffled values are independent of the true ones, so that the squared error is twice the variance.
    assert decides == pytest.approx(2, abs=0.2)
    assert all(abs(mean) < 0.01 for mean, _ in others)


def test_fields_rank_by_their_share_of_the_variance():
    scores = 3 * SHARES[:, 1] + SHARES[:, 2]  # 90 % and 10 % of the variance
    found = importance(SHARES.tolist(), [True] * 3, scores.tolist())
    none, much, little = (mean for mean, _ in found.fields)
    assert much > 4 * little > 10 * abs(none)
    assert found == importance(SHARES.tolist(), [True] * 3, scores.tolist())


def test_few_very_bad_points_do_not_decide():
    scores = SHARES[:, 0].copy()
    scores[:5] = -1e9
    found = importance(SHARES.tolist(), [True] * 3, scores.tolist())
    assert found.explained > 0.8
    assert found.fields[0][0] > 1.5


def test_a_choice_is_one_field():
    names = [("SAME", "VALID", [[1, 2], [2, 1]])[place % 3] for place in range(90)]
    scores = [{"SAME": 0.5, "VALID": 0.9}.get(str(name), 0.1) for name in names]
    values = [[name, share] for name, share in zip(names, SHARES[:90, 0].tolist(), strict=True)]
    found = importance(values, [False, True], scores)
    assert found.explained > 0.95
    assert found.fields[0][0] == pytest.approx(2, abs=0.4)
    assert abs(found.fields[1][0]) < 0.05


@pytest.mark.parametrize(
    ("n", "scores", "explained"),
    [
        (FEWEST - 1, SHARES[:, 0], None),
        (FEWEST, np.full(300, 0.5), None),
        (0, SHARES[:, 0], None),
        (60, np.random.default_rng(2).random(300), 0.1),
    ],
)
def test_where_nothing_can_be_said(n, scores, explained):
    found = importance(SHARES[:n].tolist(), [True] * 3, scores[:n].tolist())
    assert found.n == n
    assert found.fields == ()
    assert found.explained is None if explained is None else found.explained < explained
