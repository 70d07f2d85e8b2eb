"""Picture files of all kinds, beside NumPy's arithmetic and Pillow's own conversions."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from cnn_jax.data.host.crops import CentreCrop
from cnn_jax.data.host.picture import FORMATS, MAX_PIXELS, UnreadablePictureError, fit, open_picture, upright

_DRAWS = np.random.default_rng(0)
GREY16 = np.concatenate([[0, 128, 129, 255, 256, 257, 32767, 32768, 65535], _DRAWS.integers(0, 65536, 91)])
GREY16 = GREY16.astype(np.uint16).reshape(10, 10)
COLOURS = _DRAWS.integers(0, 256, (10, 10, 3), np.uint8)


def encoded(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def with_tag(tiff, tag, value):
    """A little-endian TIFF whose entry of a tag has another value."""
    content = bytearray(tiff)
    (start,) = struct.unpack_from("<I", content, 4)
    for entry in range(struct.unpack_from("<H", content, start)[0]):
        if struct.unpack_from("<H", content, start + 2 + 12 * entry)[0] == tag:
            struct.pack_into("<H", content, start + 2 + 12 * entry + 8, value)
            return bytes(content)
    raise AssertionError(tag)


def read(content, tmp_path, channels=1):
    """One picture by the reader of folders and by that of records, which must agree."""
    (tmp_path / "picture").write_bytes(content)
    by_folder, changes = fit(tmp_path / "picture", (10, 10, channels))
    by_records = CentreCrop(10, channels, 10)(content, np.random.default_rng(0))
    np.testing.assert_array_equal(by_folder, by_records)
    return by_folder.squeeze(-1) if channels == 1 else by_folder, changes


BIG_ENDIAN = Image.frombytes("I;16B", (10, 10), GREY16.astype(">u2").tobytes())
SIXTEEN_BITS = {
    "png": encoded(Image.fromarray(GREY16), "PNG"),
    "tiff": encoded(Image.fromarray(GREY16), "TIFF"),
    "tiff, deflated": encoded(Image.fromarray(GREY16), "TIFF", compression="tiff_adobe_deflate"),
    "tiff, big-endian": encoded(BIG_ENDIAN, "TIFF"),
}


@pytest.mark.parametrize("kind", SIXTEEN_BITS)
def test_sixteen_bits_are_scaled_by_the_range_of_the_format(kind, tmp_path):
    expected = np.round(GREY16 / 65535 * 255)
    pixels, changes = read(SIXTEEN_BITS[kind], tmp_path)
    np.testing.assert_array_equal(pixels, expected)
    assert changes == "16 bits to 8"
    colours, _ = read(SIXTEEN_BITS[kind], tmp_path, channels=3)
    np.testing.assert_array_equal(colours, expected[..., None].repeat(3, axis=-1))


def test_sixteen_bits_with_white_as_zero(tmp_path):
    content = with_tag(SIXTEEN_BITS["tiff"], 262, 0)
    np.testing.assert_array_equal(read(content, tmp_path)[0], 255 - np.round(GREY16 / 65535 * 255))


def test_twelve_bits(tmp_path):
    values = GREY16 % 4096
    first, second = values.reshape(-1, 2).T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1).astype(np.uint8).tobytes()
    content = with_tag(SIXTEEN_BITS["tiff"], 258, 12)
    content = content.replace(GREY16.tobytes(), packed.ljust(200, b"\0"))
    pixels, changes = read(content, tmp_path)
    np.testing.assert_array_equal(pixels, np.round(values / 4095 * 255))
    assert changes == "12 bits to 8"


def test_sixteen_bits_with_a_transparent_grey(tmp_path):
    content = encoded(Image.fromarray(GREY16), "PNG", transparency=int(GREY16[5, 5]))
    expected = np.where(GREY16[5, 5] == GREY16, 255, np.round(GREY16 / 65535 * 255))
    np.testing.assert_array_equal(read(content, tmp_path)[0], expected)


def test_sixteen_bits_of_colour(tmp_path):
    """Pillow keeps the upper byte, which is within 1 of the value that is scaled and rounded."""
    values = _DRAWS.integers(0, 65536, (10, 10, 3))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 10, 10, 16, 2, 0, 0, 0))
    ends = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    pixels, _ = read(header + ends, tmp_path, channels=3)
    assert np.abs(pixels - values / 65535 * 255).max() <= 1
    clear = chunk(b"tRNS", struct.pack(">HHH", *values[0, 0].tolist()))
    with pytest.raises(UnreadablePictureError, match="16-bit colours with a transparent one"):
        read(header + clear + ends, tmp_path, channels=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.linspace(0, 1, 100, dtype=np.float32), "floating-point numbers, and the file does not say"),
        (np.linspace(0, 255, 100, dtype=np.float32), "floating-point numbers"),
        (np.arange(100, dtype=np.int32), "signed or 32-bit whole numbers"),
        (np.arange(-50, 50, dtype=np.int32), "signed or 32-bit whole numbers"),
    ],
)
def test_pixels_without_a_range_are_refused(values, message, tmp_path):
    content = encoded(Image.fromarray(values.reshape(10, 10)), "TIFF")
    with pytest.raises(UnreadablePictureError, match=f"picture cannot be read as a picture: its pixels are {message}"):
        read(content, tmp_path)


def transparent(mode):
    clear = np.dstack([COLOURS, _DRAWS.integers(0, 2, (10, 10, 1)) * 255]).astype(np.uint8)
    return Image.fromarray(clear).convert("LA").convert(mode) if mode in ("LA", "PA") else Image.fromarray(clear)


MODES = {
    "1": (Image.fromarray(COLOURS).convert("1"), ["PNG", "TIFF", "BMP"]),
    "L": (Image.fromarray(COLOURS).convert("L"), ["PNG", "TIFF", "BMP", "GIF"]),
    "P": (Image.fromarray(COLOURS).quantize(16), ["PNG", "TIFF", "BMP", "GIF"]),
    "RGB": (Image.fromarray(COLOURS), ["PNG", "TIFF", "BMP"]),
    "RGBA": (transparent("RGBA"), ["PNG", "TIFF"]),
    "LA": (transparent("LA"), ["PNG", "TIFF"]),
    "PA": (transparent("PA"), ["TIFF"]),
    "CMYK": (Image.fromarray(COLOURS).convert("CMYK"), ["TIFF"]),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode(mode, channels, tmp_path):
    picture, kinds = MODES[mode]
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        expected = Image.composite(clear, white, clear.getchannel("A")).convert("RGB")  # all or nothing is clear
    else:
        expected = picture
    expected = np.asarray(expected.convert("L" if channels == 1 else "RGB"))
    for kind in kinds:
        pixels, _ = read(encoded(picture, kind), tmp_path, channels)
        np.testing.assert_array_equal(pixels, expected, err_msg=kind)


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in ("GIF", "BMP")])  # which have no EXIF
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation(kind, turn, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(Image.fromarray(COLOURS[:6]), kind, exif=exif, **options)
    with Image.open(io.BytesIO(content)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert expected.shape == ((10, 6, 3) if turn >= 5 else (6, 10, 3))
    with open_picture(content) as opened:
        pixels, changes = upright(opened, "RGB")
    np.testing.assert_array_equal(pixels, expected)
    assert changes == (["turned upright"] if turn > 1 and kind != "TIFF" else [])  # Pillow turns TIFF itself
    (tmp_path / "picture").write_bytes(content)
    np.testing.assert_array_equal(fit(tmp_path / "picture", expected.shape)[0], expected)


@pytest.mark.parametrize("turn", [0, 9, 258])
def test_orientations_that_mean_nothing(turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    for kind in ("PNG", "WEBP"):
        with open_picture(encoded(Image.fromarray(COLOURS[:6]), kind, exif=exif, lossless=True)) as opened:
            np.testing.assert_array_equal(upright(opened, "RGB")[0], COLOURS[:6])


@pytest.mark.filterwarnings("ignore")  # Pillow's
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0XX*\0\x08\0\0\0", b"Exif\0\0II*\0\xff\xff\xff\x7f"])
def test_a_damaged_note_does_not_damage_a_picture(exif, tmp_path):
    content = encoded(Image.fromarray(COLOURS), "JPEG", exif=exif)
    pixels, _ = read(content, tmp_path, channels=3)
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(content))))


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n0 0 10 10 rectfill\nshowpage\n%%EOF\n"
OTHERS = {
    "eps": EPS,
    "eps for dos": b"\xc5\xd0\xd3\xc6" + struct.pack("<IIIIIIH", 30, len(EPS), 0, 0, 0, 0, 0xFFFF) + EPS,
    "pdf": b"%PDF-1.4\n%%EOF\n",
    "ppm": b"P6 2 2 255\n" + bytes(12),
    "ico": encoded(Image.new("RGB", (16, 16)), "ICO"),
    "pcx": encoded(Image.new("RGB", (16, 16)), "PCX"),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "text": b"no picture",
    "empty": b"",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_are_refused_and_start_nothing(name, tmp_path, monkeypatch):
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UnreadablePictureError, match="cannot be read as a picture: it is none of PNG, JPEG, GIF, BMP"):
        read(OTHERS[name], tmp_path)
    with pytest.raises(UnreadablePictureError, match="it is none of PNG, JPEG, GIF, BMP, WEBP, TIFF, AVIF"):
        CentreCrop(10, 3, 10)(OTHERS[name], None)
    assert not (tmp_path / "started").exists()


def declaring(kind, width, height):
    """A small picture whose header says another size."""
    content = bytearray(encoded(Image.new("RGB", (8, 8)), kind))
    if kind == "PNG":
        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif kind == "JPEG":
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", height, width)
    elif kind == "GIF":
        content[6:10] = struct.pack("<HH", width, height)
    elif kind == "BMP":
        content[18:26] = struct.pack("<ii", width, height)
    else:
        return with_tag(with_tag(bytes(content), 256, width), 257, height)
    return bytes(content)


@pytest.mark.filterwarnings("ignore")  # of Pillow, which warns of such sizes, too
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_decompression_bombs_are_refused_by_the_size_that_they_declare(kind, tmp_path):
    for width, height in ((65000, 65000), (65000, 4000)):
        assert width * height > MAX_PIXELS
        content = declaring(kind, width, height)
        (tmp_path / "picture").write_bytes(content)
        for attempt in (
            lambda: fit(tmp_path / "picture", (10, 10, 3)),
            lambda content=content: CentreCrop(10, 3, 10)(content, None),
        ):
            with pytest.raises(UnreadablePictureError, match=r"declares 65000x\d+ pixels, more|decompression bomb"):
                attempt()


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_pictures_are_never_taken(kind, tmp_path):
    content = encoded(Image.fromarray(_DRAWS.integers(0, 256, (60, 60, 3), np.uint8)), kind)
    for length in (len(content) // 2, 4 * len(content) // 5):
        with pytest.raises(UnreadablePictureError):
            read(content[:length], tmp_path)


def test_damaged_png_with_its_length(tmp_path):
    """Pillow decodes a PNG when its EXIF data are asked for, and of a damaged one is silent the second time."""
    content = bytearray(encoded(Image.fromarray(_DRAWS.integers(0, 256, (60, 60, 3), np.uint8)), "PNG"))
    content[len(content) // 2] ^= 255
    with pytest.raises(UnreadablePictureError, match="broken"):
        read(bytes(content), tmp_path)


def test_missing_files(tmp_path):
    with pytest.raises(UnreadablePictureError, match=r"none.png cannot be read as a picture: No such file"):
        fit(tmp_path / "none.png", (10, 10, 3))
