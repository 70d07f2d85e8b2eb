"""Spaces of overrides, and what may not be combined."""

import pytest

from cnn_jax.sweep import assign, chain, keep, product, repeat_seeds, zip_

PADDINGS = {"model.padding": ["VALID", "SAME"]}
STRIDES = {"model.strides": [1, 2]}


def test_product_lets_the_last_field_change_fastest():
    assert product(PADDINGS, STRIDES) == [
        {"model.padding": "VALID", "model.strides": 1},
        {"model.padding": "VALID", "model.strides": 2},
        {"model.padding": "SAME", "model.strides": 1},
        {"model.padding": "SAME", "model.strides": 2},
    ]
    assert product({**PADDINGS, **STRIDES}) == product(PADDINGS, STRIDES)


def test_spaces_of_spaces():
    grid = product(PADDINGS, repeat_seeds(2, first=5))
    assert [point["seed"] for point in grid] == [5, 6, 5, 6]
    assert chain(PADDINGS, [{"train.epochs": 3}]) == [
        {"model.padding": "VALID"},
        {"model.padding": "SAME"},
        {"train.epochs": 3},
    ]
    assert zip_(PADDINGS, STRIDES) == [
        {"model.padding": "VALID", "model.strides": 1},
        {"model.padding": "SAME", "model.strides": 2},
    ]


def test_values_that_depend_on_others():
    grid = assign(product(STRIDES), {"model.pooling": "none"}, where=lambda point: point["model.strides"] == 2)
    assert grid == [{"model.strides": 1}, {"model.strides": 2, "model.pooling": "none"}]
    scaled = assign([{"train.batch_size": 256}], {"optimizer.learning_rate": lambda p: p["train.batch_size"] / 1024})
    assert scaled == [{"train.batch_size": 256, "optimizer.learning_rate": 0.25}]


def test_keep_filters():
    assert keep(product(PADDINGS, STRIDES), lambda point: point["model.strides"] == 1) == product(
        PADDINGS, {"model.strides": [1]}
    )


def test_a_section_may_be_set_before_a_field_in_it_and_not_after():
    networks = [{"model": {"name": "lenet5"}}, {"model": {"name": "cnn"}}]
    assert product(networks, PADDINGS)[1] == {"model": {"name": "lenet5"}, "model.padding": "SAME"}
    with pytest.raises(ValueError, match=r"^model, which holds model.padding, is set twice: by 'VALID' and by"):
        product(PADDINGS, networks)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: product(PADDINGS, PADDINGS), "model.padding is set twice"),
        (lambda: zip_(PADDINGS, {"seed": [1, 2, 3]}), r"different lengths \(model.padding: 2, seed: 3\)"),
        (lambda: product({"model.padding": "SAME"}), r"write 'model.padding': \['SAME'\]"),
        (lambda: product({"train.epochs": 3}), "expected the list of its values"),
        (lambda: product(["SAME"]), "a point of a space is a mapping"),
        (lambda: repeat_seeds(0), "expected count >= 1"),
        (lambda: assign([{"seed": 1}], {"seed": 2}), "seed is set twice: by 1 and by 2"),
    ],
)
def test_what_cannot_be_meant_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
