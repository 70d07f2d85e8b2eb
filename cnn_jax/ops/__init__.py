"""Pure array functions: no parameters of their own, no Flax."""

from cnn_jax.conv_lowering import Lowering
from cnn_jax.ops.activation import has_relu_backward, relu, relu_backward
from cnn_jax.ops.conv import conv2d, conv_transpose2d, on_one_core
from cnn_jax.ops.conv_pool import conv2d_relu_max_pool
from cnn_jax.ops.norm import (
    batch_norm,
    batch_norm_train,
    batch_statistics,
    group_norm,
    layer_norm,
    local_response_norm,
)
from cnn_jax.ops.norm_pool import batch_norm_max_pool_train
from cnn_jax.ops.padding import (
    GeometryError,
    input_sizes,
    output_size,
    output_sizes,
    resolve_padding,
    total_paddings,
)
from cnn_jax.ops.pointwise_norm import pointwise_batch_norm_train
from cnn_jax.ops.pool import (
    adaptive_avg_pool,
    avg_pool,
    global_avg_pool,
    global_max_pool,
    max_pool,
    max_pool_with_argmax,
    max_unpool,
    min_pool,
)

__all__ = [
    "GeometryError",
    "Lowering",
    "adaptive_avg_pool",
    "avg_pool",
    "batch_norm",
    "batch_norm_max_pool_train",
    "batch_norm_train",
    "batch_statistics",
    "conv2d",
    "conv2d_relu_max_pool",
    "conv_transpose2d",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "has_relu_backward",
    "input_sizes",
    "layer_norm",
    "local_response_norm",
    "max_pool",
    "max_pool_with_argmax",
    "max_unpool",
    "min_pool",
    "on_one_core",
    "output_size",
    "output_sizes",
    "pointwise_batch_norm_train",
    "relu",
    "relu_backward",
    "resolve_padding",
    "total_paddings",
]
