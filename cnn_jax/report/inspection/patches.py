"""The section of the page of `inspect` that shows the strongest patches of test images and their reconstructions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float

from cnn_jax.inspect import patches_pictures
from cnn_jax.inspect.patches import TopPatches, denormalizing, top_patches
from cnn_jax.inspect.reconstruction import STANDARD_RULES
from cnn_jax.inspect.table import as_csv
from cnn_jax.ops.activation import ReluBackward
from cnn_jax.report.inspection.page import Group, Section, Shown
from cnn_jax.report.inspection.subject import Subject

_PATCHES = 9  # patches per channel
_CHANNELS, _FEWEST_CHANNELS = 8, 2  # channels per layer
_WORK = 4e12  # multiply-adds of all reconstructions, which take about three times a forward pass each
_BATCH = 256  # test images per batch
_RULES: Mapping[ReluBackward, str] = {
    "deconvnet": "by a deconvolutional network, which stops negative signals at rectifiers (Zeiler and Fergus, 2014)",
    "guided": "by guided backpropagation, which also stops all signals at inactive rectifiers (Springenberg et al., "
    "2015)",
    "gradient": "by the gradient",
}


def patches(subject: Subject) -> Section:
    """Shows the patches of test images with the strongest responses, and their reconstructions."""
    assert subject.test is not None
    rules = subject.request.rules or None
    squares = _PATCHES * len(rules or STANDARD_RULES)
    affordable = int(_WORK / (3 * squares * len(subject.layers) * max(1, subject.multiply_adds)))
    count = min(_CHANNELS, max(_FEWEST_CHANNELS, affordable))
    channels = {layer: subject.channels(layer, count) for layer in subject.layers}
    found = top_patches(
        subject.model,
        subject.variables,
        _batches(subject),
        denormalizing(subject.run.normalization),
        channels,
        _PATCHES,
        rules,
    )
    groups = []
    for each in found:
        captions = [patches_pictures.caption(each, index) for index in range(len(each.units.channels))]
        figure = patches_pictures.sheet(each, f"{each.units.layer}: strongest patches and reconstructions")
        rules_drawn = " and ".join(patches_pictures.NAMES[rule] for rule in each.reconstructions)
        alt = (
            f"The {_PATCHES} strongest patches of {len(captions)} channels of {each.units.layer}, with their "
            f"reconstructions by {rules_drawn}. Responses from the first patch to the last: {'; '.join(captions)}"
        )
        groups.append(Group(each.units.layer, [Shown.drawn(f"patches-{each.units.layer}", figure, alt)]))
    all_images, looked_at = len(subject.test), len(subject.test_numbers)
    seen = f"all {all_images:,}" if looked_at == all_images else f"{looked_at:,} of {all_images:,}, evenly spaced,"
    texts = [
        f"For each channel the {_PATCHES} test images with the strongest responses, of {seen} images, cropped to the "
        "pixels that the unit depends on; grey is padding. To their left are reconstructions, the response "
        "backpropagated to the pixels: "
        + "; ".join(_RULES[rule] for rule in found[0].reconstructions)
        + ". "
        + ("Grey is 0" if subject.run.image_shape[2] == 3 else "Red is positive, blue negative")
        + "; each has its own scale. Numbers are the responses of the first and the last patch."
    ]
    files = {"patches.csv": as_csv([row for each in found for row in _rows(each, subject)]).encode()}
    return Section("patches", "Strongest patches", texts, groups, files)


def _batches(subject: Subject) -> Iterator[Float[np.ndarray, "b h w c"]]:
    for batch in subject.test_batches(_BATCH):
        yield np.asarray(subject.normalized(batch.images))


def _rows(found: TopPatches, subject: Subject) -> list[dict[str, object]]:
    """Returns table rows with the image and position of each patch."""
    units = found.units
    return [
        {
            "layer": units.layer,
            "channel": int(channel),
            "rank": rank + 1,
            "test_image": int(subject.test_numbers[units.images[index, rank]]),
            "response": float(units.values[index, rank]),
            **dict(zip(("row", "column"), units.places[index, rank].tolist(), strict=True)),
            **dict(zip(("top", "left", "height", "width"), units.boxes[index, rank].tolist(), strict=True)),
        }
        for index, channel in enumerate(units.channels)
        for rank in range(units.values.shape[1])
        if units.images[index, rank] >= 0
    ]
