"""Resolves padding dialects (`padding_dialects.py`) to pixels, and computes output sizes.

A window of `k` taps with dilation `d` spans `e = d (k - 1) + 1` pixels. Over `n` pixels with `low` and `high` pixels
of padding and stride `s` it gives

    output = floor((n + low + high - e) / s) + 1

values. This is the lecture's (N + 2P - K)/S + 1 if low = high = P, d = 1 and the division is exact. Its
P = (K - 1)/2 keeps the size only for odd K and stride 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnn_jax.padding_dialects import DIALECTS, PaddingName, Pads

Padding = PaddingName | int | Sequence[Sequence[int]]
IntPair = int | Sequence[int]


class GeometryError(ValueError):
    """A window does not fit its input; the message gives the sizes, the rule and the nearest fix."""


def pair(value: IntPair, name: str, minimum: int = 1) -> tuple[int, int]:
    """Converts an integer or a pair of integers to (height, width).

    Args:
      value: One integer for both axes, or two.
      name: Name of the argument in error messages.
      minimum: Smallest legal integer.

    Returns:
      Two integers.

    Raises:
      ValueError: If value is neither, or too small.
    """
    given = (value, value) if isinstance(value, int) else tuple(value)
    if len(given) != 2 or not all(isinstance(entry, int) and not isinstance(entry, bool) for entry in given):
        raise ValueError(f"{name}={value!r}: expected an integer or a (height, width) pair of integers")
    if min(given) < minimum:
        raise ValueError(f"{name}={value!r}: expected at least {minimum}")
    return given[0], given[1]


def effective_window(window: int, dilation: int) -> int:
    """Returns the number of pixels that a dilated window of `window` taps spans."""
    return dilation * (window - 1) + 1


def resolve_padding(
    padding: Padding, size: IntPair, window: IntPair, strides: IntPair = 1, dilation: IntPair = 1
) -> tuple[Pads, Pads]:
    """Converts a padding dialect to the number of pixels added on each side.

    The arguments other than `padding` are (height, width) or one number for both.

    Args:
      padding: "VALID" (none); "SAME" (TensorFlow's and XLA's: ceil(n / s) outputs, an odd pixel at the
        end); "SAME_LOWER" (an odd pixel at the start); "TORCH" (d (k - 1) // 2 on each side for any
        stride); an integer for all sides; ((top, bottom), (left, right)); or a border dialect, "REFLECT",
        "REPLICATE" or "CIRCULAR", with the pads of "SAME".
      size: Input pixels.
      window: Taps.
      strides: Pixels between windows.
      dilation: Pixels between taps.

    Returns:
      ((top, bottom), (left, right)).

    Raises:
      ValueError: If the padding is none of these.
    """
    sizes, windows = pair(size, "size"), pair(window, "window")
    strides, dilations = pair(strides, "strides"), pair(dilation, "dilation")
    if isinstance(padding, str):
        if padding not in DIALECTS:
            raise ValueError(f"padding={padding!r}: expected one of {', '.join(DIALECTS)}, an integer or pads")
        top_bottom, left_right = (
            DIALECTS[padding].pads(n, k, s, d) for n, k, s, d in zip(sizes, windows, strides, dilations, strict=True)
        )
        return top_bottom, left_right
    if isinstance(padding, int):
        (pad, _) = pair(padding, "padding", minimum=0)
        return (pad, pad), (pad, pad)
    if len(padding) != 2 or any(isinstance(side, int) for side in padding):
        raise ValueError(f"padding={padding!r}: expected ((top, bottom), (left, right))")
    return pair(padding[0], "padding", minimum=0), pair(padding[1], "padding", minimum=0)


def check_border(padding: Padding, pads: tuple[Pads, Pads], size: tuple[int, int]) -> None:
    """Checks that a border dialect needs no more pixels than the image has.

    Raises:
      GeometryError: If a side reflects n or more, or wraps more than n, of an axis's n pixels.
    """
    most = DIALECTS[padding].most if isinstance(padding, str) else None
    for sides, n in zip(pads, size, strict=True):
        if most is not None and max(sides) > most(n):
            raise GeometryError(
                f"padding {padding} of {max(sides)} pixels exceeds what {n} pixels can give ({most(n)}); "
                "use a smaller window, or padding SAME or REPLICATE"
            )


def output_sizes(
    size: IntPair,
    window: IntPair,
    strides: IntPair,
    padding: Padding,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> tuple[int, int]:
    """Computes the output size of a sliding window.

    Args:
      size: Input pixels, (height, width) or one number for both, as are the following arguments.
      window: Taps.
      strides: Pixels between windows.
      padding: Any dialect of `resolve_padding`.
      dilation: Pixels between taps.
      ceil_mode: Whether the last window may extend beyond the padded input, as in PyTorch's pooling. It must start
        before the padding at the end.

    Returns:
      (height, width), each at least 1.

    Raises:
      GeometryError: If the window exceeds the padded input, so that the output would be empty.
    """
    sizes, windows = pair(size, "size"), pair(window, "window")
    strides, dilations = pair(strides, "strides"), pair(dilation, "dilation")
    pads = resolve_padding(padding, sizes, windows, strides, dilations)
    check_border(padding, pads, sizes)
    outputs = []
    for n, k, s, d, (low, high) in zip(sizes, windows, strides, dilations, pads, strict=True):
        span, padded = effective_window(k, d), n + low + high
        if span > padded:
            raise GeometryError(
                f"a window of {span} pixels exceeds its input of {padded} "
                f"({n} and padding {low} + {high}, {padding!r}); "
                f"use a window of at most {(padded - 1) // d + 1}, a larger input, or padding SAME"
            )
        count = (padded - span) // s + 1
        if ceil_mode and (padded - span) % s and count * s < low + n:
            count += 1
        outputs.append(count)
    return outputs[0], outputs[1]


def output_size(size: int, window: int, stride: int, padding: Padding, dilation: int = 1) -> int:
    """Computes the output size along one axis as `output_sizes` does; explicit pads are those of the height."""
    return output_sizes((size, size), (window, window), (stride, stride), padding, (dilation, dilation))[0]


def input_sizes(output: int, window: int, stride: int, padding: Padding, dilation: int = 1) -> range:
    """Inverts `output_size`: the input sizes along one axis that give an output size.

    Args:
      output: Desired output size.
      window, stride, padding, dilation: As for `output_size`.

    Returns:
      All such sizes in increasing order, at most `stride` of them.

    Raises:
      GeometryError: If no input size gives this output size.
    """
    count, _ = pair(output, "output")
    longest = count * stride + effective_window(window, dilation)
    found = [size for size in range(1, longest + 1) if _gives(size, window, stride, padding, dilation, count)]
    if not found:
        raise GeometryError(f"no input gives {output} outputs of a window of {window}, stride {stride}, {padding!r}")
    return range(found[0], found[-1] + 1)


def _gives(size: int, window: int, stride: int, padding: Padding, dilation: int, output: int) -> bool:
    try:
        return output_size(size, window, stride, padding, dilation) == output
    except GeometryError:
        return False


def total_paddings(output: int, size: int, window: int, stride: int, dilation: int = 1) -> range:
    """Inverts `output_size` for the padding: the total padding low + high along one axis.

    Args:
      output: Desired output size.
      size: Input pixels.
      window: Taps.
      stride: Pixels between windows.
      dilation: Pixels between taps.

    Returns:
      All totals in increasing order; 55 outputs of 224 pixels with window 11 and stride 4 need 3 to 6.

    Raises:
      GeometryError: If the output is larger than desired even without padding.
    """
    least = (output - 1) * stride + effective_window(window, dilation) - size
    if least + stride <= 0:
        most = output_size(size, window, stride, "VALID", dilation)
        raise GeometryError(
            f"{size} pixels give {most} outputs without padding, more than {output}; use a larger stride"
        )
    return range(max(least, 0), least + stride)
