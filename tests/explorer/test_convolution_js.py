"""The arithmetic of docs/explorer/convolution.js beside cnn_jax.ops: random geometries with random maps."""

import itertools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.blocks.policy import ACTIVATIONS

PAGE = Path(__file__).parents[2] / "docs/explorer/index.html"
DIALECTS = ("VALID", "SAME", "SAME_LOWER", "TORCH", "REFLECT", "REPLICATE", "CIRCULAR", "number", "explicit")
MAPS = 14  # for each geometry, so that 36 geometries are 504 cases

# Both sum in at least float32, in another order: sums of up to 75 products of standard normal numbers.
CLOSE = {"rtol": 1e-5, "atol": 2e-5}


@pytest.fixture(scope="module")
def page(browser):
    browser.get(PAGE.as_uri())
    return browser


def maps(rng, height, width, channels, count=MAPS):
    return rng.standard_normal((count, height, width, channels)).astype(np.float32)


def as_js(image):
    height, width, channels = image.shape
    return {"height": height, "width": width, "channels": channels, "data": image.ravel().tolist()}


def as_array(found):
    return np.asarray(found["data"], np.float32).reshape(found["height"], found["width"], found["channels"])


def computed(page, body, jobs):
    """Evaluates a JavaScript expression in `job` for each job; data come back as ordinary arrays."""
    script = f"""
    const plain = (map) => ({{...map, data: Array.from(map.data)}});
    return arguments[0].map((job) => plain({body}));
    """
    return page.execute_script(script, jobs)


def geometries(rng, dialects, channels=3):
    """Draws sizes, windows, strides, padding and dilation that fit, four for each dialect, both axes differing."""
    for dialect, _ in itertools.product(dialects, range(4)):
        while True:
            size, window, strides = (rng.integers(low, high, 2).tolist() for low, high in ((3, 10), (1, 5), (1, 4)))
            dilation = rng.integers(1, 3, 2).tolist()
            padding = {
                "number": int(rng.integers(0, 4)),
                "explicit": rng.integers(0, 4, (2, 2)).tolist(),
            }.get(dialect, dialect)
            try:
                ops.output_sizes(size, window, strides, padding, dilation)
            except ops.GeometryError:
                continue
            yield {"size": size, "window": window, "strides": strides, "padding": padding, "dilation": dilation}
            break


def test_convolution(page):
    rng = np.random.default_rng(0)
    jobs, expected = [], []
    for number, moves in enumerate(geometries(rng, DIALECTS)):
        groups, inputs, features = ((1, 3, 4), (2, 2, 4))[number % 2]
        x = maps(rng, *moves["size"], inputs * groups)
        kernel = rng.standard_normal((*moves["window"], inputs, features)).astype(np.float32)
        bias = rng.standard_normal(features).astype(np.float32)
        options = {name: moves[name] for name in ("strides", "padding", "dilation")}
        convolve = jax.jit(
            lambda x, k, b, options=options, groups=groups: ops.conv2d(x, k, groups=groups, **options) + b
        )
        expected += list(np.asarray(convolve(x, kernel, bias)))
        shape = dict(zip(("height", "width", "inputs", "outputs"), kernel.shape, strict=True))
        weights = shape | {"data": kernel.ravel().tolist()}
        given = options | {"groups": groups, "bias": bias.tolist()}
        jobs += [{"x": as_js(each), "kernel": weights, "options": given} for each in x]
    assert len(jobs) >= 500
    for found, wanted in zip(
        computed(page, "convolution.conv2d(job.x, job.kernel, job.options)", jobs), expected, strict=True
    ):
        np.testing.assert_allclose(as_array(found), wanted, **CLOSE)


def test_pooling(page):
    rng = np.random.default_rng(1)
    jobs, expected = [], []
    kinds = {"max": ops.max_pool, "min": ops.min_pool, "avg": ops.avg_pool}
    for number, moves in enumerate(geometries(rng, ("VALID", "SAME", "SAME_LOWER", "TORCH", "number", "explicit"))):
        x = maps(rng, *moves["size"], 2, count=7)
        options = {name: moves[name] for name in ("strides", "padding", "dilation")} | {"ceil_mode": number % 2 == 1}
        counting = number % 3 == 0

        def pool(x, options=options, window=tuple(moves["window"]), counting=counting):
            return [
                function(x, window, **options, **({"count_include_pad": counting} if kind == "avg" else {}))
                for kind, function in kinds.items()
            ]

        try:
            pooled = jax.jit(pool)(x)
        except ops.GeometryError:  # a window wholly in padding, which the page refuses too
            continue
        given = {name: moves[name] for name in ("strides", "padding", "dilation")}
        given |= {"ceilMode": options["ceil_mode"], "countPadding": counting}
        for kind, outputs in zip(kinds, pooled, strict=True):
            jobs += [{"x": as_js(each), "kind": kind, "window": moves["window"], "options": given} for each in x]
            expected += list(np.asarray(outputs))
    assert len(jobs) > 400
    found = computed(page, "convolution.pool(job.x, job.kind, job.window, job.options)", jobs)
    for each, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(as_array(each), wanted, **CLOSE)


def test_normalisation_dense_and_merging(page):
    rng = np.random.default_rng(2)
    x, y = maps(rng, 3, 4, 6, count=100), maps(rng, 3, 4, 6, count=100)
    scale, bias, mean = rng.standard_normal((3, 6)).astype(np.float32)
    variance = rng.uniform(0.1, 2, 6).astype(np.float32)
    weights = rng.standard_normal((72, 5)).astype(np.float32)
    jobs = [{"x": as_js(a), "y": as_js(b)} for a, b in zip(x, y, strict=True)]
    shared = {
        "norm": {
            "scale": scale.tolist(),
            "bias": bias.tolist(),
            "mean": mean.tolist(),
            "variance": variance.tolist(),
            "eps": 1e-3,
        },
        "weights": weights.ravel().tolist(),
        "bias": bias[:5].tolist(),
    }
    page.execute_script("window.shared = arguments[0]", shared)
    cases = {
        "convolution.batchNorm(job.x, window.shared.norm)": ops.batch_norm(
            *map(jnp.asarray, (x, scale, bias, mean, variance)), eps=1e-3
        ),
        "convolution.localResponseNorm(job.x, {size: 3, alpha: 0.1, k: 1})": ops.local_response_norm(
            jnp.asarray(x), size=3, alpha=0.1, k=1.0
        ),
        "convolution.localResponseNorm(job.x, {size: 4, alpha: 0.1, mean: true})": ops.local_response_norm(
            jnp.asarray(x), size=4, alpha=0.1, mean=True
        ),
        "convolution.dense(job.x, window.shared.weights, window.shared.bias)": (
            x.reshape(100, 72).astype(np.float64) @ weights + bias[:5]
        ).reshape(100, 1, 1, 5),
        "convolution.add(job.x, job.y)": x + y,
        "convolution.concatenate(job.x, job.y)": np.concatenate([x, y], -1),
        "convolution.relu(job.x)": np.maximum(x, 0),
        "convolution.groupNorm(job.x, {...window.shared.norm, groups: 3})": ops.group_norm(
            *map(jnp.asarray, (x, scale, bias)), groups=3, eps=1e-3
        ),
        "convolution.adaptiveAvgPool(job.x, [2, 3])": ops.adaptive_avg_pool(jnp.asarray(x), (2, 3)),
        "convolution.pad(job.x, [[1, -1], [2, 0]], [1, 2])": np.pad(x[:, :2], ((0, 0), (1, 0), (2, 0), (0, 0)))[
            :, :, ::2
        ],
        "convolution.padChannels(job.x, 8)": np.pad(x, ((0, 0), (0, 0), (0, 0), (0, 2))),
        **{
            f"convolution.activate(job.x, '{name}')": function(jnp.asarray(x)) for name, function in ACTIVATIONS.items()
        },
    }
    for body, expected in cases.items():
        for found, wanted in zip(computed(page, body, jobs), np.asarray(expected), strict=True):
            np.testing.assert_allclose(as_array(found), wanted, err_msg=body, **CLOSE)


def test_activations_with_bounds(page):
    values = np.linspace(-9, 9, 721)  # by 1/40, so that the bounds -3, 0, 3 and 6 are among them
    clipped = np.clip(values, 0, 6)
    gate = np.clip(values + 3, 0, 6) / 6
    expected = {
        "erf(value)": [math.erf(value) for value in values],
        "ACTIVATIONS.gelu_exact(value)": [value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in values],
        "ACTIVATIONS.relu6(value)": clipped,
        "ACTIVATIONS.hard_sigmoid(value)": gate,
        "ACTIVATIONS.hard_swish(value)": values * gate,
    }
    for call, wanted in expected.items():
        found = page.execute_script(f"return arguments[0].map((value) => convolution.{call})", values.tolist())
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13, err_msg=call)


def test_sizes_and_unread_pixels(page):
    rng = np.random.default_rng(3)
    given = list(geometries(rng, DIALECTS))
    script = """return arguments[0].map(({size, window, strides, padding, dilation}) =>
        convolution.axes({height: size[0], width: size[1]}, window, {strides, padding, dilation})
            .map(({low, high, outputs, unread}) => ({low, high, outputs, unread})))"""
    for moves, found in zip(given, page.execute_script(script, given), strict=True):
        size, window, strides, padding, dilation = moves.values()
        pads = ops.resolve_padding(padding, size, window, strides, dilation)
        outputs = ops.output_sizes(size, window, strides, padding, dilation)
        for axis, n, k, s, d, (low, high), count in zip(
            found, size, window, strides, dilation, pads, outputs, strict=True
        ):
            read = {output * s + tap * d - low for output in range(count) for tap in range(k)}
            assert axis == {
                "low": low,
                "high": high,
                "outputs": count,
                "unread": [place for place in range(-low, n + high) if place not in read],
            }


@pytest.mark.parametrize(
    ("layers", "low", "high"),
    [
        ([(3, 1, 1)] * 2, 4, 8),  # two 3x3 cover 5x5
        ([(3, 1, 1)] * 4, 4, 12),  # four cover 9x9
        ([(3, 2, 1), (3, 2, 1)], 16, 22),  # (3 - 1) + 2 (3 - 1) + 1 = 7, from 4 * 2 * 2 on
        ([(2, 1, 3), (3, 1, 1)], 4, 9),  # a dilated window spans 4
    ],
)
def test_receptive_fields(page, layers, low, high):
    given = [
        {"window": window, "stride": stride, "padding": "VALID", "dilation": dilation}
        for window, stride, dilation in layers
    ]
    field = page.execute_script("return convolution.receptiveField(32, arguments[0], 4)[0]", given)
    assert (field["low"], field["high"]) == (low, high)


@pytest.mark.parametrize(
    "call",
    [
        "convolution.axis(3, 5, 1, 'VALID')",
        "convolution.axis(3, 9, 1, 'REFLECT')",
        "convolution.axis(3, 3, 1, 'SOME')",
        "convolution.pool({height: 2, width: 2, channels: 1, data: [1, 2, 3, 4]}, 'max', 2, {padding: 2})",
        "convolution.conv2d({height: 1, width: 1, channels: 2, data: [1, 2]},"
        " {height: 1, width: 1, inputs: 1, outputs: 1, data: [1]})",
        "convolution.add({height: 1, width: 1, channels: 1, data: [1]},"
        " {height: 1, width: 2, channels: 1, data: [1, 2]})",
    ],
)
def test_what_does_not_fit_is_refused(page, call):
    script = f"try {{ {call}; return null }} catch (error) {{ return error instanceof convolution.GeometryError }}"
    assert page.execute_script(script) is True
