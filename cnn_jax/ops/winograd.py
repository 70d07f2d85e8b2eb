"""3x3 convolution of stride 1 by Winograd's minimal filtering F(2x2, 3x3).

It takes 16 multiplications where direct convolution takes 36.

The image is cut into tiles of 4x4 pixels, 2 apart. With the matrices of Lavin and Gray, a tile d and a kernel g give
2x2 outputs

    Y = A' [(G g G') * (B' d B)] A

where * is the elementwise product, summed over channels: 16 matrix products over all tiles. The transforms contain
only 0, 1, -1 and 1/2, so float32 results agree with direct convolution to about 1e-6 of their largest value.
The gradients apply the transposed transforms around the same 16 products. Each tile is one window of a 2x2 max pool,
so pooling needs no separate pass.

Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016, section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from cnn_jax.ops.chunks import chunk_count, map_chunks

Grid = list[list[Array]]
_TAPS, _TILE, _STEP = 3, 4, 2


@jax.custom_vjp
def conv(x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c o"]) -> Float[Array, "b oh ow o"]:
    """Convolves images of even height and width with stride 1 and no padding.

    Args:
      x: Images, already padded.
      kernel: Weights.

    Returns:
      Feature maps, two pixels smaller along each axis.
    """
    y: Array = map_chunks(lambda images: (_interleave(outputs(images, kernel)), ()), chunks(x, kernel), x)[0]
    return y


def _conv_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return conv(x, kernel), (x, kernel)


def _conv_backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved

    def work(images: Array, cotangent: Array) -> tuple[Array, Array]:
        phases = [[cotangent[:, i::_STEP, j::_STEP] for j in range(_STEP)] for i in range(_STEP)]
        return gradients(images, kernel, phases)

    to_x, to_kernel = map_chunks(work, chunks(x, kernel), x, gradient)
    return to_x, to_kernel


conv.defvjp(_conv_forward, _conv_backward)


def chunks(x: Array, kernel: Array) -> int:
    """Returns the number of chunks of a batch; transformed tiles take four times the memory of the images."""
    rows, columns = tile_counts(x)
    return chunk_count(x.shape[0], _TILE**2 * rows * columns * (kernel.shape[2] + kernel.shape[3]) * x.dtype.itemsize)


def tile_counts(x: Array) -> tuple[int, int]:
    """Returns the number of tiles along height and width."""
    return (x.shape[1] - _TAPS + 1) // _STEP, (x.shape[2] - _TAPS + 1) // _STEP


def outputs(x: Array, kernel: Array) -> Grid:
    """Returns the outputs [b, rows, columns, features] at each of the 2x2 positions of a tile."""
    shape = (x.shape[0], *tile_counts(x), kernel.shape[-1])
    inputs, weights = _inputs(x), _weights(kernel)
    products = [[d @ g for d, g in zip(*rows, strict=True)] for rows in zip(inputs, weights, strict=True)]
    phases = _both_ways(_to_outputs, lax.optimization_barrier(products))
    return [[phase.reshape(shape) for phase in row] for row in phases]


def gradients(x: Array, kernel: Array, gradient: Grid) -> tuple[Array, Array]:
    """Returns the gradients of images and kernel for the gradients of the `outputs`."""
    inputs, weights = _inputs(x), _weights(kernel)
    flat = [[phase.reshape(-1, phase.shape[-1]) for phase in row] for row in gradient]
    products = lax.optimization_barrier(_both_ways(_from_outputs, flat))
    to_weights = [
        [lax.dot_general(d, p, (((0,), (0,)), ((), ()))) for d, p in zip(*rows, strict=True)]
        for rows in zip(inputs, products, strict=True)
    ]
    to_inputs = [
        [lax.dot_general(p, g, (((1,), (1,)), ((), ()))) for p, g in zip(*rows, strict=True)]
        for rows in zip(products, weights, strict=True)
    ]
    to_kernel = _both_ways(_from_weights, lax.optimization_barrier(to_weights))
    return _gather_tiles(x, lax.optimization_barrier(to_inputs)), jnp.stack([jnp.stack(row) for row in to_kernel])


# Without the barriers XLA would recompute a transform in each fusion that reads it.


def _inputs(x: Array) -> Grid:
    batch, _, _, channels = x.shape
    rows, columns = tile_counts(x)
    x = lax.optimization_barrier(x)

    def pixels(i: int, j: int) -> Array:
        end = (batch, i + _STEP * (rows - 1) + 1, j + _STEP * (columns - 1) + 1, channels)
        return lax.slice(x, (0, i, j, 0), end, (1, _STEP, _STEP, 1)).reshape(-1, channels)

    tile = [[pixels(i, j) for j in range(_TILE)] for i in range(_TILE)]
    inputs: Grid = lax.optimization_barrier(_both_ways(_to_inputs, tile))
    return inputs


def _weights(kernel: Array) -> Grid:
    taps = [[kernel[i, j] for j in range(_TAPS)] for i in range(_TAPS)]
    weights: Grid = lax.optimization_barrier(_both_ways(_to_weights, taps))
    return weights


def _gather_tiles(x: Array, to_inputs: Grid) -> Array:
    """Sums each pixel's gradients over the tiles that contain it."""
    batch, _, _, channels = x.shape
    rows, columns = tile_counts(x)
    tile = [
        [each.reshape(batch, rows, columns, channels) for each in row] for row in _both_ways(_from_inputs, to_inputs)
    ]
    tile = lax.optimization_barrier(tile)

    def placed(i: int, j: int) -> Array:
        down, right = i // _STEP, j // _STEP
        return jnp.pad(tile[i][j], ((0, 0), (down, 1 - down), (right, 1 - right), (0, 0)))

    return _interleave(
        [
            [
                placed(i, j) + placed(i + _STEP, j) + placed(i, j + _STEP) + placed(i + _STEP, j + _STEP)
                for j in range(_STEP)
            ]
            for i in range(_STEP)
        ]
    )


def _interleave(phases: Grid) -> Array:
    """[b, h, w, c] for each of 2x2 positions -> [b, 2h, 2w, c]."""
    batch, rows, columns, channels = phases[0][0].shape
    stacked = jnp.stack([jnp.stack(row, axis=3) for row in phases], axis=2)
    return stacked.reshape(batch, _STEP * rows, _STEP * columns, channels)


def _both_ways(transform: Callable[[list[Array]], list[Array]], grid: Grid) -> Grid:
    """Returns T grid T': applies a one-dimensional transform to the columns, then to the rows."""
    columns = [transform(list(column)) for column in zip(*grid, strict=True)]
    return [transform(list(row)) for row in zip(*columns, strict=True)]


def _to_inputs(d: list[Array]) -> list[Array]:
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _from_inputs(v: list[Array]) -> list[Array]:
    return [v[0], v[1] - v[2] + v[3], v[1] + v[2] - v[0], -v[3]]


def _to_weights(g: list[Array]) -> list[Array]:
    ends = g[0] + g[2]
    return [g[0], 0.5 * (ends + g[1]), 0.5 * (ends - g[1]), g[2]]


def _from_weights(u: list[Array]) -> list[Array]:
    halves = 0.5 * (u[1] + u[2])
    return [u[0] + halves, 0.5 * (u[1] - u[2]), halves + u[3]]


def _to_outputs(m: list[Array]) -> list[Array]:
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _from_outputs(y: list[Array]) -> list[Array]:
    return [y[0], y[0] + y[1], y[0] - y[1], -y[1]]
