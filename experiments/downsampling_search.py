"""The best downsampling at a fixed cost: stride, pooling or neither after each convolution of the lecture's network.

Every network is as wide as the multiply-adds of the lecture's network with (8, 16, 16) kernels allow: if the maps
shrink early, a kernel costs less, and there are more of them.
"""

from collections.abc import Mapping
from typing import Any

from cnn_jax.padding_dialects import DIALECTS
from cnn_jax.sweep import Halving, Search, choice

BUDGET = 218_656  # multiply-adds of one image, forward
LEAST_WIDTH = 8  # kernels of the second and third convolution; the first has half as many
STAGES = ("stage1", "stage2", "stage3")
# Stride of the convolution; kind, window and strides of the pooling after it.
DOWNSAMPLING = {
    "none": (1, "none", 2, 2),
    "stride 2": (2, "none", 2, 2),
    "max 2": (1, "max", 2, 2),
    "average 2": (1, "avg", 2, 2),
    "max 3, stride 2": (1, "max", 3, 2),
}


def get_config() -> dict[str, Any]:
    return {
        "data": {
            "name": "fashion_mnist",
            "normalize": "standardize",
            "validation_fraction": 0.1,
            "train_examples": 12_000,
        },
        "optimizer": {"name": "adam", "learning_rate": 5e-3},
        "schedule": {"name": "cosine"},
        "train": {"epochs": 4, "batch_size": 64},
        "log": {"tensorboard": False},
    }


def get_search() -> Search:
    kinds = choice(list(DOWNSAMPLING))
    return Search(
        {**dict.fromkeys(STAGES, kinds), "padding": choice(["VALID", "SAME", "TORCH", "REFLECT"])},
        trials=30,
        sampler="tpe",
        batch=6,
        stopping=Halving(eta=2),
        confirm=2,
        seeds=5,
        overrides=lambda point: {"model": network(point)},
        max_multiply_adds=BUDGET,
        description="Which downsampling reaches the best validation accuracy at 218,656 multiply-adds per image?",
    )


def network(point: Mapping[str, str]) -> dict[str, Any]:
    """Returns the widest network of a point within the budget, or the narrowest one."""
    width = LEAST_WIDTH
    while 0 < multiply_adds(point, width + 1) <= BUDGET:
        width += 1
    strides, pooling, windows, pool_strides = zip(*(DOWNSAMPLING[point[stage]] for stage in STAGES), strict=True)
    return {
        "name": "cnn",
        "features": features(width),
        "padding": point["padding"],
        "strides": strides,
        "pooling": pooling,
        "pool_window": windows,
        "pool_strides": pool_strides,
        "pool_padding": _pool_padding(point),
    }


def features(width: int) -> tuple[int, int, int]:
    """Returns the numbers of kernels of the three convolutions."""
    return -(-width // 2), width, width


def multiply_adds(point: Mapping[str, str], width: int) -> int:
    """Counts the multiply-adds of a network for one 28x28 image; 0 if its maps vanish."""
    size, channels, total = 28, 1, 0
    for stage, kernels in zip(STAGES, features(width), strict=True):
        stride, pooling, window, pool_stride = DOWNSAMPLING[point[stage]]
        size = _outputs(size, 3, stride, point["padding"])
        total += size**2 * 9 * channels * kernels
        if pooling != "none":
            size = _outputs(size, window, pool_stride, _pool_padding(point))
        if size < 1:
            return 0
        channels = kernels
    return total + size**2 * channels * 64 + 64 * 10


def _pool_padding(point: Mapping[str, str]) -> str:
    return "VALID" if point["padding"] == "VALID" else "SAME"


def _outputs(size: int, window: int, stride: int, padding: str) -> int:
    return (size + sum(DIALECTS[padding].pads(size, window, stride, 1)) - window) // stride + 1
