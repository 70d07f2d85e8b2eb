"""Sections of the page of `inspect`: pictures, kernels, feature maps, and the pixels that a class depends on."""

from __future__ import annotations

import io

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cnn_jax import bands
from cnn_jax.inspect.class_maps import ClassMap, ClassMaps, Effort, class_maps
from cnn_jax.inspect.kernel_pictures import kernel_sheet
from cnn_jax.inspect.kernels import LearnedKernels, learned_kernels
from cnn_jax.inspect.map_pictures import (
    SHOWN_MAPS,
    SHOWN_VALUES,
    class_map_panels,
    feature_map_sheet,
    shared_limits,
)
from cnn_jax.inspect.sheets import Scale
from cnn_jax.layer_rows import ACTIVATION
from cnn_jax.report.inspection.page import Group, Section, Shown, Table, file_name
from cnn_jax.report.inspection.subject import Subject

_LIKELY = 5  # classes in a picture's table
_THUMBNAIL, _ENLARGED = 480, 168  # maximum, and approximate minimum, of a picture's longer side in pixels
_OPEN = 4  # convolutions and layers that are initially unfolded
_LARGE = 5e8  # multiply-adds of all pictures above which fewer noisy copies are used
_SMALL_EFFORT = Effort(samples=20, steps=20, windows=9)


def pictures(subject: Subject) -> Section:
    """Shows the pictures and their predicted classes."""
    groups = []
    for number, seen in enumerate(subject.pictures):
        shown = []
        if seen.original is not seen.pixels:
            height, width = seen.original.shape[:2]
            shown.append(
                _render_picture(f"{seen.title} original", seen.original, f"{seen.title}: {width}x{height} pixels")
            )
        height, width = seen.pixels.shape[:2]
        what = f"as the network sees it: {seen.changes}" if seen.changes else "as the network sees it"
        shown.append(_render_picture(seen.title, seen.pixels, f"{seen.title} {what}, {width}x{height} pixels"))
        row = subject.probabilities[number]
        best = np.argsort(-row, kind="stable")[:_LIKELY]
        cells = [(subject.class_name(int(k)), f"{row[k]:.1%}".replace("%", " %")) for k in best]
        true = "" if seen.label is None else f" Its class is {subject.class_name(seen.label)}."
        table = Table(("class", "probability"), cells, (1,), "the most probable classes")
        groups.append(Group(f"{seen.title}: {seen.name}", shown, [true.strip()] if true else [], [table]))
    texts = ["All later sections show these pictures before their pixels are normalised."]
    return Section("pictures", "Pictures", texts, groups)


def kernels(subject: Subject) -> Section:
    """Shows the learned kernels of every convolution."""
    found = learned_kernels(subject.model, subject.variables, subject.run.image_shape)
    texts = [
        "The weights of every convolution, with one scale each. Channels are numbered, and sorted by decreasing "
        "Euclidean norm of their weights. Only the largest of many channels are shown."
    ]
    if not found:
        texts = ["This network has no convolution."]
    groups = [
        Group(
            each.layer,
            [Shown.drawn(f"kernels-{each.layer}", kernel_sheet(each), _kernel_description(each))],
            open=number < _OPEN,
        )
        for number, each in enumerate(found)
    ]
    return Section("kernels", "Kernels", texts, groups)


def _kernel_description(each: LearnedKernels) -> str:
    height, width, channels, features = each.shape
    colours = "in colour" if each.reads_image and channels == 3 else "blue is negative, red positive"
    return (
        f"Learned kernels of {each.layer}, {height}x{width}, {channels} input and {features} output channels, "
        f"{colours}; the largest weight is {each.limit:.3g}"
    )


def feature_maps(subject: Subject) -> Section:
    """Shows the outputs of layers for the pictures, with the picture beside them."""
    groups = []
    for number, (layer, output) in enumerate(subject.outputs.items()):
        channels = np.array(subject.channels(layer, SHOWN_MAPS if output.ndim == 4 else SHOWN_VALUES))
        label = "activation" if layer.endswith(ACTIVATION) else "output"
        scale = Scale.of(output[..., channels], label)
        drawn = []
        for seen, values in zip(subject.pictures, output, strict=True):
            of_channels = values[..., channels]
            words = (
                f"{seen.title} beside {len(channels)} of {output.shape[-1]} channels of {layer}; values from "
                f"{of_channels.min():.3g} to {of_channels.max():.3g}"
            )
            figure = feature_map_sheet(layer, values, channels, scale, seen.pixels)
            zero = "" if of_channels.any() else " All of them are zero."
            drawn.append(Shown.drawn(f"maps-{layer}-{seen.title}", figure, words, f"{seen.title}.{zero}"))
        groups.append(Group(layer, drawn, open=number < _OPEN))
    texts = [
        "Outputs of the layers for the pictures, from the first layer to the last, with one scale per layer for all "
        "pictures. Of many channels, those with the largest values are shown, the largest first. A name that ends with "
        f"{ACTIVATION} is the output of the activation that follows the layer."
    ]
    return Section("maps", "Feature maps", texts, groups)


def classes(subject: Subject) -> Section:
    """Shows which pixels of the pictures the classes depend on."""
    positions = np.array([index for index, _ in subject.pairs])
    numbers = np.array([number for _, number in subject.pairs])
    found = class_maps(
        subject.model,
        subject.variables,
        subject.images[positions],
        numbers,
        jax.random.key(subject.run.experiment.seed),
        _effort(subject),
    )
    limits = shared_limits(found.maps, subject.request.scale)
    groups = []
    for pair, ((index, number), maps) in enumerate(zip(subject.pairs, found.maps, strict=True)):
        seen, name = subject.pictures[index], subject.class_name(number)
        figure = class_map_panels(maps, seen.pixels, limits)
        words = "; ".join(f"{each.method}: {_map_description(each)}" for each in maps)
        title = f"{seen.title}: {name}, {subject.probabilities[index, number]:.1%}".replace("%", " %")
        shown = Shown.drawn(
            f"class-{number}-{seen.title}", figure, f"Maps of {seen.title} for the class {name}. {words}"
        )
        remarks = [f"{each.method}: {each.remark}" for each in maps if each.remark]
        groups.append(Group(title, [shown], [*remarks, _completeness(found, pair)]))
    return Section("classes", "Class attributions", _class_texts(subject, found), groups)


def _class_texts(subject: Subject, found: ClassMaps) -> list[str]:
    shared = {
        "own": "Each map has its own scale.",
        "method": "Each method has one scale for all pictures and classes.",
        "all": "All maps have one scale.",
    }[subject.request.scale]
    standardised = subject.run.experiment.data.normalize == "standardize"
    nothing = "the training images' mean colour" if standardised else "black"
    effort, window, strides = _effort(subject), found.window, found.strides
    texts = [
        "Pixels that increase (red) or decrease (blue) the logit of a class; values are sums over colours. " + shared,
        f"SmoothGrad averages {effort.samples} noisy copies. Integrated gradients go from {nothing} to the picture in "
        f"{effort.steps} steps. Grad-CAM uses {found.layer}. Occlusion covers windows of {window[0]}x{window[1]} "
        f"pixels with {nothing}, {strides[0]} pixels apart, and shows the mean decrease of the logit.",
    ]
    train = subject.run.experiment.train
    if train.eval_mirrored or train.eval_shift:
        texts.append("Probabilities are means over several views of a picture; the maps use the picture itself.")
    return texts


def _map_description(each: ClassMap) -> str:
    if each.values is None:
        return "does not apply"
    return each.remark or f"from {each.values.min():.3g} to {each.values.max():.3g}"


def _completeness(found: ClassMaps, pair: int) -> str:
    error = found.completeness_errors[pair]
    return f"The integrated gradients sum to the difference of the logits within {abs(error):.2g}."


def _effort(subject: Subject) -> Effort:
    """Chooses the number of steps and samples per map: fewer for a large network."""
    return _SMALL_EFFORT if subject.multiply_adds * len(subject.pairs) > _LARGE else Effort()


def _render_picture(name: str, pixels: UInt8[np.ndarray, "h w c"], words: str) -> Shown:
    """Renders a picture: a small one enlarged by an integer factor, a large one reduced."""
    image = Image.fromarray(bands.shown(pixels))
    longer = max(image.size)
    if longer > _THUMBNAIL:
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    elif longer < _ENLARGED:
        zoom = -(-_ENLARGED // longer)
        image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    content = io.BytesIO()
    image.save(content, "PNG")
    return Shown(file_name(name), content.getvalue(), words, words, small=True)
