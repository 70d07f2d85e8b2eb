"""Recording layers, and checking their rows against a network's parameters."""

import jax.numpy as jnp
import pytest

from cnn_jax.layer_rows import (
    IMAGE,
    Branches,
    LayerRow,
    LayerTableError,
    SlidingWindow,
    conv_row,
    emit,
    emit_activation,
    trace_layers,
    window_row,
)
from cnn_jax.models.row_checks import check_rows


def row(name, parameters=0):
    return LayerRow(name, "dense", (3,), (3,), parameters)


def test_branches_by_their_sources():
    x = jnp.zeros((2, 3))
    with trace_layers() as trace:
        emit(row("first"), x)
        branches = Branches()
        with branches.branch():
            emit(row("left"), x)
        with branches.branch():
            pass  # leads the input around
        with branches.branch(joined=False):
            emit(row("aside"), x)
        emit(row("joined"), x)
    assert [(each.name, each.sources) for each in trace.rows] == [
        ("first", (IMAGE,)),
        ("left", (0,)),
        ("aside", (0,)),
        ("joined", (1, 0)),
    ]


def test_outside_of_a_trace_an_output_passes():
    x = jnp.zeros((2, 5))
    assert emit(row("any"), x) is x


def test_an_output_of_another_shape_is_refused():
    with trace_layers(), pytest.raises(LayerTableError, match="layer dense1: its row says 3, its output is 4"):
        emit(row("dense1"), jnp.zeros((2, 4)))


def test_a_name_is_used_once():
    with trace_layers() as trace:
        for _ in range(2):
            emit(row("twice"), jnp.zeros((2, 3)))
    with pytest.raises(LayerTableError, match="two layers are named twice"):
        check_rows(trace.rows, {})
    with trace_layers(capture=("twice",)):
        emit(row("twice"), jnp.zeros((2, 3)))
        with pytest.raises(LayerTableError, match="two layers are named twice"):
            emit(row("twice"), jnp.zeros((2, 3)))


def test_activations_are_named_for_the_layer_before_them():
    x = jnp.full((2, 3), 2.0)
    assert emit_activation("relu", x) is x  # outside of a trace
    with trace_layers(capture=("first/activation",), perturb={"second/activation": jnp.ones(3)}) as trace:
        emit_activation("relu", x)  # it reads the image
        emit_activation("relu", emit(row("first"), 3 * x))
        y = emit_activation("relu", emit(row("second"), x))
    assert trace.activations == ["image/activation", "first/activation", "second/activation"]
    assert [each.name for each in trace.rows] == ["first", "second"]
    assert set(trace.outputs) == {"first/activation"}
    assert (trace.outputs["first/activation"] == 6).all()
    assert (y == 3).all()
    with trace_layers(capture=("first/activation",)):
        emit_activation("relu", emit(row("first"), x))
        with pytest.raises(LayerTableError, match="two layers are named first/activation"):
            emit_activation("relu", x)


def test_rows_of_windows_by_hand():
    pool = window_row("pool", "max_pool", (7, 8, 5), 5, SlidingWindow(2, 2, ceil_mode=True))
    # of 7 rows the fourth window reaches one beyond
    assert (pool.output_shape, pool.pads, pool.parameters) == ((4, 4, 5), ((0, 1), (0, 0)), 0)
    conv = conv_row("conv", (7, 8, 4), 6, SlidingWindow((3, 1)), weights=3 * 4 * 6, biases=6)
    assert (conv.output_shape, conv.parameters, conv.multiply_adds) == ((5, 8, 6), 78, 40 * 72)


def test_parameters_are_accounted_for():
    params = {"a": {"kernel": jnp.zeros((2, 3)), "bias": jnp.zeros(3)}, "b": {"c": {"scale": jnp.zeros(4)}}}
    check_rows([row("a", 9), row("b/c", 4), row("pool")], params)
    with pytest.raises(LayerTableError, match="module b/c owns 4 parameters and has no row"):
        check_rows([row("a", 9)], params)
    with pytest.raises(LayerTableError, match="layer a has a row of 6 parameters and owns 9"):
        check_rows([row("a", 6), row("b/c", 4)], params)
    with pytest.raises(LayerTableError, match="layer pool has a row of 1 parameters and owns 0"):
        check_rows([row("a", 9), row("b/c", 4), row("pool", 1)], params)
    with pytest.raises(LayerTableError, match="module the network itself owns 2"):
        check_rows([], {"gain": jnp.zeros(2)})
