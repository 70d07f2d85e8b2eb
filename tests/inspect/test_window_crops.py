"""Logits computed on crops around windows equal the whole network's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.config.model import AlexNet, CifarResNet, Cnn, GoogLeNet, LeNet5, ResNet
from cnn_jax.config.networks import SqueezeNet11
from cnn_jax.inspect import window_crops
from cnn_jax.inspect.occlusion import occlusion

THREE = {"features": (6, 7, 8, 9), "kernel_size": 3, "dense": (5,)}
# Network, image and window. Strides divide neither; windows reach beyond the image. The deep ones are narrow, and their
# convolutions XLA's, which compile in a tenth of the time.
CASES = {
    "resnet": (ResNet(depth=18, width=4, lowering="xla"), (66, 70), (11, 9)),
    "resnet, padded shortcuts": (CifarResNet(depth=8), (40, 37), (7, 6)),
    "googlenet": (GoogLeNet(width=0.1, lowering="xla"), (96, 96), (16, 16)),
    "squeezenet": (SqueezeNet11(width=0.1, lowering="xla"), (80, 72), (13, 8)),
    "alexnet": (AlexNet(features=(6, 8, 8, 8, 6), dense=(8,), lowering="xla"), (120, 127), (20, 17)),
    "lenet5": (LeNet5(), (28, 28), (4, 3)),
    **{
        f"cnn, {padding}": (Cnn(**THREE, pooling=("max", "avg", "none", "none"), padding=padding), (41, 36), (6, 5))
        for padding in ("SAME", "SAME_LOWER", "TORCH", "VALID", "REFLECT", "REPLICATE", "CIRCULAR", 2)
    },
    "cnn, strides": (Cnn(**THREE, pooling="none", strides=(2, 1, 2, 1), padding="SAME"), (61, 58), (8, 6)),
}


# A border of the other side reaches across; an image that is padded to a size is padded otherwise when it is cropped.
WHOLE = ("cnn, CIRCULAR", "lenet5")


@pytest.mark.parametrize("name", CASES)
def test_crops_give_the_whole_networks_logits(monkeypatch, name):
    config, size, window = CASES[name]
    model, shape = models.create(config, 4), (*size, 1 if config.name == "lenet5" else 3)
    rng = np.random.default_rng(0)
    drawn = jax.tree.map(
        lambda leaf: np.asarray(leaf) + np.abs(0.1 * rng.standard_normal(leaf.shape, np.float32)),
        model.init(jax.random.key(0), shape),
    )
    variables = jax.device_put(drawn)
    monkeypatch.setattr(window_crops, "LEAST_SAVED", 0)
    monkeypatch.setattr(window_crops, "_LEAST_PART", 0.0)
    monkeypatch.setattr(window_crops, "_LARGEST_SHARE", 1.0)
    ends = [[-2, 0, n // 2 - 3, n - w + 2, n] for n, w in zip(size, window, strict=True)]
    starts = np.array([(row, column) for row in ends[0][1:] for column in ends[1][1:]], np.int32)
    parts, places = window_crops.plan_parts.__wrapped__(model, shape, tuple(map(tuple, starts.tolist())), window)
    assert (not parts) == (name in WHOLE)
    if name in WHOLE:
        return
    image, cover = rng.standard_normal((2, *shape)).astype(np.float32)
    images = np.tile(image, (len(starts), 1, 1, 1))
    for covered, (row, column) in zip(images, starts, strict=True):
        covered[row : row + window[0], column : column + window[1]] = cover[
            row : row + window[0], column : column + window[1]
        ]

    @jax.jit
    def both(images, places):
        targets = [part.target for part in parts]
        outputs = model.apply_with_layers(variables, jnp.asarray(image[None]), targets)[3]
        kept = [outputs[target][0] for target in targets]
        crops = window_crops.changed_logits(model, variables, images, parts, places, kept)
        return crops, model.apply(variables, images, train=False)[0]

    ours, expected = map(np.asarray, both(images, places))
    spread = np.ptp(expected, axis=0).max()
    assert spread > 0
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-4 * spread)


def test_a_class_logit_by_either_way(monkeypatch):
    """Occlusion itself, with and without crops."""
    config = Cnn(features=(4, 5), kernel_size=3, pooling=("max", "none"), dense=(), padding="SAME")
    model = models.create(config, 3)
    variables = model.init(jax.random.key(1), (30, 34, 2))
    images = np.random.default_rng(0).standard_normal((2, 30, 34, 2)).astype(np.float32)
    arguments = model, variables, images, np.array([2, 0]), (5, 4), (4, 3), 0.5
    whole = occlusion(*arguments)
    monkeypatch.setattr(window_crops, "LEAST_SAVED", 0)
    window_crops.plan_parts.cache_clear()
    planned = []
    plan = window_crops.changed_logits
    monkeypatch.setattr(
        "cnn_jax.inspect.occlusion.changed_logits", lambda *words: planned.append(words[3]) or plan(*words)
    )
    crops = occlusion(*arguments)
    window_crops.plan_parts.cache_clear()
    assert planned[0]
    assert np.abs(whole).max() > 0
    np.testing.assert_allclose(crops, whole, rtol=0, atol=1e-5 * np.abs(whole).max())


def test_statistics_over_whole_maps_are_not_cut(monkeypatch):
    monkeypatch.setattr(window_crops, "LEAST_SAVED", 0)
    model = models.create(
        Cnn(features=(4, 4), pooling="none", norm="group", norm_groups=2, dense=(), padding="SAME"), 3
    )
    parts, _ = window_crops.plan_parts.__wrapped__(model, (40, 40, 3), ((0, 0), (10, 10)), (5, 5))
    assert [part.target for part in parts] in ([], ["conv1"])


def test_little_work_is_not_divided():
    model = models.create(Cnn(features=(4, 4), pooling="none", dense=(), padding="SAME"), 3)
    assert window_crops.plan_parts(model, (40, 40, 3), ((0, 0), (10, 10)), (5, 5)) == ((), ())
