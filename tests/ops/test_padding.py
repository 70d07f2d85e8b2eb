"""Padding: the lecture's examples, and outputs counted by walking a window."""

import itertools

import pytest

from cnn_jax import ops
from cnn_jax.ops import GeometryError, input_sizes, output_size, total_paddings


def walked(size: int, window: int, stride: int, low: int, high: int, dilation: int) -> int:
    """Counts the windows that fit, one by one."""
    count, start = 0, -low
    while start + dilation * (window - 1) <= size + high - 1:
        count, start = count + 1, start + stride
    return count


@pytest.mark.parametrize(
    ("size", "window", "stride", "padding", "expected"),
    [
        (13, 6, 5, "VALID", 2),  # the lecture's figure 13-7
        (13, 6, 5, "SAME", 3),
        (5, 3, 1, "SAME", 5),
        (5, 3, 1, 1, 5),
        (32, 2, 2, "VALID", 16),
        (224, 11, 4, "SAME", 56),
        (224, 11, 4, ((1, 2), (1, 2)), 55),  # AlexNet's table
        (224, 11, 4, 2, 55),  # torchvision's
        (28, 3, 1, "VALID", 26),
        (7, 3, 2, "TORCH", 4),
        (8, 2, 2, "TORCH", 4),
    ],
)
def test_output_size_known(size, window, stride, padding, expected):
    assert ops.output_size(size, window, stride, padding) == expected


def test_same_pads_as_the_lecture_draws_them():
    assert ops.resolve_padding("SAME", 5, 3) == ((1, 1), (1, 1))
    # 3 outputs of width 6 at stride 5 span 16 pixels: 3 more than 13, the odd one at the end.
    assert ops.resolve_padding("SAME", 13, 6, 5) == ((1, 2), (1, 2))
    assert ops.resolve_padding("SAME_LOWER", 13, 6, 5) == ((2, 1), (2, 1))


def test_output_size_equals_walking_the_window():
    cases = itertools.product(range(1, 12), range(1, 5), range(1, 4), range(1, 3), ["VALID", "SAME", "TORCH", 2])
    checked = 0
    for size, window, stride, dilation, padding in cases:
        (low, high), _ = ops.resolve_padding(padding, size, window, stride, dilation)
        expected = walked(size, window, stride, low, high, dilation)
        if expected:
            assert ops.output_size(size, window, stride, padding, dilation) == expected
        else:
            with pytest.raises(GeometryError, match=f"window of {dilation * (window - 1) + 1} pixels"):
                ops.output_size(size, window, stride, padding, dilation)
        checked += 1
    assert checked == 11 * 4 * 3 * 2 * 4


def test_same_gives_the_ceiling():
    for size, window, stride in itertools.product(range(1, 20), range(1, 6), range(1, 6)):
        assert ops.output_size(size, window, stride, "SAME") == -(-size // stride)


@pytest.mark.parametrize("padding", ["same", "", -1, (1, 1), ((1, 1),), ((1, -1), (0, 0)), ((1, 1), 2)])
def test_padding_that_is_none(padding, untyped):
    with pytest.raises(ValueError, match="padding"):
        ops.resolve_padding(padding, 5, 3)


@pytest.mark.parametrize(("padding", "size", "window"), [("REFLECT", 2, 7), ("CIRCULAR", 2, 9)])
def test_borders_want_pixels_to_take(padding, size, window):
    with pytest.raises(GeometryError, match=padding):
        ops.output_size(size, window, 1, padding)


def test_input_sizes_inverts():
    cases = itertools.product(
        range(1, 6), range(1, 5), range(1, 4), range(1, 3), ["VALID", "SAME", "TORCH", 1, "REFLECT"]
    )
    for output, window, stride, dilation, padding in cases:
        expected = []
        for size in range(1, 30):
            try:
                if output_size(size, window, stride, padding, dilation) == output:
                    expected.append(size)
            except GeometryError:
                continue
        if expected:
            assert list(input_sizes(output, window, stride, padding, dilation)) == expected
        else:
            with pytest.raises(GeometryError, match="no input gives"):
                input_sizes(output, window, stride, padding, dilation)


def test_total_paddings_inverts():
    assert total_paddings(55, 224, 11, 4) == range(3, 7)  # AlexNet: pads (1, 2) or 2 + 2, of the 3 to 6 that do
    for output, size, window, stride in itertools.product(range(1, 9), range(1, 12), range(1, 6), range(1, 4)):
        expected = [
            total for total in range(40) if size + total >= window and (size + total - window) // stride + 1 == output
        ]
        if expected:
            assert list(total_paddings(output, size, window, stride)) == expected
        else:
            with pytest.raises(GeometryError, match="without padding, more than"):
                total_paddings(output, size, window, stride)
