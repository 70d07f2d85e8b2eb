"""Responses of units to their patches only, and their backpropagation to the pixels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cnn_jax import ops
from cnn_jax.inspect.attribution import batch_size
from cnn_jax.inspect.class_maps import rectifiers
from cnn_jax.inspect.strongest import TopUnits, as_maps, box_pixels, cut
from cnn_jax.models import Model, Variables
from cnn_jax.ops.activation import RELU_BACKWARDS, ReluBackward

STANDARD_RULES: tuple[ReluBackward, ...] = ("deconvnet", "guided")  # defaults for a network with rectifiers


def recompute(
    model: Model,
    variables: Variables,
    units: Sequence[TopUnits],
    patches: Sequence[Float[np.ndarray, "c k h w n"]],
    around: Float[np.ndarray, "height width n"],
) -> list[Float[np.ndarray, "c k"]]:
    """Computes the responses of units to their patches only.

    Each patch is put at its position in another image. The network then pads it, and the maps of later layers, exactly
    where it padded the original image. Nothing else of the original image is kept.

    Args:
      model: Network.
      variables: Its variables.
      units: Units of each layer.
      patches: Patches of the units, as in `TopPatches`.
      around: Normalised pixels of the other image, such as noise.

    Returns:
      Responses of each layer; NaN without a unit.
    """
    compute = functools.partial(_compiled_responses, model, variables, tuple(each.layer for each in units))
    values = [np.full(each.values.shape, np.nan, np.float32) for each in units]
    for (layer, channel, rank), value in _apply_to_patches(compute, units, patches, around):
        values[layer][channel, rank] = value
    return values


def reconstruct(
    model: Model,
    variables: Variables,
    units: Sequence[TopUnits],
    patches: Sequence[Float[np.ndarray, "c k h w n"]],
    around: Float[np.ndarray, "height width n"],
    rule: ReluBackward,
) -> tuple[list[Float[np.ndarray, "c k"]], list[Float[np.ndarray, "c k h w n"]]]:
    """Computes the responses of units to their patches only, and backpropagates them to the pixels.

    Args:
      model, variables, units, patches, around: As for `recompute`.
      rule: Rule for rectifiers of `ops.relu_backward`.

    Returns:
      Responses of each layer, as from `recompute`, and reconstructions: vector-Jacobian products of each unit's
      response with respect to the normalised pixels of its patch.

    Raises:
      ValueError: If a reconstruction is not finite.

    Source: Zeiler and Fergus, 2014, section 2.1, for "deconvnet"; Springenberg et al., 2015, section 3.4, for "guided".
    """
    compute = functools.partial(_backpropagated, model, variables, (tuple(each.layer for each in units), rule))
    values = [np.full(each.values.shape, np.nan, np.float32) for each in units]
    signals = [np.zeros_like(each) for each in patches]
    for (layer, channel, rank), (signal, value) in _apply_to_patches(compute, units, patches, around):
        box = units[layer].boxes[channel, rank]
        values[layer][channel, rank] = value
        signals[layer][channel, rank, : box[2], : box[3]] = cut(signal, box)
    if not all(np.isfinite(each).all() for each in signals):
        raise ValueError("the network gives reconstructions that are not finite")
    return values, signals


def chosen_rules(
    model: Model, variables: Variables, images: Float[np.ndarray, "b h w n"], rules: Sequence[ReluBackward] | None
) -> tuple[ReluBackward, ...]:
    """Checks rules for rectifiers, or returns the default ones.

    Args:
      model: Network.
      variables: Its variables.
      images: Images of the network's size; only their shape is used.
      rules: Requested rules. Defaults to STANDARD_RULES, or to "gradient" for a network without rectifiers.

    Returns:
      The rules, each once.

    Raises:
      ValueError: For an empty list or an unknown rule, and for a rule other than "gradient" without rectifiers.
    """
    if wrong := [rule for rule in rules or () if rule not in RELU_BACKWARDS]:
        raise ValueError(f"rule {wrong[0]!r}: expected some of {', '.join(RELU_BACKWARDS)}")
    if rules is not None and not rules:
        raise ValueError(f"no rules: expected some of {', '.join(RELU_BACKWARDS)}")
    if rectifiers(model, variables, images):
        return tuple(dict.fromkeys(STANDARD_RULES if rules is None else rules))
    if changing := [rule for rule in rules or () if rule != "gradient"]:
        raise ValueError(
            f"{changing[0]} changes the backward pass of rectifiers, and this network has none; use gradient"
        )
    return ("gradient",)


def _apply_to_patches(
    compute: Callable[..., Any],
    units: Sequence[TopUnits],
    patches: Sequence[Float[np.ndarray, "c k h w n"]],
    around: Float[np.ndarray, "height width n"],
) -> Iterator[tuple[tuple[int, int, int], Any]]:
    """Puts every unit's patch into the image `around`, and applies a function to batches of bounded size.

    Yields:
      (index of the layer, index of the channel, rank of the unit) and the function's result for each unit.
    """
    known = [
        (layer, int(channel), int(rank))
        for layer, some in enumerate(units)
        for channel, rank in np.argwhere(some.images >= 0)
    ]
    size = batch_size(around.shape[:2], len(known))
    for start in range(0, len(known), size):
        part = known[start : start + size]
        filled = part + part[-1:] * (size - len(part))
        canvases = np.tile(around, (size, 1, 1, 1))
        for canvas, (layer, channel, rank) in zip(canvases, filled, strict=True):
            box = units[layer].boxes[channel, rank]
            rows, columns = box_pixels(box, around.shape)
            canvas[rows[:, None], columns] = patches[layer][channel, rank, : box[2], : box[3]]
        which = np.array([layer for layer, _, _ in filled])
        channels = np.array([units[layer].channels[channel] for layer, channel, _ in filled])
        places = np.array([units[layer].places[channel, rank] for layer, channel, rank in filled])
        results = jax.device_get(compute(canvases, which, channels, places))
        for number, index in enumerate(part):
            yield index, jax.tree.map(lambda leaf, number=number: leaf[number], results)


def _responses(
    model: Model,
    variables: Variables,
    layers: tuple[str, ...],
    images: Float[Array, "b h w n"],
    which: Int[Array, " b"],
    channels: Int[Array, " b"],
    places: Int[Array, "b 2"],
) -> Float[Array, " b"]:
    """Computes the response of one unit to each image; the unit's layer is given by its index in `layers`.

    One program serves the units of all layers.
    """
    outputs = model.apply_with_layers(variables, images, layers)[3]
    values = jnp.zeros(len(images))
    for number, name in enumerate(layers):
        maps = as_maps(outputs[name])
        last = jnp.array(maps.shape[1:]) - 1
        row, column, channel = jnp.minimum(jnp.stack([places[:, 0], places[:, 1], channels]), last[:, None])
        values = jnp.where(which == number, maps[jnp.arange(len(images)), row, column, channel], values)
    return values


_compiled_responses = jax.jit(_responses, static_argnums=(0, 2))


@functools.partial(jax.jit, static_argnums=(0, 2))
def _backpropagated(
    model: Model,
    variables: Variables,
    layers_and_rule: tuple[tuple[str, ...], ReluBackward],
    images: Float[Array, "b h w n"],
    *units: Int[Array, "..."],
) -> tuple[Float[Array, "b h w n"], Float[Array, " b"]]:
    """Backpropagates the response of one unit to each image, and returns the responses too; as for `_responses`."""
    layers, rule = layers_and_rule

    def score(images: Array) -> tuple[Array, Array]:
        with ops.relu_backward(rule):
            values = _responses(model, variables, layers, images, *units)
        return values.sum(), values

    return jax.grad(score, has_aux=True)(images)
