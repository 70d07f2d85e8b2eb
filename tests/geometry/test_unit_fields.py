"""Pixels that single outputs depend on, beside perturbed pixels: every output, layer and network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.quick_programs import QUICK
from support.tiny_networks import SIDE, TINY

from cnn_jax import geometry, models, ops
from cnn_jax.config.model import (
    AlexNet,
    CifarResNet,
    Cnn,
    GoogLeNet,
    LeNet5,
    ResNet,
    SqueezeNet10,
    SqueezeNet11,
    TorchvisionAlexNet,
    TorchvisionGoogLeNet,
)
from cnn_jax.geometry.unit_fields import UnitFields

EVEN = {"features": (2, 2, 2), "kernel_size": (4, 2, (2, 3)), "pool_window": 2, "pool_strides": (2, 1, 1), "dense": ()}
# Narrow networks of every name, with images (height, width) on which each layer has a few outputs.
NETWORKS = [
    (Cnn(features=(2, 2, 2), dense=(2,)), (21, 24)),
    (Cnn(**EVEN, padding="SAME", pool_padding="SAME", strides=(2, 1, 1)), (21, 24)),
    (Cnn(**EVEN, padding="SAME_LOWER", dilation=(1, 2, 1), order="norm-activation-conv", norm="batch"), (25, 22)),
    (Cnn(**EVEN, padding=("TORCH", 3, ((0, 2), (3, 0))), pooling=("avg", "min", "none")), (21, 24)),
    (Cnn(**EVEN, padding="REFLECT", strides=(1, 2, 1)), (26, 23)),
    (Cnn(**EVEN, padding="REPLICATE"), (21, 24)),
    (Cnn(**EVEN, padding="CIRCULAR", strides=(3, 1, 1)), (21, 24)),
    (Cnn(features=(2, 2), strides=(3, 1), kernel_size=(1, 3), padding="SAME", pooling="none", dense=()), (21, 24)),
    (Cnn(features=(4, 2), norm="group", norm_groups=1, pooling="none", dense=()), (11, 12)),
    (LeNet5(features=(2, 3, 4), dense=(5,)), (28, 25)),
    (LeNet5(subsampling="trainable", connection="table", output="rbf", prototypes="learned", dense=(4,)), (25, 28)),
    (AlexNet(features=(4, 4, 6, 6, 4), dense=(8, 6), groups=2), (64, 71)),
    (TorchvisionAlexNet(features=(4, 4, 6, 6, 4), dense=(8,), head_size=4), (127, 95)),
    (GoogLeNet(width=0.1, modules=(1, 1, 0), stem_strides=1, stem_pools=(True, False), aux_heads=False), (23, 26)),
    (
        GoogLeNet(
            width=0.1, modules=(1, 1, 0), padding="VALID", stem_strides=1, stem_pools=(True, False), aux_heads=False
        ),
        (45, 38),
    ),
    (TorchvisionGoogLeNet(width=0.1, modules=(1, 1, 1), stem_kernel_size=3), (53, 46)),
    (ResNet(width=4, stage_strides=(1, 2, 1, 1), stem_pool_padding="SAME"), (25, 32)),
    (ResNet(depth=50, width=1, stem_kernel_size=4, padding="SAME", stride_in="1x1"), (38, 33)),
    (SqueezeNet10(width=0.05, modules=2, pool_after=(1, 2)), (41, 38)),
    (SqueezeNet11(width=0.05, modules=3, padding="VALID", pool_after=(1, 3)), (49, 52)),
    (CifarResNet(depth=8, width=4, stage_strides=(1, 3, 2)), (17, 20)),
    (CifarResNet(depth=8, width=4, activation_order="pre", shortcut="projection", padding="VALID"), (31, 36)),
    *((config, (SIDE, SIDE + 3)) for config in TINY),
]
CASES = [pytest.param(config, size, id=f"{config.name}-{number}") for number, (config, size) in enumerate(NETWORKS)]


def test_no_network_is_left_out():
    assert {config.name for config, _ in NETWORKS} == set(models.NETWORKS)


def perturbed(model, shape, names):
    """For every layer, output and channel which rows of the image it depends on, and which columns.

    What is not a number stays so through all layers, whatever their weights.
    """
    height, width, _ = shape
    shapes = model.variable_shapes(shape)
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes)
    images = np.ones((height + width, *shape), np.float32)
    images[np.arange(height), np.arange(height)] = np.nan
    images[height + np.arange(width), :, np.arange(width)] = np.nan

    def spoilt(variables, images):
        outputs = model.apply_with_layers(variables, images, names)[3]
        return {name: jnp.isnan(output) for name, output in outputs.items()}

    return jax.jit(spoilt, compiler_options=QUICK)(variables, images)


@pytest.mark.parametrize(("config", "size"), CASES)
def test_fields_are_those_of_perturbed_pixels(config, size, monkeypatch):
    def adaptive(x, outputs):
        """As `ops.adaptive_avg_pool`, whose products of weights that are 0 would make everything not a number."""
        cells = [[(i * n // outputs, -(-(i + 1) * n // outputs)) for i in range(outputs)] for n in x.shape[1:3]]
        rows = [jnp.stack([x[:, a:b, c:d].mean((1, 2)) for c, d in cells[1]], axis=1) for a, b in cells[0]]
        return jnp.stack(rows, axis=1)

    monkeypatch.setattr(ops, "adaptive_avg_pool", adaptive)
    # XLA may take the larger of 0 and what is not a number for 0.
    config = config.model_copy(update={"lowering": "patches", "activation": "leaky_relu"})
    shape = (*size, 2)
    model = models.create(config, 3)
    rows = [row for row in model.layers(shape) if not row.name.startswith("aux")]
    fields = UnitFields(model.layers(shape), shape)
    found = perturbed(model, shape, [row.name for row in rows])
    table = {row.name: row for row in geometry.summarize(config, shape, 3).layers}
    inside = 0
    for row in rows:
        spoilt = np.asarray(found[row.name])
        spoilt = spoilt.reshape(sum(size), *((1, 1) if spoilt.ndim == 2 else ()), *spoilt.shape[1:])
        by_rows, by_columns = spoilt[: size[0]], spoilt[size[0] :]
        channels = (None,) if row.kind in ("dense", "rbf") else range(spoilt.shape[-1])
        for channel in channels:
            down, across = fields.seen(row.name, channel)
            own = slice(None) if channel is None else slice(channel, channel + 1)
            sees = down.any(1)[:, None] & across.any(1)
            expected = down.T[:, :, None] & sees, across.T[:, None, :] & sees
            for observed, wanted in zip((by_rows, by_columns), expected, strict=True):
                wanted = np.broadcast_to(wanted[..., None], observed[..., own].shape)
                np.testing.assert_array_equal(observed[..., own], wanted, f"{row.name}, channel {channel}")
        # The table's windows of adaptive pooling are the smallest of one size that hold the true ones.
        if len(row.output_shape) == 1 or row.kind == "adaptive_avg_pool":
            continue
        # The table's size, jump and centre, wherever a field lies within the image.
        for axis, observed in enumerate((by_rows.any((2, 3)).T, by_columns.any((1, 3)).T)):
            geometric = table[row.name]
            for output, pixels in enumerate(observed):
                first = geometric.centre[axis] - (geometric.receptive_field[axis] - 1) / 2
                first += output * geometric.jump[axis]
                last = first + geometric.receptive_field[axis] - 1
                if first >= 0 and last < size[axis]:
                    seen = np.flatnonzero(pixels)
                    assert (seen[0], seen[-1]) == (first, last), (row.name, axis, output)
                    inside += 1
    assert inside > 20
