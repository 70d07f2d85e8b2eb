"""Sections of the page of `inspect`: activation maximization, receptive fields, behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.inspect import (
    activation_pictures,
    behaviour_pictures,
    border,
    receptive_field_pictures,
)
from cnn_jax.inspect.activation_maximization import Search, maximize, responses
from cnn_jax.inspect.behaviour import behave
from cnn_jax.inspect.changes import CHANGES, levels
from cnn_jax.inspect.receptive_field import growing_layers, receptive_fields
from cnn_jax.inspect.table import as_csv
from cnn_jax.layer_rows import ACTIVATION
from cnn_jax.padding_dialects import DIALECTS
from cnn_jax.plain_text import plain
from cnn_jax.report.inspection.page import Group, Section, Shown, Table
from cnn_jax.report.inspection.subject import Subject

_Item = TypeVar("_Item")

_SEARCHED = 8  # channels per layer, and classes, to maximize
_COMPARED = 256  # test images whose responses are compared with the maximized ones
_FIELD_IMAGES = 16  # images over which gradients are averaged
_DRAWN_FIELDS = 12  # layers whose receptive fields are drawn on a picture
_LARGE_FIELDS = 6  # layers whose receptive fields are computed for a large network
_BEHAVIOUR_WORK = 4e11  # multiply-adds of all changed pictures
_FEWEST_IMAGES, _BEHAVIOUR_IMAGES = 16, 1000  # defaults
_MOST_BEHAVIOUR_IMAGES = 10_000  # upper limit, because all are in memory at once
_BORDER_IMAGES = 256


def maximization(subject: Subject) -> Section:
    """Shows pictures that maximize the response of channels and classes."""
    count = 2 if subject.large else _SEARCHED
    # Before the activation, so that a channel that is silent at the start has a gradient.
    units = {layer.removesuffix(ACTIVATION): subject.channels(layer, count) for layer in subject.layers}
    logits = subject.model.layers(subject.run.image_shape)[-1].name
    numbers = list(dict.fromkeys(number for _, number in subject.pairs))
    if not subject.asked_classes and not subject.large and len(subject.run.class_names) <= 2 * _SEARCHED:
        numbers = list(range(len(subject.run.class_names)))
    units[logits] = numbers
    search = Search().shortened(subject.multiply_adds, sum(map(len, units.values())))
    key = jax.random.key(subject.run.experiment.seed)
    found = maximize(
        subject.model, subject.variables, subject.run.normalization, subject.run.image_shape, units, key, search
    )
    usual = None
    if subject.test is not None:
        images = subject.normalized(subject.test_images(16 if subject.large else _COMPARED).images)
        usual = responses(subject.model, subject.variables, images, tuple(units))
    groups = []
    for each in found:
        beside = None if usual is None else usual[each.layer]
        names = [subject.class_name(k) for k in range(len(subject.run.class_names))] if each.layer == logits else None
        figure = activation_pictures.maximized(each, names, beside)
        words = "; ".join(
            f"{names[channel] if names else f'channel {channel}'} from {start:.3g} to {end:.3g}"
            for channel, start, end in zip(each.channels, each.start_responses, each.responses, strict=True)
        )
        title = "classes" if each.layer == logits else each.layer
        alt = f"Pictures that maximize the responses of {title}: {words}"
        groups.append(Group(title, [Shown.drawn(f"maximization-{each.layer}", figure, alt)]))
    texts = [
        "Pictures that maximize the response of a channel, or the logit of a class: "
        f"{search.steps} steps of gradient ascent from nearly grey, in the frequency domain, with random shifts, sizes "
        "and rotations, so that they do not depend on single pixels. The numbers are the responses at the start and at "
        "the end. For a channel whose response stays near that to ordinary images, no such picture was found."
    ]
    files = {"maximization.csv": as_csv(activation_pictures.rows(found, usual)).encode()}
    return Section("maximization", "Activation maximisation", texts, groups, files)


def fields(subject: Subject) -> Section:
    """Shows the receptive fields of the units in the middle: on the first picture, as a table and as a plot."""
    key = jax.random.key(subject.run.experiment.seed)
    some = jnp.asarray(subject.images)
    if subject.test is not None and not subject.large:
        some = subject.normalized(subject.test_images(_FIELD_IMAGES).images)
    asked = [name.removesuffix(ACTIVATION) for name in subject.request.layers]
    growing = growing_layers(subject.model, subject.run.image_shape)
    wanted = tuple(dict.fromkeys(asked)) or _evenly_spaced(growing, _LARGE_FIELDS if subject.large else len(growing))
    found = receptive_fields(subject.model, subject.variables, some, key, wanted)
    drawn = _evenly_spaced(found, _DRAWN_FIELDS)
    first = subject.pictures[0]
    rows = [each.row() for each in found]
    largest = max(found, key=lambda each: each.theoretical_size)
    groups = [
        Group(
            f"On {first.title}",
            [
                Shown.drawn(
                    "fields-picture",
                    receptive_field_pictures.drawn(drawn, first.pixels),
                    f"Theoretical and effective receptive fields of the middle units of {len(drawn)} layers on "
                    f"{first.title}; the table has their sizes",
                )
            ],
        ),
        Group(
            "Layer by layer",
            [
                Shown.drawn(
                    "fields-sizes",
                    receptive_field_pictures.sizes(found),
                    f"Theoretical and effective size by layer; the largest theoretical one is "
                    f"{largest.theoretical_size:.0f} pixels, of {largest.layer}",
                )
            ],
            tables=[_table(rows, "receptive fields of middle units, sizes in pixels")],
        ),
    ]
    texts = [
        "The pixels that the unit in the middle of a layer can depend on (theoretical: from the layer table, including "
        "padding) and those that it does depend on (effective: pixels whose gradient exceeds 4.55 % of the maximum, "
        f"over {len(some)} picture{'s' * (len(some) != 1)} and all channels; Luo et al., 2016)."
    ]
    return Section("fields", "Receptive fields", texts, groups, {"receptive_fields.csv": as_csv(rows).encode()})


def behaviour(subject: Subject) -> Section:
    """Shows accuracy and features on changed pictures, and the effect of padding at the border."""
    size = (subject.run.image_shape[0], subject.run.image_shape[1])
    measured = {name: levels(name, size) for name in CHANGES}
    if subject.large:
        measured = {name: _three_strengths(each) for name, each in measured.items()}
    affordable = int(_BEHAVIOUR_WORK / (2 * sum(map(len, measured.values())) * max(1, subject.multiply_adds)))
    standard = min(_BEHAVIOUR_IMAGES, max(_FEWEST_IMAGES, affordable))
    test = subject.test_images(standard if subject.request.test_images is None else _MOST_BEHAVIOUR_IMAGES)
    pictures, labels, count = test.images, test.labels, len(test)
    run = subject.run
    found = behave(run.config, subject.variables, run.normalization, pictures, labels, measured, run.experiment.seed)
    example = subject.pictures[0].pixels[None]
    borders = border.border_effects(
        run.experiment.model,
        len(run.class_names),
        subject.variables,
        jnp.asarray(border.rolled(np.asarray(subject.normalized(pictures[:_BORDER_IMAGES])), run.experiment.seed)),
        None,
        ("REFLECT",) if subject.large else tuple(DIALECTS),
    )
    behaviour_rows = [row for each in found for row in each.rows()]
    border_rows = [row for each in borders for row in each.rows()]
    own = ", ".join(borders[0].paddings)
    groups = [
        Group(
            "Changed pictures",
            [
                Shown.drawn(
                    "behaviour",
                    behaviour_pictures.curves(found),
                    f"Accuracy, agreement and feature distance of {count:,} test images under shifts, rotation, noise, "
                    "blur and occlusion; the table has the numbers",
                ),
                Shown.drawn(
                    "behaviour-changes",
                    behaviour_pictures.examples(example, found, run.experiment.seed),
                    f"{subject.pictures[0].title} under every change, from weak to strong",
                ),
            ],
            [
                f"The same {count:,} test images under increasing changes. Feature distance is the distance of the "
                "last hidden features from those of the unchanged image, divided by the mean distance of two images."
            ],
            [_table(behaviour_rows, "behaviour on changed pictures")],
        ),
        Group(
            "At the border",
            [
                Shown.drawn(
                    "border-profiles",
                    behaviour_pictures.border_profiles(borders),
                    "Mean activation by the distance from the border, for each layer and padding; border.csv has the "
                    "numbers",
                ),
                Shown.drawn(
                    "border-maps",
                    behaviour_pictures.border_maps(borders),
                    "Mean activation at every position of the layers' maps, with a row for each padding",
                ),
            ],
            [
                f"Mean activations of {min(count, _BORDER_IMAGES)} test images, rolled by random numbers of pixels so "
                "that all positions of the images are alike on average: any difference at the border is caused by the "
                f"padding. The network was trained with {own}; the others show its weights under another padding, not "
                "a network that was trained with it."
            ],
        ),
    ]
    files = {"behaviour.csv": as_csv(behaviour_rows).encode(), "border.csv": as_csv(border_rows).encode()}
    return Section("behaviour", "Behaviour", [], groups, files)


def _three_strengths(strengths: Sequence[float]) -> tuple[float, ...]:
    """Returns the first, a middle and the last strength."""
    return strengths[0], strengths[len(strengths) // 2], strengths[-1]


def _evenly_spaced(items: Sequence[_Item], count: int) -> list[_Item]:
    """Returns evenly spaced items, including the first and the last."""
    indices = np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))
    return [items[index] for index in indices]


def _table(rows: Sequence[Mapping[str, object]], caption: str) -> Table:
    """Converts the rows of a CSV file to a table of the page."""
    headings = list(rows[0])
    numeric = [index for index, name in enumerate(headings) if isinstance(rows[0][name], int | float)]
    cells = [[_cell(row[name]) for name in headings] for row in rows]
    return Table([name.replace("_", " ") for name in headings], cells, numeric, caption)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else plain(value)
