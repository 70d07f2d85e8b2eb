"""Header of a JPEG file, and the same file with no more of the picture than is wanted.

A picture's code can only be read from its beginning on, as every value's place depends on those before. So what lies
below a part can be left out of any sequential JPEG, but what lies above it or beside it only where the file has restart
markers: from each of these on the code can be read by itself. They make tiles of the picture, and a file of some of the
tiles is the file of that part. `cnn_jax.data.host.restarts` writes them into files that have none, with an index of the
tiles, in a segment for applications, so that they need not be looked for.

Source: ITU-T T.81, annexes A (order of the code), B (markers) and E.1.4 (restart intervals).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

END = b"\xff\xd9"  # of a file that is whole; the picture's code never has these two bytes
_TAIL = 64  # last bytes of a file, in which the end is looked for: some writers leave something behind it
_BLOCK = 8  # pixels
# The tag of the orientation, and its entry where it is 1, in either order of bytes.
_UPRIGHT = (
    (b"\x12\x01", b"\x12\x01\x03\x00\x01\x00\x00\x00\x01\x00"),
    (b"\x01\x12", b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01"),
)
_INDEX = b"cnn_jax tiles\0"  # in APP12; then each tile's length with its marker, two bytes, the higher first


class Jpeg(NamedTuple):
    """The headers of a JPEG that is coded by Huffman's codes, 8 bits a colour.

    Attributes:
      width, height: In pixels.
      colours: Colour components that are stored.
      unit: Width and height in pixels of the smallest part that is coded by itself (MCU, minimum coded unit).
      sequential: Whether the code goes through the picture once, from top to bottom; else it is progressive.
      interval: Units from one restart marker to the next; 0 without such markers.
      size_at: Where the file has its height, and then its width.
      code_at: Where the only scan's code begins; 0 for several scans, and where the headers break off.
      tiles_at: Where the index of tiles begins and ends; None where there is none.
      may_be_turned: Whether EXIF or XMP data may say another orientation than upright.
    """

    width: int
    height: int
    colours: int
    unit: tuple[int, int]
    sequential: bool
    interval: int
    size_at: int
    code_at: int = 0
    tiles_at: tuple[int, int] | None = None
    may_be_turned: bool = False

    @property
    def units_across(self) -> int:
        """Units in a row of them."""
        return -(-self.width // self.unit[0])

    @property
    def units_down(self) -> int:
        """Rows of units."""
        return -(-self.height // self.unit[1])

    @property
    def sampling(self) -> tuple[int, int]:
        """Columns and rows of pixels for one point of the colour that is stored at the fewest."""
        return self.unit[0] // _BLOCK, self.unit[1] // _BLOCK

    @property
    def tile(self) -> tuple[int, int] | None:
        """Units across and down between two restart markers; None where these make no tiles."""
        if not self.interval or not self.code_at:
            return None
        if self.units_across % self.interval == 0:
            return self.interval, 1
        if self.interval % self.units_across == 0:
            return self.units_across, self.interval // self.units_across
        return None


class Part(NamedTuple):
    """A file of a part of a picture.

    Attributes:
      content: The file.
      left, top: Columns and rows of the whole picture before the part's first.
    """

    content: bytes | bytearray
    left: int = 0
    top: int = 0


def read(content: bytes) -> Jpeg | None:
    """Reads a JPEG's headers; None for all other files, and for JPEGs of other kinds."""
    if content[:2] != b"\xff\xd8":
        return None
    at, interval, tiles_at, frame, may_be_turned = 2, 0, None, None, False
    while content[at : at + 1] == b"\xff" and at + 10 <= len(content):
        marker, behind = content[at + 1], at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker in (0xC0, 0xC1, 0xC2) and frame is None:
            frame = _frame(content, at, marker != 0xC2)
            if frame is None:
                return None
        elif marker == 0xDD:
            interval = int.from_bytes(content[at + 4 : at + 6], "big")
        elif marker == 0xDA and frame is not None:
            one_scan = frame.sequential and content[at + 4] == frame.colours
            code_at = behind if one_scan else 0
            return frame._replace(interval=interval, code_at=code_at, tiles_at=tiles_at, may_be_turned=may_be_turned)
        elif marker == 0xE1:  # APP1
            may_be_turned = may_be_turned or _may_be_turned(content[at + 4 : behind])
        elif marker == 0xEC and content.startswith(_INDEX, at + 4):
            tiles_at = at + 4 + len(_INDEX), behind
        elif not (0xE0 <= marker <= 0xEF or marker in (0xFE, 0xC4, 0xDB)):  # APPn, COM, DHT, DQT
            break
        at = behind
    return None if frame is None else frame._replace(may_be_turned=may_be_turned)


def _may_be_turned(segment: bytes) -> bool:
    """Whether a segment of EXIF or XMP data has anything like an orientation but entries that say upright."""
    return b"rientation" in segment or any(segment.count(tag) != segment.count(entry) for tag, entry in _UPRIGHT)


def _frame(content: bytes, at: int, sequential: bool) -> Jpeg | None:
    """Reads the frame header, all but what comes behind it."""
    height, width = (int.from_bytes(content[at + start : at + start + 2], "big") for start in (5, 7))
    colours = content[at + 9]
    factors = content[at + 11 : at + 11 + 3 * colours : 3]
    if not (width and height and colours and len(factors) == colours and all(factors)) or content[at + 4] != 8:
        return None
    # A single colour's blocks are coded one by one, whatever its factors.
    across, down = (1, 1) if colours == 1 else (max(each >> 4 for each in factors), max(each & 15 for each in factors))
    return Jpeg(width, height, colours, (across * _BLOCK, down * _BLOCK), sequential, 0, at + 5)


def is_whole(content: bytes | bytearray) -> bool:
    """Whether a file's end is there."""
    return END in content[-_TAIL:]


def part(content: bytes, jpeg: Jpeg, left: int, top: int, right: int, bottom: int) -> Part:
    """Leaves out of a file what a part of its picture does not need.

    Pixels at the new picture's own edges may differ where its colours are stored at fewer points, for there their
    neighbours are missing; no others do.

    Args:
      content: A file.
      jpeg: Its headers.
      left, top, right, bottom: The part, in pixels; what reaches beyond the picture is not looked at.

    Returns:
      The file of a picture that contains the part; the whole where nothing can be left out, or the file is not whole.
    """
    if not jpeg.sequential:
        return Part(content)
    if jpeg.tile is not None and is_whole(content):
        tiles = _tiles(content, jpeg, jpeg.tile)
        if tiles is not None:
            return _some(content, jpeg, jpeg.tile, tiles, (left, top, right, bottom))
    if bottom >= jpeg.height:
        return Part(content)
    upper = bytearray(content)
    upper[jpeg.size_at : jpeg.size_at + 2] = bottom.to_bytes(2, "big")
    return Part(upper)


def with_index(content: bytes) -> bytes:
    """Writes the index of tiles into a file that has tiles.

    Args:
      content: A file.

    Returns:
      The file with the index; the same file where it has no tiles, has an index already, or has more tiles, or longer
      ones, than one segment can tell of.
    """
    jpeg = read(content)
    if jpeg is None or jpeg.tile is None or jpeg.tiles_at is not None:
        return content
    tiles = _tiles(content, jpeg, jpeg.tile)
    if tiles is None:
        return content
    lengths = (tiles.end - tiles.begin).ravel() + 2
    segment = _INDEX + lengths.astype(">u2").tobytes()
    if lengths.max() > 0xFFFF or len(segment) + 2 > 0xFFFF:
        return content
    frame_at = jpeg.size_at - 5
    return content[:frame_at] + b"\xff\xec" + (len(segment) + 2).to_bytes(2, "big") + segment + content[frame_at:]


class _Tiles(NamedTuple):
    """Where each tile's code begins, and where its marker stands behind it; both [down, across]."""

    begin: Int[np.ndarray, "down across"]
    end: Int[np.ndarray, "down across"]


def _tiles(content: bytes, jpeg: Jpeg, tile: tuple[int, int]) -> _Tiles | None:
    """Finds the tiles; None where the markers are not those that should be there."""
    shape = -(-jpeg.units_down // tile[1]), jpeg.units_across // tile[0]
    count, values = shape[0] * shape[1], np.frombuffer(content, np.uint8)
    ends = _indexed(values, jpeg)
    if ends is None or not _are_marked(values, ends, count):
        ends = _found(values, jpeg.code_at, content.rfind(END))
        if not _are_marked(values, ends, count):
            return None
    begin = np.empty_like(ends)
    begin[0], begin[1:] = jpeg.code_at, ends[:-1] + 2
    if (ends < begin).any():  # of a damaged file
        return None
    return _Tiles(begin.reshape(shape), ends.reshape(shape))


def _indexed(values: UInt8[np.ndarray, " bytes"], jpeg: Jpeg) -> Int[np.ndarray, " tiles"] | None:
    """Where the index has the tiles' ends; None without one. The file may have been changed since it was written."""
    if jpeg.tiles_at is None or (jpeg.tiles_at[1] - jpeg.tiles_at[0]) % 2:
        return None
    lengths = values[slice(*jpeg.tiles_at)].view(">u2")
    return np.cumsum(lengths, dtype=np.int64) + (jpeg.code_at - 2)


def _found(values: UInt8[np.ndarray, " bytes"], begin: int, end: int) -> Int[np.ndarray, " tiles"]:
    """Looks for the tiles' ends: where the code has restart markers, and the end of the file."""
    marks = (values[begin : end - 1] == 0xFF).nonzero()[0] + begin
    return np.append(marks[(values[marks + 1] & 0xF8) == 0xD0], end)


def _are_marked(values: UInt8[np.ndarray, " bytes"], ends: Int[np.ndarray, " tiles"], count: int) -> bool:
    """Whether so many tiles end at the markers that should be there."""
    if ends.size != count or ends[-1] + 2 > values.size:
        return False
    kinds = values[ends + 1]
    return bool(kinds[-1] == END[1] and (kinds[:-1] == _restarts(count - 1)).all() and (values[ends] == 0xFF).all())


@functools.lru_cache(maxsize=1024)
def _restarts(count: int) -> UInt8[np.ndarray, " count"]:
    """The second bytes of so many restart markers: there are eight of them, in turns."""
    seconds = (0xD0 + (np.arange(count) & 7)).astype(np.uint8)
    seconds.setflags(write=False)
    return seconds


def _some(content: bytes, jpeg: Jpeg, tile: tuple[int, int], tiles: _Tiles, box: tuple[int, int, int, int]) -> Part:
    """Puts the file of those tiles together that a part of the picture touches."""
    left, top, right, bottom = box
    wide, tall = tile[0] * jpeg.unit[0], tile[1] * jpeg.unit[1]
    down, across = tiles.begin.shape
    columns = slice(max(left // wide, 0), min(-(-right // wide), across))
    rows = slice(max(top // tall, 0), min(-(-bottom // tall), down))
    begin, end = tiles.begin[rows, columns], tiles.end[rows, columns]
    first, last = begin[:, 0].tolist(), (end[:, -1] + 2).tolist()  # each row's tiles and all their markers
    lines = [content[start:stop] for start, stop in zip(first, last, strict=True)]
    some = bytearray(b"".join([content[: jpeg.code_at], *lines]))
    width = min(columns.stop * wide, jpeg.width) - columns.start * wide
    height = min(rows.stop * tall, jpeg.height) - rows.start * tall
    some[jpeg.size_at : jpeg.size_at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    # The markers are counted anew, and the last is the end.
    lengths = end[:, -1] + 2 - begin[:, 0]
    starts = np.cumsum(lengths) - lengths + jpeg.code_at
    marks = (end - begin[:, :1] + starts[:, None]).ravel()
    values = np.frombuffer(some, np.uint8)
    values[marks] = 0xFF
    values[marks + 1] = _restarts(marks.size)
    some[-2:] = END
    return Part(some, columns.start * wide, rows.start * tall)
