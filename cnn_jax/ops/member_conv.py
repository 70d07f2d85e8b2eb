"""Convolutions of GPU programs, whose kernels' gradients stay backward convolutions under `jax.vmap`.

The members of an ensemble, each with a kernel of its own, become groups of channels. Left to `jax.vmap`, the gradient
of such kernels is a forward convolution whose window is the whole map, for which images and maps are transposed. Here
it is the gradient of the grouped convolution, which cuDNN has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

from cnn_jax.ops.windows import Windows


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv(x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw c o"], windows: Windows) -> Float[Array, "b oh ow o"]:
    """Convolves by XLA, with gradients that suit ensembles.

    Args:
      x: Feature maps, channels last.
      kernel: Weights.
      windows: Windows of the convolution.

    Returns:
      Feature maps.
    """
    return grouped(x, kernel, windows, 1)


def grouped(x: Array, kernel: Array, windows: Windows, groups: int) -> Array:
    """Convolves by XLA, in groups of channels."""
    return lax.conv_general_dilated(
        x,
        kernel,
        windows.strides,
        windows.pads,
        rhs_dilation=windows.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _forward(x: Array, kernel: Array, windows: Windows) -> tuple[Array, tuple[Array, Array]]:
    return conv(x, kernel, windows), (x, kernel)


def _backward(windows: Windows, saved: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    x, kernel = saved
    (to_x,) = jax.vjp(lambda x: grouped(x, kernel, windows, 1), x)[1](cotangent)
    return to_x, _kernel_gradient(windows, kernel.shape)(x, cotangent)


conv.defvjp(_forward, _backward)


def _kernel_gradient(windows: Windows, shape: tuple[int, ...]) -> Callable[[Array, Array], Array]:
    """Gives the function of maps and cotangent that is the gradient of a kernel of this shape."""

    def of_groups(x: Array, cotangent: Array, groups: int, features: int) -> Array:
        kernel = jnp.zeros((*shape[:3], features), x.dtype)
        gradient: Array = jax.vjp(lambda kernel: grouped(x, kernel, windows, groups), kernel)[1](cotangent)[0]
        return gradient

    @custom_vmap
    def gradient(x: Array, cotangent: Array) -> Array:
        return of_groups(x, cotangent, 1, shape[3])

    @gradient.def_vmap
    def of_members(members: int, batched: list[bool], x: Array, cotangent: Array) -> tuple[Array, bool]:
        if not batched[1]:
            cotangent = jnp.broadcast_to(cotangent, (members, *cotangent.shape))
        maps = _members_as_channels(x) if batched[0] else x  # images that all share need no groups
        kernels = of_groups(maps, _members_as_channels(cotangent), members if batched[0] else 1, members * shape[3])
        return jnp.moveaxis(kernels.reshape(*shape[:3], members, shape[3]), 3, 0), True

    return gradient


def _members_as_channels(maps: Float[Array, "m b h w c"]) -> Float[Array, "b h w m*c"]:
    return jnp.moveaxis(maps, 0, 3).reshape(*maps.shape[1:4], -1)
