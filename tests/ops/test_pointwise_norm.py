"""A 1x1 convolution and batch norm in one, beside the two by their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.gradients import pull_back

from cnn_jax import ops

SHAPE, FEATURES = (8, 5, 4, 6), 16


def operands(dtype=jnp.float32):
    draw = np.random.default_rng(0)
    x = np.maximum(draw.normal(0.5, 1.0, SHAPE), 0.0)  # as after a ReLU
    kernel, scale, bias = (
        draw.normal(0, 0.4, (SHAPE[-1], FEATURES)),
        draw.normal(1, 0.1, FEATURES),
        draw.normal(size=16),
    )
    cotangent = draw.normal(size=(*SHAPE[:-1], FEATURES))
    return [jnp.asarray(each, dtype) for each in (x, kernel)] + [
        jnp.asarray(scale, jnp.float32),
        jnp.asarray(bias, jnp.float32),
        jnp.asarray(cotangent, dtype),
    ]


def by_definition(x, kernel, scale, bias, parts, eps):
    """Both steps in plain jnp, without a gradient of our own."""
    split = jnp.einsum("bhwc,co->bhwo", x, kernel, precision="highest").reshape(parts, -1, *SHAPE[1:-1], FEATURES)
    mean, variance = (of(split, axis=(1, 2, 3), keepdims=True) for of in (jnp.mean, jnp.var))
    y = scale * (split - mean) / jnp.sqrt(variance + eps) + bias
    return y.reshape(*SHAPE[:-1], FEATURES), mean.reshape(parts, -1).mean(0), variance.reshape(parts, -1).mean(0)


@pytest.mark.parametrize("parts", [1, 2, 8])
def test_values_and_gradients_are_those_of_the_two_steps(parts):
    *arguments, cotangent = operands()

    def ours(*arguments):
        return ops.pointwise_batch_norm_train(*arguments, eps=1e-3, parts=parts)

    def theirs(*arguments):
        return by_definition(*arguments, parts, 1e-3)

    results = []
    for function in (ours, theirs):
        values, gradients = pull_back(function, (cotangent, jnp.zeros(FEATURES), jnp.zeros(FEATURES)), *arguments)
        results.append((*values, *gradients))
    names = ("y", "mean", "variance", "to_x", "to_kernel", "to_scale", "to_bias")
    for name, mine, expected in zip(names, *results, strict=True):
        # a covariance by differences of sums: a few units of float32's last place of the largest
        np.testing.assert_allclose(mine, expected, rtol=0, atol=3e-6 * float(jnp.abs(expected).max()), err_msg=name)


def test_half_precision_is_as_near_to_exact_as_the_two_steps():
    *arguments, cotangent = operands(jnp.bfloat16)
    wide = [each.astype(jnp.float32) for each in arguments]
    exact = pull_back(lambda *each: by_definition(*each, 1, 1e-5)[0], cotangent.astype(jnp.float32), *wide)

    def two_steps(x, kernel, scale, bias):
        return ops.batch_norm_train(ops.conv2d(x, kernel[None, None], padding="VALID"), scale, bias)[0]

    def one_step(*each):
        return ops.pointwise_batch_norm_train(*each)[0]

    def errors(function):
        y, gradients = pull_back(function, cotangent, *arguments)
        assert y.dtype == jnp.bfloat16
        pairs = zip((y, *gradients), (exact[0], *exact[1]), strict=True)
        return [
            float(np.linalg.norm(np.asarray(mine, np.float32) - np.asarray(right)) / np.linalg.norm(right))
            for mine, right in pairs
        ]

    for one, two in zip(errors(one_step), errors(two_steps), strict=True):
        assert one < max(1.5 * two, 2**-8)  # bfloat16 keeps 8 bits


def test_statistics_take_no_gradient():
    x, kernel, scale, bias, _ = operands()
    gradient = jax.grad(lambda kernel: ops.pointwise_batch_norm_train(x, kernel, scale, bias)[2].sum())(kernel)
    np.testing.assert_array_equal(gradient, 0)


def test_parts_must_divide_the_batch():
    x, kernel, scale, bias, _ = operands()
    with pytest.raises(ValueError, match="parts=3 does not divide a batch of 8"):
        ops.pointwise_batch_norm_train(x, kernel, scale, bias, parts=3)
