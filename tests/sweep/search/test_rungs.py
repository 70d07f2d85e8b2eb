"""Rungs and brackets, by hand and by the table of Hyperband's paper."""

import pytest

from cnn_jax.sweep import Halving, Hyperband, Search, uniform
from cnn_jax.sweep.search.rungs import Bracket, brackets, promoted, rungs

SPACE = {"train.label_smoothing": uniform(0, 1)}


@pytest.mark.parametrize(
    ("epochs", "eta", "least", "expected"),
    [
        (81, 3, 1, (1, 3, 9, 27, 81)),
        (10, 3, 1, (1, 3, 10)),
        (9, 3, 2, (3, 9)),
        (8, 2, 1, (1, 2, 4, 8)),
        (5, 3, 5, (5,)),
    ],
)
def test_rungs(epochs, eta, least, expected):
    assert rungs(epochs, eta, least) == expected


def test_halving():
    found = brackets(Search(SPACE, trials=20, batch=9, stopping=Halving()), 9)
    assert found == (
        Bracket((9, 3, 1), (1, 3, 9)),
        Bracket((9, 3, 1), (1, 3, 9)),
        Bracket((2, 1, 1), (1, 3, 9)),  # what is left
    )
    assert found[0].cost == 9 * 1 + 3 * 2 + 1 * 6


def test_hyperband_has_the_brackets_of_its_paper():
    # Table 1 of Li et al., 2018: R = 81, eta = 3; its n of the brackets s = 4, ..., 0.
    found = brackets(Search(SPACE, trials=81 + 34 + 15 + 8 + 5, stopping=Hyperband()), 81)
    assert [each.sizes for each in found] == [(81, 27, 9, 3, 1), (34, 11, 3, 1), (15, 5, 1), (8, 2), (5,)]
    assert [each.epochs for each in found] == [(1, 3, 9, 27, 81), (3, 9, 27, 81), (9, 27, 81), (27, 81), (81,)]
    again = brackets(Search(SPACE, trials=143 + 10, stopping=Hyperband()), 81)
    assert again[5] == Bracket((10, 3, 1, 1, 1), (1, 3, 9, 27, 81))


def test_without_stopping_all_train_to_the_end():
    assert brackets(Search(SPACE, trials=10, batch=8), 5) == (Bracket((8,), (5,)), Bracket((2,), (5,)))


def test_promoted():
    assert promoted({1: 0.5, 2: 0.9, 3: None, 4: 0.7}, 2) == [2, 4]
    assert promoted({5: 0.5, 3: 0.5, 4: 0.5}, 2) == [3, 4], "of equals the earlier ones"
    assert promoted({1: None, 2: 0.1}, 2) == [2]
