"""Depthwise convolution and its gradients against their definitions in NumPy, tap by tap in float64, and XLA's."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.quick_programs import QUICK

from cnn_jax import ops
from cnn_jax.ops import depthwise


def by_definition(x, kernel, cotangent, strides, pads, dilation):
    """The output and the gradients of x and kernel."""
    x, kernel, cotangent = (each.astype(np.float64) for each in (x, kernel[:, :, 0], cotangent))
    multiplier = kernel.shape[-1] // x.shape[-1]
    padded = np.repeat(np.pad(x, ((0, 0), *pads, (0, 0))), multiplier, axis=-1)
    y, to_padded, to_kernel = np.zeros(cotangent.shape), np.zeros(padded.shape), np.zeros(kernel.shape)
    for i, j in np.ndindex(kernel.shape[:2]):
        rows, columns = (
            slice(tap * gap, tap * gap + (count - 1) * step + 1, step)
            for tap, gap, count, step in zip((i, j), dilation, cotangent.shape[1:3], strides, strict=True)
        )
        y += padded[:, rows, columns] * kernel[i, j]
        to_padded[:, rows, columns] += cotangent * kernel[i, j]
        to_kernel[i, j] = np.sum(padded[:, rows, columns] * cotangent, axis=(0, 1, 2))
    (top, _), (left, _) = pads
    to_x = to_padded[:, top : top + x.shape[1], left : left + x.shape[2]]
    return y, to_x.reshape(*x.shape, multiplier).sum(-1), to_kernel[:, :, None]


def computed(x, kernel, cotangent, lowering="patches", **options):
    y, pull = jax.vjp(lambda *a: ops.conv2d(*a, groups=x.shape[-1], lowering=lowering, **options), x, kernel)
    return y, *pull(cotangent)


def drawn(size, window, channels, multiplier, options, seed=0):
    """x, kernel and cotangent."""
    rng = np.random.default_rng(seed)
    outputs = ops.output_sizes(size, window, **({"strides": (1, 1)} | options))
    shapes = (2, *size, channels), (*window, 1, channels * multiplier), (2, *outputs, channels * multiplier)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def assert_near(results, expected, case):
    for found, wanted in zip(results, expected, strict=True):
        assert found.shape == wanted.shape
        largest = np.abs(np.asarray(wanted)).max()
        assert largest > 0
        assert np.abs(np.asarray(found) - wanted).max() <= 1e-5 * largest, case


AXES = (
    ((3, 2), (1, 4)),  # windows
    ((1, 1), (2, 3), (5, 2)),  # strides; of (5, 2) no tap sees some pixels
    ("VALID", "SAME", "SAME_LOWER", "TORCH", 2, ((1, 0), (2, 3)), "REFLECT", "REPLICATE", "CIRCULAR"),
    ((1, 1), (2, 3)),  # dilations
)
# In two halves that each have every pair of values.
HALVES = [
    [
        ((9, 12), window, channels, multiplier, {"strides": strides, "padding": padding, "dilation": dilation})
        for number, places in enumerate(itertools.product(*(range(len(axis)) for axis in AXES)))
        for window, strides, padding, dilation in [[axis[place] for axis, place in zip(AXES, places, strict=True)]]
        for channels, multiplier in [((1, 3), (3, 1), (2, 2))[number % 3]]
        if sum(places) % 2 == half
    ]
    for half in (0, 1)
]


@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_every_padding_stride_dilation_and_multiplier(half):
    """Where the borders are no zeros, against XLA's."""
    cases = HALVES[half]
    assert {(channels, multiplier) for _, _, channels, multiplier, _ in cases} == {(1, 3), (3, 1), (2, 2)}
    arrays = [drawn(*case) for case in cases]
    bordered = [case[-1]["padding"] in ("REFLECT", "REPLICATE", "CIRCULAR") for case in cases]
    assert sum(bordered) == len(cases) // 3

    @functools.partial(jax.jit, compiler_options=QUICK)
    def all_cases(arrays):
        each = list(zip(arrays, cases, bordered, strict=True))
        ours = [computed(*some, "patches", **case[-1]) for some, case, _ in each]
        return ours, [computed(*some, "xla", **case[-1]) if border else None for some, case, border in each]

    for some, result, by_xla, case in zip(arrays, *all_cases(arrays), cases, strict=True):
        if by_xla is not None:
            assert_near(result, by_xla, case)
            continue
        size, window, *_, options = case
        strides, padding, dilation = options.values()
        pads = ops.resolve_padding(padding, size, window, strides, dilation)
        assert_near(result, by_definition(*some, strides, pads, dilation), case)


@pytest.mark.parametrize(
    ("size", "window", "options"),
    [
        ((5, 131), (3, 3), {"strides": (1, 1), "padding": "SAME", "dilation": (1, 1)}),  # three blocks of 44 columns
        ((67, 13), (7, 7), {"strides": (1, 1), "padding": "SAME", "dilation": (1, 1)}),  # 17 blocks of 4 rows
        ((29, 150), (5, 3), {"strides": (2, 2), "padding": 1, "dilation": (1, 2)}),  # 74 columns
        ((7, 7), (7, 7), {"strides": (1, 1), "padding": "TORCH", "dilation": (1, 1)}),  # two blocks of 4 rows
    ],
)
def test_blocks_that_the_windows_do_not_fill(size, window, options):
    x, kernel, cotangent = drawn(size, window, 3, 1, options)
    program = jax.jit(functools.partial(computed, **options), compiler_options=QUICK)
    strides, padding, dilation = options.values()
    pads = ops.resolve_padding(padding, size, window, strides, dilation)
    assert_near(program(x, kernel, cotangent), by_definition(x, kernel, cotangent, strides, pads, dilation), size)


@pytest.mark.parametrize(
    ("count", "limit", "expected"),
    [(56, 64, (56, 1)), (112, 64, (56, 2)), (14, 4, (2, 7)), (7, 9, (7, 1)), (131, 64, (44, 3)), (5, 1, (1, 5))],
)
def test_blocks(count, limit, expected):
    assert depthwise._blocks(count, limit) == expected


def test_the_gradient_keeps_no_map_for_each_tap():
    """A 7x7 kernel: temporaries of a few maps, where 49 were kept."""
    x, kernel = jax.ShapeDtypeStruct((1, 28, 28, 32), jnp.float32), jax.ShapeDtypeStruct((7, 7, 1, 32), jnp.float32)
    program = jax.jit(functools.partial(computed, padding="SAME"), compiler_options=QUICK).lower(x, kernel, x).compile()
    assert program.memory_analysis().temp_size_in_bytes < 10 * 28 * 28 * 32 * 4


def test_under_vmap_and_in_half_precision():
    x, kernel, cotangent = drawn((6, 5), (3, 3), 4, 1, {"padding": "SAME"})
    expected = computed(x, kernel, cotangent, padding="SAME")

    def alone(image, pull):
        return computed(image[None], kernel, pull[None], padding="SAME")

    y, to_x, to_kernel = jax.jit(jax.vmap(alone))(x, cotangent)
    assert_near((y[:, 0], to_x[:, 0], to_kernel.sum(0)), [np.asarray(each) for each in expected], "vmap")
    halves = [jnp.asarray(each, jnp.bfloat16) for each in (x, kernel, cotangent)]
    results = computed(*halves, padding="SAME")
    wanted = by_definition(*(np.asarray(each, np.float32) for each in halves), (1, 1), ((1, 1), (1, 1)), (1, 1))
    for found, exact in zip(results, wanted, strict=True):
        assert found.dtype == jnp.bfloat16
        # One rounding to 8 bits.
        np.testing.assert_allclose(np.asarray(found, np.float64), exact, rtol=2**-8, atol=1e-5)
