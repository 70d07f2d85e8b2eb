"""Figures of feature maps and class maps, beside the input picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure

from cnn_jax.inspect.class_maps import ClassMap
from cnn_jax.inspect.inspect_request import Scaling
from cnn_jax.inspect.sheets import Labels, Panel, Scale, panels, sheet

SHOWN_MAPS = 32  # maximum channels shown per layer
SHOWN_VALUES = 64  # maximum units shown per dense layer
_COLUMNS = 8


def strongest_channels(outputs: Float[np.ndarray, "b ... n"], count: int) -> Int[np.ndarray, " m"]:
    """Returns the indices of the channels with the largest absolute values, the largest first; ties in order."""
    peaks = np.abs(outputs).max(axis=tuple(range(outputs.ndim - 1)))
    return np.argsort(-peaks, kind="stable")[:count]


def feature_map_sheet(
    layer: str,
    output: Float[np.ndarray, "..."],
    channels: Int[np.ndarray, " m"],
    scale: Scale,
    picture: UInt8[np.ndarray, "h w c"],
) -> Figure:
    """Draws channels of a layer's output for a picture, on one scale.

    Args:
      layer: Name of the layer.
      output: Maps [h, w, channels], or values [units].
      channels: Indices of the channels to draw, in order.
      scale: The scale.
      picture: The picture, pixels 0 to 255.

    Returns:
      The figure.
    """
    count = output.shape[-1]
    shown = f"{count}" if len(channels) == count else f"{len(channels)} of {count}"
    numbers = [str(channel) for channel in channels]
    if output.ndim == 3:
        labels = Labels(f"{layer}: {shown} maps of {output.shape[0]}x{output.shape[1]}", tiles=numbers)
        return sheet(output[..., channels].transpose(2, 0, 1), min(_COLUMNS, len(numbers)), labels, scale, picture)
    labels = Labels(f"{layer}: {shown} values", tiles=numbers)
    return sheet(output[channels].reshape(-1, 1, 1), min(2 * _COLUMNS, len(numbers)), labels, scale, picture)


def class_map_panels(
    maps: Sequence[ClassMap], picture: UInt8[np.ndarray, "h w c"], limits: dict[str, float] | None = None
) -> Figure:
    """Draws all maps of a picture for a class, each with its scale.

    Args:
      maps: The maps.
      picture: The picture, pixels 0 to 255.
      limits: Maximum of the scale by method; None gives each map its own scale.

    Returns:
      The figure.
    """
    parts = []
    for each in maps:
        if each.values is None:
            parts.append(Panel(each.method, None, None, "does not apply"))
            continue
        limit = float(np.abs(each.values).max()) if limits is None else limits[each.method]
        signed = each.method != "Grad-CAM"  # which has no negative values by definition
        scale = Scale(-(limit or 1.0) if signed else 0.0, limit or 1.0, "", "RdBu_r" if signed else "inferno")
        parts.append(Panel(each.method, each.values, scale, _short_remark(each)))
    return panels(picture, parts)


def shared_limits(images: Sequence[Sequence[ClassMap]], scaling: Scaling) -> dict[str, float] | None:
    """Computes the scales that maps share.

    Args:
      images: Maps of each image.
      scaling: Which maps share a scale.

    Returns:
      Maximum absolute value by method; None if every map has its own scale.
    """
    if scaling == "own":
        return None
    limits: dict[str, float] = {}
    for each in (each for maps in images for each in maps):
        if each.values is None:
            continue
        limits[each.method] = max(limits.get(each.method, 0.0), float(np.abs(each.values).max()))
    return limits if scaling == "method" else dict.fromkeys(limits, max(limits.values()))


def _short_remark(each: ClassMap) -> str:
    """Shortens a remark to fit a panel."""
    if each.remark is None or each.values is None:
        return ""
    return "zero everywhere" if not (each.values < 0).any() else "no positive value"
