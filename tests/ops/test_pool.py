"""Pooling: the lecture's tables, a loop in NumPy, and where gradients go."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.gradients import pull_back
from support.quick_programs import QUICK

from cnn_jax import ops


def pooled(pool, image, *options, **more):
    program = jax.jit(lambda x: pool(x, *options, **more)[0, :, :, 0])
    return program(jnp.asarray(image, jnp.float32)[None, :, :, None]).tolist()


def test_the_lectures_tables():
    maximum = [[1, 3, 2, 4], [5, 6, 8, 7], [4, 2, 1, 3], [2, 5, 7, 8]]
    assert pooled(ops.max_pool, maximum, 2) == [[6, 8], [5, 8]]
    average = [[2, 2, 7, 3], [9, 4, 6, 1], [8, 5, 2, 4], [3, 1, 2, 6]]
    assert pooled(ops.avg_pool, average, 2) == [[4.25, 4.25], [4.25, 3.5]]
    minimum = [[20, 8, 12, 15], [6, 12, 9, 8], [9, 12, 10, 6], [18, 10, 5, 9]]
    assert pooled(ops.min_pool, minimum, 2) == [[6, 8], [9, 5]]


def test_padding_never_wins_and_is_not_counted():
    negative = -np.ones((2, 2))
    assert pooled(ops.max_pool, negative, 2, padding=1) == [[-1, -1], [-1, -1]]
    assert pooled(ops.min_pool, -negative, 2, padding=1) == [[1, 1], [1, 1]]
    assert pooled(ops.avg_pool, negative, 2, padding=1) == [[-1, -1], [-1, -1]]
    assert pooled(ops.avg_pool, negative, 2, padding=1, count_include_pad=True) == [[-0.25, -0.25], [-0.25, -0.25]]


def test_against_a_loop():
    rng = np.random.default_rng(3)
    reductions = {ops.max_pool: np.nanmax, ops.min_pool: np.nanmin, ops.avg_pool: np.nanmean}
    cases, expected = [], []
    for size, window, stride, padding in itertools.product(
        (4, 7), (2, 3), (1, 2, 3), ("VALID", "SAME", "SAME_LOWER", 1)
    ):
        x = rng.standard_normal((size, size + 1)).astype(np.float32)
        pads = ops.resolve_padding(padding, x.shape, window, stride)
        padded = np.pad(x, pads, constant_values=np.nan)
        oh, ow = ops.output_sizes(x.shape, window, stride, padding)
        for pool, reduce in reductions.items():
            cases.append((pool, x, window, {"strides": stride, "padding": padding}))
            expected.append(
                [
                    [
                        reduce(padded[i * stride : i * stride + window, j * stride : j * stride + window])
                        for j in range(ow)
                    ]
                    for i in range(oh)
                ]
            )
    results = jax.jit(
        lambda images: [
            pool(x[None, :, :, None], window, **options)[0, :, :, 0]
            for x, (pool, _, window, options) in zip(images, cases, strict=True)
        ]
    )([x for _, x, _, _ in cases])
    for result, values, (pool, x, *options) in zip(results, expected, cases, strict=True):
        np.testing.assert_allclose(result, values, rtol=1e-6, atol=1e-7, err_msg=f"{pool} {x.shape} {options}")


@pytest.mark.parametrize("pool", [ops.max_pool, ops.min_pool])
def test_a_tie_gives_its_gradient_to_the_first(pool):
    gradient = jax.grad(lambda x: pool(x, 2).sum())(jnp.zeros((1, 4, 4, 1)))
    first = np.array([[1, 0], [0, 0]])
    assert np.array_equal(gradient[0, :, :, 0], np.tile(first, (2, 2)))


SMALL, LARGE = ((2, 2), (3, 2), (2, 3), (3, 3)), ((12, 11),)  # the large window has more than 127 taps


@pytest.mark.parametrize("padding", ["VALID", "SAME", 1])
@pytest.mark.parametrize(
    ("windows", "steps"),
    [
        (SMALL, ((1, 1), (2, 1), (2, 3), (4, 4))),
        (LARGE, ((1, 1), (2, 3))),
        pytest.param(LARGE, ((2, 1), (4, 4)), marks=pytest.mark.exhaustive),
    ],
    ids=["small", "large", "large too"],
)
def test_gradients_against_a_loop(windows, steps, padding):
    """Windows and strides are of one program."""
    rng = np.random.default_rng(5)
    size = (13, 14)
    x = rng.integers(0, 4, size).astype(np.float32)  # many ties
    cases = list(itertools.product(windows, steps))
    cotangents, expected = [], []
    for window, strides in cases:
        (top, bottom), (left, right) = ops.resolve_padding(padding, size, window, strides)
        padded = np.pad(x, ((top, bottom), (left, right)), constant_values=-np.inf)
        outputs = ops.output_sizes(size, window, strides, padding)
        cotangents.append(rng.integers(-9, 10, outputs).astype(np.float32))
        wanted = np.zeros(padded.shape, np.float32)
        for i, j in np.ndindex(outputs):
            top_left = (i * strides[0], j * strides[1])
            here = tuple(slice(first, first + taps) for first, taps in zip(top_left, window, strict=True))
            first = np.unravel_index(np.argmax(padded[here]), window)
            wanted[here][first] += cotangents[-1][i, j]
        expected.append(wanted[top : top + size[0], left : left + size[1]])

    @jax.jit
    def gradients(x, cotangents):
        found = []
        for (window, strides), cotangent in zip(cases, cotangents, strict=True):
            _, back = jax.vjp(lambda x, w=window, s=strides: ops.max_pool(x, w, strides=s, padding=padding), x)
            found.append(back(cotangent[None, :, :, None])[0][0, :, :, 0])
        return found

    for case, gradient, wanted in zip(cases, gradients(x[None, :, :, None], cotangents), expected, strict=True):
        np.testing.assert_array_equal(gradient, wanted, err_msg=str(case))


def test_overlapping_windows_add_their_gradients():
    image = jnp.asarray([[0.0, 0, 0], [0, 5, 0], [0, 0, 0]])[None, :, :, None]
    gradient = jax.grad(lambda x: ops.max_pool(x, 2, strides=1).sum())(image)
    assert gradient[0, 1, 1, 0] == 4
    assert gradient.sum() == 4


def test_what_does_not_fit_is_refused(untyped):
    x = jnp.ones((1, 3, 3, 1))
    with pytest.raises(ops.GeometryError, match="window of 4 pixels exceeds its input of 3"):
        ops.max_pool(x, 4)
    with pytest.raises(ValueError, match="REFLECT"):
        ops.max_pool(x, 2, padding="REFLECT")
    with pytest.raises(ValueError, match="wholly in the padding"):
        ops.avg_pool(x, 2, padding=2)


def test_ceil_mode_as_pytorch_has_it():
    row = np.arange(1.0, 6.0)[None]  # 5 pixels; windows of 2, stride 2: the third sees one pixel
    assert pooled(ops.max_pool, row, (1, 2), ceil_mode=True) == [[2, 4, 5]]
    assert pooled(ops.min_pool, row, (1, 2), ceil_mode=True) == [[1, 3, 5]]
    assert pooled(ops.avg_pool, row, (1, 2), ceil_mode=True) == [[1.5, 3.5, 5]]
    assert pooled(ops.avg_pool, row, (1, 2), ceil_mode=True, count_include_pad=True) == [[1.5, 3.5, 5]]
    # a pixel of padding counts, what lies beyond it does not: 0 1 2, 3 4 5, and no third window, which would
    # start in the padding; with windows of 4 and stride 3: 0 1 2 3, then 3 4 5 0
    padded = {"padding": ((0, 0), (1, 1)), "ceil_mode": True, "count_include_pad": True}
    assert pooled(ops.avg_pool, row, (1, 3), **padded) == [[1, 4]]
    assert pooled(ops.avg_pool, row, (1, 4), strides=(1, 3), **padded) == [[1.5, 3]]
    assert pooled(ops.avg_pool, row[:, :4], (1, 4), strides=(1, 3), **padded) == [[1.5, pytest.approx(7 / 3)]]
    assert ops.output_sizes(5, 2, 2, "VALID", ceil_mode=True) == (3, 3)
    # GoogLeNet's 112 -> 56 by windows of 3 and stride 2; without it 55
    assert ops.output_sizes(112, 3, 2, "VALID", ceil_mode=True) == (56, 56)
    assert ops.output_sizes(112, 3, 2, "VALID") == (55, 55)


def test_global_pooling():
    x = jnp.asarray([[[1.0, 8.0], [2.0, 6.0]], [[3.0, 4.0], [6.0, 2.0]]])[None]
    assert ops.global_max_pool(x).tolist() == [[6, 8]]
    assert ops.global_avg_pool(x).tolist() == [[3, 5]]


@pytest.mark.parametrize(
    ("window", "strides", "padding"), [(17, 3, "SAME"), ((20, 13), (1, 40), "VALID"), (18, 1000, "SAME")]
)
def test_windows_of_many_taps(window, strides, padding):
    """Above 256 taps sums and maxima come from reduce_window; the loop's values, and gradients to the first maximum."""
    x = np.random.default_rng(5).permutation(21 * 20).reshape(21, 20).astype(np.float32)
    (kh, kw), (sh, sw) = (each if isinstance(each, tuple) else (each, each) for each in (window, strides))
    pads = ops.resolve_padding(padding, x.shape, (kh, kw), (sh, sw))
    padded = np.pad(x, pads, constant_values=np.nan)
    oh, ow = ops.output_sizes(x.shape, (kh, kw), (sh, sw), padding)
    views = [[padded[i * sh : i * sh + kh, j * sw : j * sw + kw] for j in range(ow)] for i in range(oh)]
    options = {"strides": strides, "padding": padding}
    assert pooled(ops.max_pool, x, window, **options) == [[np.nanmax(view) for view in row] for row in views]
    assert pooled(ops.min_pool, x, window, **options) == [[np.nanmin(view) for view in row] for row in views]
    means = [[np.nanmean(view) for view in row] for row in views]
    np.testing.assert_allclose(pooled(ops.avg_pool, x, window, **options), means, rtol=1e-5)
    total = jax.jit(jax.grad(lambda image: ops.max_pool(image[None, :, :, None], window, **options).sum()))
    gradient = total(jnp.asarray(x))
    expected = np.zeros_like(x)
    for view in itertools.chain(*views):
        expected[x == np.nanmax(view)] += 1
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("strides", [3, 5, 100])
def test_strides_beyond_the_map(strides):
    x = jnp.asarray([[1.0, 5.0, 2.0], [0.0, 3.0, 9.0], [8.0, 4.0, 7.0]])
    options = {"strides": strides, "padding": "SAME"}
    assert pooled(ops.max_pool, x, 2, **options) == [[5.0]]
    gradient = jax.grad(lambda image: ops.max_pool(image[None, :, :, None], 2, **options).sum())(x)
    assert gradient.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


AXES = (
    (((13, 14), (2, 3)), ((9, 11), (3, 2))),
    ((1, 1), (2, 3)),
    ("VALID", "SAME", "SAME_LOWER", 1),
    ((1, 1), (2, 1), (3, 2)),
    (False, True),
)
# (size, window, strides, padding, dilation, ceil mode), in two halves that each have every pair of values.
HALVES = [
    [
        (*size_and_window, *options)
        for places in itertools.product(*(range(len(axis)) for axis in AXES))
        for size_and_window, *options in [[axis[place] for axis, place in zip(AXES, places, strict=True)]]
        if sum(places) % 2 == half
    ]
    for half in (0, 1)
]
CASES = [*HALVES[0], *HALVES[1]]


def windows_of(size, window, strides, padding, dilation, ceil_mode):
    """Yields each output's place and the pixels that its window sees, by a loop over taps."""
    pads = ops.resolve_padding(padding, size, window, strides, dilation)
    outputs = ops.output_sizes(size, window, strides, padding, dilation, ceil_mode)
    for place in np.ndindex(outputs):
        pixels = []
        for tap in np.ndindex(window):
            pixel = tuple(place[a] * strides[a] + tap[a] * dilation[a] - pads[a][0] for a in range(2))
            if all(0 <= pixel[a] < size[a] for a in range(2)):
                pixels.append(pixel)
        yield place, pixels


@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("padding", ["VALID", "SAME", "SAME_LOWER", 1])
def test_dilation_and_argmax_against_a_loop(padding, half):
    """Twelve cases are one program."""
    rng = np.random.default_rng(7)
    cases = [case for case in HALVES[half] if case[3] == padding]
    assert len(cases) == 12
    arrays, expected = [], []
    for case in cases:
        size, outputs = case[0], ops.output_sizes(*case)
        x = rng.integers(0, 6, size).astype(np.float32)  # many ties
        cotangent = rng.integers(-9, 10, outputs).astype(np.float32)
        largest, smallest, means = np.zeros((3, *outputs), np.float32)
        argmax, (gradient, unpooled) = np.zeros(outputs, np.int32), np.zeros((2, *size), np.float32)
        for place, pixels in windows_of(*case):
            values = [x[pixel] for pixel in pixels]
            largest[place], smallest[place], means[place] = np.max(values), np.min(values), np.mean(values)
            first = pixels[int(np.argmax(values))]
            argmax[place] = first[0] * size[1] + first[1]
            gradient[first] += cotangent[place]
            unpooled[first] = cotangent[place]
        arrays.append((x[None, :, :, None], cotangent[None, :, :, None]))
        expected.append((largest, smallest, largest, argmax, gradient, unpooled, means))

    @jax.jit
    def computed(arrays):
        results = []
        for (size, window, strides, _, dilation, ceil_mode), (x, cotangent) in zip(cases, arrays, strict=True):
            options = {"strides": strides, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
            largest, argmax = ops.max_pool_with_argmax(x, window, **options)
            pooled, back = jax.vjp(lambda x, w=window, o=options: ops.max_pool(x, w, **o), x)
            smallest, means = (pool(x, window, **options) for pool in (ops.min_pool, ops.avg_pool))
            unpooled = ops.max_unpool(cotangent, argmax, size)
            results.append((pooled, smallest, largest, argmax, back(cotangent)[0], unpooled, means))
        return results

    for case, results, wanted in zip(cases, computed(arrays), expected, strict=True):
        *exact, means = [each[0, :, :, 0] for each in results]
        for ours, values in zip(exact, wanted, strict=False):
            np.testing.assert_array_equal(ours, values, err_msg=str(case))
        # a mean of at most 6 small integers: a rounding or two
        np.testing.assert_allclose(means, wanted[-1], rtol=1e-6, err_msg=str(case))


def test_gradients_of_means_and_smallest_values_against_a_loop():
    """Dilated windows and windows of ceil_mode are among the cases; all are one program."""
    rng = np.random.default_rng(8)
    cases = [case for case in CASES if case[2] == (2, 3) or case[4] != (1, 1)][::5]
    assert {case[5] for case in cases} == {False, True}
    arrays, expected = [], []
    for case in cases:
        size, outputs = case[0], ops.output_sizes(*case)
        x, cotangent = rng.integers(0, 6, size).astype(np.float32), rng.integers(-9, 10, outputs).astype(np.float32)
        to_mean, to_smallest = np.zeros((2, *size))
        for place, pixels in windows_of(*case):
            to_smallest[min(pixels, key=lambda pixel: x[pixel])] += cotangent[place]  # the first of equal ones
            for pixel in pixels:
                to_mean[pixel] += cotangent[place] / len(pixels)
        arrays.append((x[None, :, :, None], cotangent[None, :, :, None]))
        expected.append((to_mean, to_smallest))

    def gradients(arrays):
        found = []
        for (_, window, strides, padding, dilation, ceil_mode), (x, cotangent) in zip(cases, arrays, strict=True):
            options = {"strides": strides, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
            for pool in (ops.avg_pool, ops.min_pool):
                _, back = jax.vjp(lambda x, p=pool, w=window, o=options: p(x, w, **o), x)
                found.append(back(cotangent)[0][0, :, :, 0])
        return found

    found = jax.jit(gradients, compiler_options=QUICK)(arrays)
    for case, to_mean, to_smallest, (mean, smallest) in zip(cases, found[::2], found[1::2], expected, strict=True):
        np.testing.assert_allclose(to_mean, mean, rtol=0, atol=2e-5, err_msg=str(case))  # sums of up to six shares
        np.testing.assert_array_equal(to_smallest, smallest, err_msg=str(case))


max_unpool = jax.jit(ops.max_unpool, static_argnums=2)


def test_unpooling_the_example_of_pytorchs_documentation():
    # torch.nn.MaxUnpool2d: 1 to 16 in rows of four, MaxPool2d(2, stride=2, return_indices=True)
    x = jnp.arange(1.0, 17).reshape(1, 4, 4, 1)
    y, argmax = ops.max_pool_with_argmax(x, 2)
    assert y[0, :, :, 0].tolist() == [[6, 8], [14, 16]]
    assert argmax[0, :, :, 0].tolist() == [[5, 7], [13, 15]]
    assert max_unpool(y, argmax, 4)[0, :, :, 0].tolist() == [[0] * 4, [0, 6, 0, 8], [0] * 4, [0, 14, 0, 16]]
    # numbers of pixels that are read with other sizes, as its second example does
    wider = max_unpool(y, argmax, 5)[0, :, :, 0].tolist()
    assert wider == [[0] * 5, [6, 0, 8, 0, 0], [0, 0, 0, 14, 0], [16, 0, 0, 0, 0], [0] * 5]


def test_argmax_of_images_and_channels_apart():
    rng = np.random.default_rng(11)
    x = rng.standard_normal((3, 6, 5, 4)).astype(np.float32)
    y, argmax = jax.jit(lambda x: ops.max_pool_with_argmax(x, 2, padding="SAME"))(x)
    flat = x.reshape(3, 30, 4)
    assert np.array_equal(np.take_along_axis(flat, np.asarray(argmax).reshape(3, -1, 4), axis=1).reshape(y.shape), y)
    unpooled = np.asarray(max_unpool(y, argmax, (6, 5)))
    assert np.count_nonzero(unpooled) == y.size  # windows do not overlap
    assert np.array_equal(unpooled[unpooled != 0], x[unpooled != 0])


def test_gradients_of_argmax_and_unpooling():
    x = jnp.asarray([[1.0, 4.0, 2.0], [3.0, 0.0, 5.0]])[None, :, :, None]
    gradient = jax.jit(jax.grad(lambda x: ops.max_pool_with_argmax(x, 2, strides=1)[0].sum()))(x)
    assert gradient[0, :, :, 0].tolist() == [[0, 1, 0], [0, 0, 1]]
    # both windows of 5 put their value to the same pixel, and the last one's stands there
    argmax = jnp.asarray([5, 5], jnp.int32).reshape(1, 1, 2, 1)
    y = jnp.asarray([7.0, 9.0]).reshape(1, 1, 2, 1)
    twos = jnp.full((1, 2, 3, 1), 2.0)
    value, (gradient,) = pull_back(lambda y: ops.max_unpool(y, argmax, (2, 3)), twos, y)
    assert value[0, :, :, 0].tolist() == [[0, 0, 0], [0, 0, 9]]
    assert gradient.ravel().tolist() == [0, 2]


def test_windows_of_nothing_but_minus_infinity_name_a_pixel_of_theirs():
    x = jnp.full((1, 2, 2, 1), -jnp.inf)
    y, argmax = ops.max_pool_with_argmax(x, 2, strides=1, padding=1)
    assert argmax[0, :, :, 0].tolist() == [[0, 0, 1], [0, 0, 1], [2, 2, 3]]
    assert jnp.all(y == -jnp.inf)


def test_dilation_that_does_not_fit_is_refused(untyped):
    x = jnp.ones((1, 2, 2, 1))
    for pool in (ops.max_pool, ops.avg_pool, ops.min_pool, ops.max_pool_with_argmax):
        with pytest.raises(ops.GeometryError, match="window of 4 pixels exceeds its input of 2"):
            pool(x, 2, dilation=3)
        with pytest.raises(ops.GeometryError, match="2 pixels, 3 apart, lies wholly in the padding 2 of 2 pixels"):
            pool(x, 2, strides=1, dilation=3, padding=2)  # the second window sees -1 and 2
    with pytest.raises(ValueError, match="argmax has the shape"):
        ops.max_unpool(x, jnp.zeros((1, 2, 1, 1), jnp.int32), 4)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x, **options: ops.conv2d(x, jnp.ones((2, 2, 2, 3)), dilation=[1, 1], **options),
        lambda x, **options: ops.conv_transpose2d(x, jnp.ones((2, 2, 1, 2)), dilation=[1, 1], **options),
        lambda x, **options: ops.max_pool(x, [2, 2], **options),
        lambda x, **options: ops.min_pool(x, [2, 2], **options),
        lambda x, **options: ops.avg_pool(x, [2, 2], count_include_pad=True, **options),
        lambda x, **options: ops.max_pool_with_argmax(x, [2, 2], **options)[1],
    ],
    ids=["conv2d", "conv_transpose2d", "max_pool", "min_pool", "avg_pool", "max_pool_with_argmax"],
)
def test_lists_are_as_good_as_tuples(operation):
    x = jnp.arange(32.0).reshape(1, 4, 4, 2)
    listed = jax.jit(functools.partial(operation, strides=[2, 1], padding=[[1, 0], [0, 1]]))(x)
    tupled = jax.jit(functools.partial(operation, strides=(2, 1), padding=((1, 0), (0, 1))))(x)
    np.testing.assert_array_equal(listed, tupled)
