"""JPEGs' headers, and files of a part of a picture beside the whole, both decoded by Pillow."""

import io
import itertools
import struct

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data.host import decode, jpeg
from cnn_jax.data.host.picture import FAULTS
from scripts.imagenet_shaped import picture


def encoded(width=120, height=90, mode="RGB", **options):
    pixels = picture(width, height, (1.0, 0.8, 0.6), np.random.default_rng(3))
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)))


# MCU in pixels by T.81, A.2: eight times the greatest sampling factors, and 8x8 for one colour alone.
@pytest.mark.parametrize(
    ("options", "unit", "tile"),
    [
        ({"subsampling": 0}, (8, 8), None),
        ({"subsampling": 1}, (16, 8), None),
        ({"subsampling": 2}, (16, 16), None),
        ({"mode": "L", "subsampling": 2}, (8, 8), None),
        ({"subsampling": 2, "restart_marker_blocks": 1}, (16, 16), (1, 1)),
        ({"subsampling": 2, "restart_marker_blocks": 4}, (16, 16), (4, 1)),
        ({"subsampling": 2, "restart_marker_blocks": 3}, (16, 16), None),  # 8 in a row
        ({"subsampling": 2, "restart_marker_rows": 1}, (16, 16), (8, 1)),
        ({"subsampling": 2, "restart_marker_rows": 2}, (16, 16), (8, 2)),
        ({"subsampling": 0, "restart_marker_blocks": 5}, (8, 8), (5, 1)),
        ({"mode": "L", "restart_marker_blocks": 3}, (8, 8), (3, 1)),
        ({"mode": "CMYK", "restart_marker_blocks": 3}, (8, 8), (3, 1)),
    ],
)
def test_headers(options, unit, tile):
    content = encoded(**options)
    read = jpeg.read(content)
    assert (read.width, read.height, read.unit, read.tile, read.sequential) == (120, 90, unit, tile, True)
    assert read.colours == {"L": 1, "CMYK": 4}.get(options.get("mode"), 3)
    assert content[read.size_at : read.size_at + 4] == b"\0\x5a\0\x78"
    scan = content.index(b"\xff\xda")
    assert read.code_at == scan + 2 + int.from_bytes(content[scan + 2 : scan + 4], "big")


def test_other_files():
    progressive = jpeg.read(encoded(progressive=True))
    assert (progressive.width, progressive.height, progressive.sequential) == (120, 90, False)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    for content in (b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x10", b"text", buffer.getvalue()):
        assert jpeg.read(content) is None


KINDS = [
    {"subsampling": subsampling, **restarts}
    for subsampling in (0, 1, 2)
    for restarts in ({"restart_marker_blocks": 1}, {"restart_marker_rows": 1}, {"restart_marker_rows": 2})
] + [{"mode": "L", "restart_marker_blocks": 1}, {"mode": "CMYK", "restart_marker_blocks": 1}, {"subsampling": 2}]


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("indexed", [False, True])
def test_a_part_s_file_has_the_part_s_pixels(options, indexed):
    draws = np.random.default_rng(0)
    for width, height in ((120, 90), (123, 97), (49, 33), (8, 8)):
        content = encoded(width, height, **options)
        pixels, read = decoded(content), jpeg.read(content)
        if indexed:
            content = jpeg.with_index(content)
            read = jpeg.read(content)
            assert (read.tiles_at is not None) == (read.tile is not None)
            np.testing.assert_array_equal(decoded(content), pixels)
        reach = read.sampling
        for _ in range(20):
            left, right = np.sort(draws.choice(width + 1, 2, replace=False)).tolist()
            top, bottom = np.sort(draws.choice(height + 1, 2, replace=False)).tolist()
            part = jpeg.part(content, read, left - reach[0], top - reach[1], right + reach[0], bottom + reach[1])
            got = decoded(part.content)[top - part.top : bottom - part.top, left - part.left : right - part.left]
            np.testing.assert_array_equal(got, pixels[top:bottom, left:right])


def test_a_part_s_file_has_the_tiles_that_it_touches():
    content = encoded(subsampling=2, restart_marker_blocks=2)  # tiles of 32x16 pixels
    read = jpeg.read(content)
    for (left, top, right, bottom), expected in {
        (33, 17, 34, 18): (32, 16, 32, 16),
        (32, 16, 64, 32): (32, 16, 32, 16),
        (31, 15, 65, 33): (0, 0, 96, 48),
        (100, 80, 120, 90): (96, 80, 24, 10),  # at the lower right corner what is there of it
        (-9, -9, 300, 300): (0, 0, 120, 90),
    }.items():
        part = jpeg.part(content, read, left, top, right, bottom)
        size = Image.open(io.BytesIO(part.content)).size
        assert (part.left, part.top, *size) == expected
        tiles = jpeg.read(bytes(part.content)).tile
        assert tiles is not None
        np.testing.assert_array_equal(decoded(part.content).shape[:2], size[::-1])
    assert len(jpeg.part(content, read, 33, 17, 34, 18).content) < len(content) / 4


def test_what_lies_beside_a_part_is_not_decoded():
    content = encoded(subsampling=2, restart_marker_blocks=1)
    read, pixels = jpeg.read(content), decoded(content)
    kept = jpeg.part(content, read, 48, 32, 80, 64)
    tiles = jpeg._tiles(content, read, read.tile)
    damaged = bytearray(content)
    for row, column in itertools.product(range(6), range(8)):
        if row not in (2, 3) or column not in (3, 4):
            begin, end = tiles.begin[row, column], tiles.end[row, column]
            damaged[begin:end] = bytes(end - begin)
    assert jpeg.part(bytes(damaged), read, 48, 32, 80, 64).content == kept.content
    np.testing.assert_array_equal(decoded(kept.content)[2:-2, 2:-2], pixels[34:62, 50:78])


def test_an_index_that_is_not_the_file_s_is_not_believed():
    content = jpeg.with_index(encoded(subsampling=2, restart_marker_blocks=1))
    read = jpeg.read(content)
    expected = jpeg.part(content, read, 48, 32, 80, 64)
    first, behind = read.tiles_at
    for at, value in ((first, 1), (first + 1, 0), (behind - 1, 0), (first + 20, 9)):
        changed = bytearray(content)
        changed[at] = (changed[at] + 1) % 256 if changed[at] == value else value
        part = jpeg.part(bytes(changed), read, 48, 32, 80, 64)
        assert part.content[read.code_at :] == expected.content[read.code_at :]
        assert part[1:] == expected[1:]


def test_markers_that_are_not_those_expected_leave_the_picture_whole():
    content = encoded(subsampling=2, restart_marker_blocks=1)
    read = jpeg.read(content)
    for change in (
        lambda code: code.replace(b"\xff\xd3", b"\xff\xd4", 1),  # a marker out of its turn
        lambda code: code.replace(b"\xff\xd3", b"\xff\x00", 1),  # one too few
        lambda code: code[:-2],  # no end
    ):
        changed = change(content)
        assert jpeg.part(changed, read, 48, 32, 80, 90) == jpeg.Part(changed)


def test_too_many_tiles_for_one_segment_have_no_index():
    content = encoded(1500, 1500, "L", restart_marker_blocks=1)  # 188 x 188
    assert jpeg.with_index(content) == content
    assert jpeg.with_index(encoded()) == encoded()
    read = jpeg.read(content)
    part = jpeg.part(content, read, 700, 800, 710, 820)
    np.testing.assert_array_equal(
        decoded(part.content)[800 - part.top :, 700 - part.left :][:20, :10], decoded(content)[800:820, 700:710]
    )


@pytest.mark.parametrize("indexed", [False, True])
def test_damaged_files_are_faults_or_pictures(indexed):
    content = encoded(subsampling=2, restart_marker_blocks=1)
    content, draws = jpeg.with_index(content) if indexed else content, np.random.default_rng(1)
    outcomes = set()
    for _ in range(500):
        damaged = bytearray(content)
        for at in draws.integers(len(content), size=draws.integers(1, 4)):
            damaged[at] = draws.integers(256)
        read = jpeg.read(bytes(damaged))
        if read is None:
            outcomes.add("no JPEG")
            continue
        try:
            decoded(jpeg.part(bytes(damaged), read, 20, 30, 90, 80).content)
            outcomes.add("picture")
        except FAULTS:
            outcomes.add("fault")
    assert {"picture", "fault"} <= outcomes


def exif(turn, order, kind):
    """EXIF data of a maker's name and an orientation, of a kind of number (3 of two bytes, 4 of four)."""
    code = {"II": "<", "MM": ">"}[order]
    number = struct.pack(code + {3: "HH", 4: "L"}[kind], *([turn, 0] if kind == 3 else [turn]))
    entries = struct.pack(code + "HHL", 0x010F, 2, 3) + b"me\0\0" + struct.pack(code + "HHL", 0x0112, kind, 1) + number
    return b"Exif\0\0" + order.encode() + struct.pack(code + "HLH", 42, 8, 2) + entries + bytes(4)


@pytest.mark.parametrize("order", ["II", "MM"])
@pytest.mark.parametrize("kind", [3, 4])
@pytest.mark.parametrize("turn", range(1, 9))
def test_every_spelling_of_an_orientation_is_found(order, kind, turn):
    content = encoded(exif=exif(turn, order, kind))
    assert Image.open(io.BytesIO(content)).getexif()[0x0112] == turn
    assert jpeg.read(content).may_be_turned == (turn != 1 or kind != 3)
    assert not jpeg.read(encoded()).may_be_turned


@pytest.mark.parametrize("form", ['tiff:Orientation="6"', "<tiff:Orientation>6</tiff:Orientation>"])
def test_an_orientation_in_xmp_data_is_found(form):
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description {form}/></x:xmpmeta>'.encode()
    content = encoded(xmp=xmp)
    assert Image.open(io.BytesIO(content)).getexif()[0x0112] == 6
    assert jpeg.read(content).may_be_turned
    whole = Image.open(io.BytesIO(content))
    assert (decode.Picture(content).width, decode.Picture(content).height) == whole.size[::-1]
