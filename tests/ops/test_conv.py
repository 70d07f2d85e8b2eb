"""Convolution against the lecture's numbers and a plain loop in NumPy, every lowering against the other."""

import collections
import contextlib
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.quick_programs import QUICK

from cnn_jax import ops

LECTURE_IMAGE = np.array(
    [
        [1, 2, 3, 1, 3, 5],
        [2, 2, 5, 4, 2, 5],
        [0, 6, 9, 6, 2, 2],
        [2, 0, 1, 9, 4, 0],
        [5, 5, 4, 6, 7, 6],
        [6, 1, 3, 7, 1, 5],
    ],
    np.float32,
)
VERTICAL_EDGE = np.array([[1, 0, -1]] * 3, np.float32)
NUMPY_BORDER = {"REFLECT": "reflect", "REPLICATE": "edge", "CIRCULAR": "wrap"}


def single(image, kernel, **options):
    """Convolves one channel with one kernel."""
    program = jax.jit(functools.partial(ops.conv2d, **options))
    return np.asarray(program(jnp.asarray(image)[None, :, :, None], jnp.asarray(kernel)[:, :, None, None]))[0, :, :, 0]


def looped(x, kernel, strides, pads, dilation, groups, mode="constant"):
    """Convolution by its definition, tap by tap, in float64."""
    x = np.pad(x.astype(np.float64), ((0, 0), *pads, (0, 0)), mode=mode)
    kh, kw, channels, features = kernel.shape
    oh = (x.shape[1] - dilation[0] * (kh - 1) - 1) // strides[0] + 1
    ow = (x.shape[2] - dilation[1] * (kw - 1) - 1) // strides[1] + 1
    result = np.zeros((x.shape[0], oh, ow, features))
    each = features // groups
    for i, j, group in np.ndindex(kh, kw, groups):
        top, left = i * dilation[0], j * dilation[1]
        rows = slice(top, top + strides[0] * (oh - 1) + 1, strides[0])
        columns = slice(left, left + strides[1] * (ow - 1) + 1, strides[1])
        outputs = slice(group * each, (group + 1) * each)
        seen = x[:, rows, columns, group * channels : (group + 1) * channels]
        result[..., outputs] += seen @ kernel[i, j, :, outputs].astype(np.float64)
    return result


@pytest.mark.parametrize("lowering", ["xla", "patches", "winograd"])
def test_the_lectures_429(lowering):
    image = np.array([[18, 54, 51], [55, 121, 75], [35, 24, 204]], np.float32)
    weights = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.float32)
    assert single(image, weights, padding="VALID", lowering=lowering).tolist() == [[429]]


@pytest.mark.parametrize("lowering", ["xla", "patches", "space_to_depth"])
def test_the_lectures_strides(lowering):
    stride1 = [[-14, -1, 10, -1], [-11, -11, 7, 12], [-7, -10, 1, 13], [5, -16, -4, 11]]
    assert single(LECTURE_IMAGE, VERTICAL_EDGE, padding="VALID", lowering=lowering).tolist() == stride1
    stride2 = single(LECTURE_IMAGE, VERTICAL_EDGE, padding="VALID", strides=2, lowering=lowering)
    assert stride2.tolist() == [[-14, 10], [-7, 1]]


PADDINGS = ["VALID", "SAME", "SAME_LOWER", "TORCH", "REFLECT", "REPLICATE", "CIRCULAR", 2, ((1, 0), (2, 3))]


def random_cases(count, seed=7, largest=40):
    rng = np.random.default_rng(seed)
    while count:
        size, window = rng.integers(1, largest + 1, 2), rng.choice([1, 2, 3, 3, 3, 4, 5], 2)
        strides, dilation = rng.choice([1, 1, 1, 2, 3, 4, 5], 2), rng.choice([1, 1, 2, 3], 2)
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        if rng.random() < 0.15:  # what Winograd's lowering takes
            window, strides, dilation, groups = np.array([3, 3]), np.array([1, 1]), np.array([1, 1]), 1
        padding = PADDINGS[rng.integers(len(PADDINGS))]
        size, window, strides, dilation = (tuple(map(int, pair)) for pair in (size, window, strides, dilation))
        try:
            ops.output_sizes(size, window, strides, padding, dilation)
        except ops.GeometryError:
            continue
        each = int(rng.integers(1, 4))  # channels of a group; 1 is the depthwise convolution
        x = rng.standard_normal((2, *size, groups * each)).astype(np.float32)
        kernel = rng.standard_normal((*window, each, groups * int(rng.integers(1, 4)))).astype(np.float32)
        yield x, kernel, {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
        count -= 1


def normal(rng, shape):
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


def lowerings(kernel, options):
    names = ["xla", "patches"]
    if options["dilation"] == (1, 1) and options["groups"] == 1:
        if max(options["strides"]) > 1:
            names.append("space_to_depth")
        elif kernel.shape[:2] == (3, 3):
            names.append("winograd")
    return names


def together(function, cases):
    """The function of all cases as one program, which compiles much faster than one for each."""
    program = jax.jit(
        lambda arrays: [function(*each, *case[2:]) for each, case in zip(arrays, cases, strict=True)],
        compiler_options=QUICK,
    )
    return program([case[:2] for case in cases])


def error(ours, reference):
    """The largest difference, as a share of the largest value."""
    return np.abs(np.asarray(ours) - reference).max() / max(np.abs(reference).max(), 1e-6)


@pytest.fixture(scope="module")
def thousand_cases():
    return list(random_cases(1000))


FIRST = [pytest.param(n, marks=[pytest.mark.exhaustive] * (n >= 400)) for n in range(0, 1000, 50)]


@pytest.mark.parametrize("first", FIRST)
def test_a_thousand_random_cases_equal_the_loop(thousand_cases, first):
    some = thousand_cases[first : first + 50]
    # each case by one lowering, in turn, so that all share a program of bearable size
    chosen = [
        (x, kernel, options, lowerings(kernel, options)[number % len(lowerings(kernel, options))])
        for number, (x, kernel, options) in enumerate(some)
    ]
    results = together(lambda x, kernel, options, name: ops.conv2d(x, kernel, **options, lowering=name), chosen)
    for result, case in zip(results, chosen, strict=True):
        x, kernel, options, _ = case
        padding, strides, dilation = (options[name] for name in ("padding", "strides", "dilation"))
        pads = ops.resolve_padding(padding, x.shape[1:3], kernel.shape[:2], strides, dilation)
        mode = NUMPY_BORDER.get(str(padding), "constant")
        reference = looped(x, kernel, strides, pads, dilation, options["groups"], mode)
        assert result.shape == reference.shape
        # float32 sums of at most 75 products: some 1e-6 of the largest
        assert error(result, reference) <= 1e-5, (x.shape, kernel.shape, case[2:])


def test_lowerings_agree_in_values_and_gradients():
    def gradients(x, kernel, options, name):
        y, pull = jax.vjp(lambda *args: ops.conv2d(*args, **options, lowering=name), x, kernel)
        return y, *pull(jnp.sin(y))

    cases = list(random_cases(40, seed=8, largest=12))
    reference = together(gradients, [(*case, "xla") for case in cases])
    for name, enough in (("patches", 40), ("space_to_depth", 4), ("winograd", 3)):
        some = [(number, case) for number, case in enumerate(cases) if name in lowerings(*case[1:])]
        assert len(some) >= enough
        results = together(gradients, [(*case, name) for _, case in some])
        for (number, case), result in zip(some, results, strict=True):
            for ours, theirs in zip(result, reference[number], strict=True):
                assert error(ours, np.asarray(theirs)) <= 1e-5, (case[0].shape, case[1].shape, case[2])


def test_what_is_chosen_on_one_core_agrees_in_values_and_gradients():
    """The first five are a Winograd, two patches, an xla and an xla with patches' gradients."""

    def gradients(x, kernel, options, one_core):
        with ops.on_one_core() if one_core else contextlib.nullcontext():
            y, pull = jax.vjp(lambda *args: ops.conv2d(*args, **options), x, kernel)
        return y, *pull(jnp.sin(y))

    rng = np.random.default_rng(9)
    cases = [
        (normal(rng, (1, size, size, channels)), normal(rng, (taps, taps, channels, features)), {"strides": strides})
        for size, taps, channels, features, strides in [
            (8, 3, 128, 128, 1), (7, 3, 128, 128, 1), (3, 1, 5, 6, 2), (9, 3, 5, 6, 1), (17, 7, 3, 4, 2),
        ]
    ] + list(random_cases(10, seed=10, largest=12))  # fmt: skip
    with ops.on_one_core():
        programs = [str(jax.make_jaxpr(lambda *a, o=o: ops.conv2d(*a, **o))(x, kernel)) for x, kernel, o in cases[:5]]
    assert ["conv_general_dilated" in program for program in programs] == [False, False, False, True, True]
    ours, expected = (together(gradients, [(*case, one_core) for case in cases]) for one_core in (True, False))
    for result, reference, case in zip(ours, expected, cases, strict=True):
        for found, other in zip(result, reference, strict=True):
            assert error(found, np.asarray(other)) <= 2e-5, (case[0].shape, case[1].shape, case[2])


@pytest.mark.parametrize(("size", "padding"), [(224, 3), (33, "SAME"), (14, "VALID")])
def test_an_images_blocks_as_channels(size, padding):
    rng = np.random.default_rng(3)
    x, kernel = normal(rng, (1, size, size, 3)), normal(rng, (7, 7, 3, 4))
    convolve = functools.partial(ops.conv2d, strides=2, padding=padding)
    program = jax.jit(functools.partial(convolve, lowering="space_to_depth")).lower(x, kernel)
    assert "tensor<4x4x12x4xf32>" in program.as_text()
    assert error(program.compile()(x, kernel), np.asarray(convolve(x, kernel))) <= 2e-6


@pytest.mark.parametrize("options", [{"dilation": 2, "strides": 2}, {"groups": 3, "strides": 2}, {"strides": 1}])
def test_blocks_only_where_they_serve(options):
    x, kernel = jnp.ones((1, 9, 9, 3)), jnp.ones((3, 3, 3 // options.get("groups", 1), 3))
    by_blocks, auto = (
        str(jax.make_jaxpr(functools.partial(ops.conv2d, lowering=name, **options))(x, kernel))
        for name in ("space_to_depth", "auto")
    )
    assert by_blocks == auto


@pytest.mark.parametrize("channels", [1, 16])
def test_winograd_of_many_channels(channels):
    rng = np.random.default_rng(0)
    x = normal(rng, (3, 13, 10, channels))
    kernel = normal(rng, (3, 3, channels, 24))
    expected = looped(np.asarray(x), np.asarray(kernel), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    assert error(jax.jit(functools.partial(ops.conv2d, lowering="winograd"))(x, kernel), expected) <= 2e-6


@pytest.mark.parametrize("lowering", ["xla", "patches", "winograd"])
def test_transformations(lowering):
    rng = np.random.default_rng(1)
    x = normal(rng, (4, 9, 8, 8))
    kernel = normal(rng, (3, 3, 8, 8))
    convolve = functools.partial(ops.conv2d, kernel=kernel, lowering=lowering)
    plain = convolve(x)

    @jax.jit
    def transformed(x):
        one_by_one = jax.vmap(lambda image: convolve(image[None])[0])(x)
        scanned = jax.lax.scan(lambda carry, image: (carry, convolve(image[None])[0]), 0, x)[1]
        by_vmap = jax.vmap(jax.grad(lambda image: jnp.sum(convolve(image[None]) ** 2)))(x)
        return (convolve(x), one_by_one, scanned), by_vmap, jax.grad(lambda x: jnp.sum(convolve(x) ** 2))(x)

    others, by_vmap, gradient = transformed(x)
    for other in others:
        assert error(other, np.asarray(plain)) <= 2e-6
    assert error(by_vmap, np.asarray(gradient)) <= 2e-6


@pytest.mark.parametrize("lowering", ["xla", "patches", "winograd"])
def test_bfloat16_is_summed_in_float32(lowering):
    x, kernel = jnp.ones((1, 3, 3, 512), jnp.bfloat16), jnp.ones((3, 3, 512, 8), jnp.bfloat16)
    y = ops.conv2d(x, kernel, lowering=lowering)
    assert y.dtype == jnp.bfloat16
    assert float(y[0, 1, 1, 0]) == 4608  # 9 x 512; a sum in bfloat16 ends at 256, where adding 1 changes nothing


ADJOINT_SIZE = (9, 12)  # of images
ADJOINT_AXES = ((1, 2, (2, 3)), PADDINGS, (1, 2, (1, 3)), (1, 2, 4))  # strides, paddings, dilations, groups
# In three parts that each have every pair of values; all kernels that Winograd's lowering takes are in the first.
ADJOINT_PARTS: list[list] = [[], [], []]
for places in itertools.product(*(range(len(axis)) for axis in ADJOINT_AXES)):
    values = [axis[place] for axis, place in zip(ADJOINT_AXES, places, strict=True)]
    options = dict(zip(("strides", "padding", "dilation", "groups"), values, strict=True))
    # of odd size, which Winograd's lowering takes, and of even size
    if (options["strides"], options["dilation"], options["groups"]) == (1, 1, 1):
        ADJOINT_PARTS[0].append(((3, 3), options))
    else:
        ADJOINT_PARTS[sum(places) % 3].append(((3, 2), options))


@pytest.mark.parametrize("part", [0, *(pytest.param(each, marks=pytest.mark.exhaustive) for each in (1, 2))])
def test_the_transposed_convolution_is_the_adjoint(part):
    """<A y, x> = <y, A' x>, with A y by the loop, in float64: for every padding, stride, dilation and group count."""
    rng = np.random.default_rng(2)
    cases, forwards = [], []
    turns = collections.Counter()  # of those lowerings that a case can have
    for window, options in ADJOINT_PARTS[part]:
        strides, dilation = (np.broadcast_to(options[name], 2).tolist() for name in ("strides", "dilation"))
        kernel = rng.standard_normal((*window, 4 // options["groups"], 8))
        y = rng.standard_normal((1, *ADJOINT_SIZE, 4))
        pads = ops.resolve_padding(options["padding"], ADJOINT_SIZE, window, strides, dilation)
        mode = NUMPY_BORDER.get(str(options["padding"]), "constant")
        forward = looped(y, kernel, strides, pads, dilation, options["groups"], mode)
        names = tuple(lowerings(kernel, {**options, "strides": tuple(strides), "dilation": tuple(dilation)}))
        cases.append((kernel, {**options, "lowering": names[turns[names] % len(names)]}))
        turns[names] += 1
        forwards.append((y, forward, rng.standard_normal(forward.shape)))
    assert {options["lowering"] for _, options in cases} >= {"xla", "patches", "space_to_depth"}
    assert part or "winograd" in {options["lowering"] for _, options in cases}
    some = [(x, *case) for (_, _, x), case in zip(forwards, cases, strict=True)]
    with jax.enable_x64(True):
        results = together(
            lambda x, kernel, options: ops.conv_transpose2d(x, kernel, output_size=ADJOINT_SIZE, **options), some
        )
    for back, case, (y, forward, x) in zip(results, some, forwards, strict=True):
        assert back.shape == y.shape
        assert back.dtype == np.float64
        # Sums of some hundred products: their roundings are 1e-15 of the norms.
        bound = 1e-13 * np.linalg.norm(forward) * np.linalg.norm(x)
        assert abs(np.vdot(forward, x) - np.vdot(y, back)) < bound, case[2]
        assert abs(np.vdot(forward, x)) > 1e6 * bound


def test_sizes_of_the_transposed_convolution(untyped):
    x, kernel = jnp.ones((1, 5, 5, 1)), jnp.ones((3, 3, 1, 1))
    for options, size in (({"padding": "SAME"}, 10), ({"padding": "VALID"}, 11), ({"output_size": 12}, 12)):
        options = {"padding": "VALID"} | options
        transposed = functools.partial(ops.conv_transpose2d, strides=2, **options)
        assert jax.eval_shape(transposed, x, kernel).shape == (1, size, size, 1)
    with pytest.raises(ops.GeometryError, match="expected 11 to 12"):
        ops.conv_transpose2d(x, kernel, strides=2, padding="VALID", output_size=13)
    with pytest.raises(ValueError, match="input has 1 channels"):
        ops.conv_transpose2d(x, jnp.ones((3, 3, 1, 2)))


def test_what_does_not_fit_is_refused(untyped):
    x, kernel = jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 4))
    with pytest.raises(ops.GeometryError, match="window of 5 pixels exceeds its input of 4"):
        ops.conv2d(x, kernel, padding="VALID", dilation=2)
    with pytest.raises(ValueError, match="input has 2 channels"):
        ops.conv2d(x, kernel, groups=2)
    with pytest.raises(ValueError, match="does not divide"):
        ops.conv2d(jnp.ones((1, 4, 4, 6)), kernel, groups=3)
    with pytest.raises(ValueError, match="lowering='fast'"):
        ops.conv2d(x, kernel, lowering="fast")
    with pytest.raises(ValueError, match="strides=0"):
        ops.conv2d(x, kernel, strides=0)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_kernels_of_many_taps(padding):
    """Above 256 taps a convolution is XLA's on CPU too, and patches end at 1,024."""
    rng = np.random.default_rng(11)
    x, kernel = rng.standard_normal((2, 19, 21, 2)), rng.standard_normal((17, 18, 2, 3))
    pads = ops.resolve_padding(padding, (19, 21), (17, 18))
    expected = looped(x, kernel, (1, 1), pads, (1, 1), 1)
    arrays = jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32)
    for lowering in ("auto", "patches") if padding == "VALID" else ("auto",):
        program = jax.jit(functools.partial(ops.conv2d, padding=padding, lowering=lowering))
        np.testing.assert_allclose(program(*arrays), expected, atol=2e-4)
    with pytest.raises(ops.GeometryError, match="at most 1,024 taps, and this one has 1,089; use lowering auto or xla"):
        ops.conv2d(arrays[0], jnp.zeros((33, 33, 2, 3)), padding="SAME", lowering="patches")
