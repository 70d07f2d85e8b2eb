"""Convolution against the lecture's numbers and a plain loop in NumPy, every lowering against the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
    result = ops.conv2d(jnp.asarray(image)[None, :, :, None], jnp.asarray(kernel)[:, :, None, None], **options)
    return np.asarray(result)[0, :, :, 0]


def looped(x, kernel, strides, pads, dilation, groups, mode="constant"):
    """Convolution by its definition, in float64."""
    x = np.pad(x.astype(np.float64), ((0, 0), *pads, (0, 0)), mode=mode)
    kh, kw, channels, features = kernel.shape
    oh = (x.shape[1] - dilation[0] * (kh - 1) - 1) // strides[0] + 1
    ow = (x.shape[2] - dilation[1] * (kw - 1) - 1) // strides[1] + 1
    result = np.zeros((x.shape[0], oh, ow, features))
    for row, column, feature in np.ndindex(oh, ow, features):
        group = feature // (features // groups)
        for i, j, channel in np.ndindex(kh, kw, channels):
            pixel = x[:, row * strides[0] + i * dilation[0], column * strides[1] + j * dilation[1]]
            result[:, row, column, feature] += pixel[:, group * channels + channel] * kernel[i, j, channel, feature]
    return result


@pytest.mark.parametrize("lowering", ["xla", "patches"])
def test_the_lectures_429(lowering):
    image = np.array([[18, 54, 51], [55, 121, 75], [35, 24, 204]], np.float32)
    weights = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.float32)
    assert single(image, weights, padding="VALID", lowering=lowering).tolist() == [[429]]


@pytest.mark.parametrize("lowering", ["xla", "patches"])
def test_the_lectures_strides(lowering):
    stride1 = [[-14, -1, 10, -1], [-11, -11, 7, 12], [-7, -10, 1, 13], [5, -16, -4, 11]]
    assert single(LECTURE_IMAGE, VERTICAL_EDGE, padding="VALID", lowering=lowering).tolist() == stride1
    stride2 = single(LECTURE_IMAGE, VERTICAL_EDGE, padding="VALID", strides=2, lowering=lowering)
    assert stride2.tolist() == [[-14, 10], [-7, 1]]


def random_cases(count):
    rng = np.random.default_rng(7)
    paddings = ["VALID", "SAME", "SAME_LOWER", "TORCH", "REFLECT", "REPLICATE", "CIRCULAR", 2, ((1, 0), (2, 3))]
    while count:
        size, window = rng.integers(1, 11, 2), rng.integers(1, 5, 2)
        strides, dilation = rng.integers(1, 4, 2), rng.integers(1, 3, 2)
        groups = int(rng.choice([1, 1, 2, 3]))
        padding = paddings[rng.integers(len(paddings))]
        arguments = [tuple(map(int, pair)) for pair in (size, window, strides)]
        try:
            ops.output_sizes(*arguments, padding, tuple(map(int, dilation)))
        except ops.GeometryError:
            continue
        channels, features = groups * int(rng.integers(1, 3)), groups * int(rng.integers(1, 3))
        x = rng.standard_normal((2, *size, channels)).astype(np.float32)
        kernel = rng.standard_normal((*window, channels // groups, features)).astype(np.float32)
        yield x, kernel, arguments[2], padding, tuple(map(int, dilation)), groups
        count -= 1


def test_random_cases_equal_the_loop():
    for x, kernel, strides, padding, dilation, groups in random_cases(70):
        size, window = x.shape[1:3], kernel.shape[:2]
        pads = ops.resolve_padding(padding, size, window, strides, dilation)
        mode = NUMPY_BORDER.get(str(padding), "constant")
        expected = looped(x, kernel, strides, pads, dilation, groups, mode)
        for lowering in ["xla", "patches"] if groups == 1 else ["xla"]:
            options = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
            result = np.asarray(ops.conv2d(jnp.asarray(x), jnp.asarray(kernel), lowering=lowering, **options))
            # float32 sums of at most 4*4*6 products of order 1: some 1e-6 apart from float64's
            np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_gradients_of_the_lowerings_agree():
    for x, kernel, strides, padding, dilation, _ in (case for case in random_cases(25) if case[-1] == 1):

        def loss(x, kernel, lowering, options=(strides, padding, dilation)):
            strides, padding, dilation = options
            y = ops.conv2d(x, kernel, strides=strides, padding=padding, dilation=dilation, lowering=lowering)
            return jnp.sum(jnp.sin(y))

        for ours, theirs in zip(
            jax.grad(loss, argnums=(0, 1))(x, kernel, "patches"),
            jax.grad(loss, argnums=(0, 1))(x, kernel, "xla"),
            strict=True,
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


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
