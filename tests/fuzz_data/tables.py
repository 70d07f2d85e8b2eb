"""CSV and IDX files and ImageNet's tar files, odd and damaged, against readers of a few lines."""

import csv
import gzip
import io
import math
import re
import tarfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from cnn_jax import config as cfg
from cnn_jax import data
from cnn_jax.data.sources import picture_files
from fuzz_data.damage import damaged
from fuzz_data.outcome import Refused, called

SIDE, ROWS = 3, 9


def drawn(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 256, (ROWS, SIDE, SIDE), np.uint8), np.arange(ROWS) % 3


# --- CSV ----------------------------------------------------------------------------------------------


def csv_text(images: np.ndarray, labels: np.ndarray, form: str) -> bytes:
    """A table as one of the programs that write them leaves it."""
    rows = [[label, *pixels] for label, pixels in zip(labels.tolist(), images.reshape(ROWS, -1).tolist(), strict=True)]
    header = ["label", *(f"pixel{number}" for number in range(SIDE * SIDE))]
    if form == "label last":
        rows, header = [[*row[1:], row[0]] for row in rows], [*header[1:], header[0]]
    text = io.StringIO()
    writer = csv.writer(
        text,
        quoting=csv.QUOTE_ALL if form == "quoted" else csv.QUOTE_MINIMAL,
        lineterminator="\r\n" if form == "windows" else "\n",
    )
    writer.writerows([header, *rows] if form in ("header", "label last", "bom", "quoted") else rows)
    content = text.getvalue().encode("utf-8-sig" if form == "bom" else "utf-8")
    if form == "empty lines":
        content = content.replace(b"\n", b"\n\n")
    return gzip.compress(content, mtime=0) if form == "gz" else content


CSV_FORMS = ("plain", "header", "label last", "bom", "quoted", "windows", "gz", "empty lines")


def parsed_csv(content: bytes) -> tuple[list[list[int]], list[int]] | None:
    """The pixels and labels of a table, or None where a strict reader finds none."""
    try:
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if row]
    except (UnicodeDecodeError, OSError, EOFError, zlib.error, csv.Error):
        return None
    label = 0
    if rows and any(re.search("[a-zA-Z]", cell) for cell in rows[0]):
        label = rows[0].index("label") if rows[0].count("label") == 1 else 0
        del rows[0]
    if not rows or any(
        len(row) != 1 + SIDE**2 or not all(re.fullmatch(r"\d{1,9}", cell) for cell in row) for row in rows
    ):
        return None
    numbers = [list(map(int, row)) for row in rows]
    labels = [row.pop(label) for row in numbers]
    return (numbers, labels) if max(map(max, numbers)) <= 255 else None


def csv_file(rng: np.random.Generator, folder: Path) -> str:
    """A table is read as it stands, or refused; in every common form it is read."""
    images, labels = drawn(rng)
    (folder / "test.csv").write_bytes(csv_text(images, labels, "plain"))
    form = str(rng.choice(CSV_FORMS))
    content, what = csv_text(images, labels, form), "whole"
    if not (whole := rng.random() < 0.35):
        content, what = damaged(content, rng)
    (folder / "train.csv").write_bytes(content)
    config = cfg.Csv(train_file=str(folder / "train.csv"), test_file=str(folder / "test.csv"), height=SIDE, width=SIDE)
    got = called(lambda: data.load(config, 0))
    expected = (images.reshape(ROWS, -1).tolist(), labels.tolist()) if whole else parsed_csv(content)
    if isinstance(got, Refused):
        assert not whole, f"{form}: {got.message}"
        return f"csv, {form}, {what}: refused"
    assert expected is not None, f"{form}, {what}: read as {len(got.train)} images: {content[:300]!r}"
    assert got.train.images.reshape(len(got.train), -1).tolist() == expected[0]
    assert got.train.labels.tolist() == expected[1]
    return f"csv, {form}, {what}: read"


# --- IDX ----------------------------------------------------------------------------------------------


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def parsed_idx(content: bytes) -> np.ndarray | None:
    try:
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error):
        return None
    if content[:3] != b"\0\0\x08" or len(content) < 4:
        return None
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(shape) > 4 or math.prod(shape) != len(content) - start:
        return None
    return np.frombuffer(content[start:], np.uint8).reshape(shape)


def idx_file(rng: np.random.Generator, folder: Path) -> str:
    """IDX files are read as they stand, or refused."""
    images, labels = drawn(rng)
    parts = {"images": idx_bytes(images), "labels": idx_bytes(labels.astype(np.uint8))}
    for part, content in parts.items():
        (folder / f"test-{part}").write_bytes(content)
    damaged_part, what = str(rng.choice(list(parts))), ""
    if packed := rng.random() < 0.4:
        parts = {part: gzip.compress(content, mtime=0) for part, content in parts.items()}
    kind = str(rng.choice(["damaged", "damaged", "many axes", "huge", "bomb"]))
    match kind:
        case "damaged":
            parts[damaged_part], what = damaged(parts[damaged_part], rng)
        case "many axes":
            axes = int(rng.integers(5, 256))
            parts[damaged_part] = bytes([0, 0, 8, axes]) + (1).to_bytes(4, "big") * axes + b"\1"
        case "huge":
            sizes = [2**32 - 1] * int(rng.integers(1, 4)) + [0] * int(rng.integers(2))
            parts[damaged_part] = bytes([0, 0, 8, len(sizes)]) + b"".join(n.to_bytes(4, "big") for n in sizes)
        case "bomb":
            parts[damaged_part] = gzip.compress(parts[damaged_part][:16] + bytes(2**24), 9, mtime=0)
    for part, content in parts.items():
        (folder / f"train-{part}").write_bytes(content)
    config = cfg.Idx(
        **{f"{split}_{part}": str(folder / f"{split}-{part}") for split in ("train", "test") for part in parts}
    )
    got = called(lambda: data.load(config, 0))
    case = f"idx, {'gz ' * packed}{damaged_part}, {kind} {what}"
    if isinstance(got, Refused):
        return f"{case}: refused"
    expected = {part: parsed_idx(content) for part, content in parts.items()}
    assert all(array is not None for array in expected.values()), f"{case}: read as {got.train.images.shape}"
    np.testing.assert_array_equal(got.train.images.ravel(), expected["images"].ravel())
    assert got.train.images.shape[:3] == expected["images"].shape[:3]
    np.testing.assert_array_equal(got.train.labels, expected["labels"])
    return f"{case}: read"


# --- tar ----------------------------------------------------------------------------------------------

CLASSES = ("n01440764", "n01443537")


def tarred(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def tar_file(rng: np.random.Generator, folder: Path) -> str:
    """ImageNet's tar files are listed whole, every picture with its bytes, or refused."""
    (folder / "facts").mkdir()
    (folder / "facts" / "labels.txt").write_text("\n".join(CLASSES))
    (folder / "facts" / "validation_labels.txt").write_text("\n".join(CLASSES))
    inner = {name: {f"{name}_{n}.JPEG": rng.bytes(600) for n in range(3)} for name in CLASSES}
    validation = {f"val_{n}.JPEG": rng.bytes(600) for n in range(2)}
    contents = {
        "train": tarred({f"{name}.tar": tarred(members) for name, members in inner.items()}),
        "validation": tarred(validation),
    }
    which = str(rng.choice(list(contents)))
    original = contents[which]
    if rng.random() < 0.5:  # in a header, where it decides what there is
        headers = [at for at in range(0, len(original), 512) if original[at + 257 : at + 262] == b"ustar"]
        place = int(rng.choice(headers)) + int(rng.integers(160))
        contents[which] = (
            original[:place] + bytes([original[place] ^ 1 << int(rng.integers(8))]) + original[place + 1 :]
        )
        what = f"a header's byte {place}"
    else:
        contents[which], what = damaged(original, rng)
    for split, content in contents.items():
        (folder / picture_files.TARS[split]).write_bytes(content)
    core = SimpleNamespace(tfds_path=lambda path: folder / "facts")
    whole = picture_files.tfds
    picture_files.tfds = SimpleNamespace(core=core)
    try:
        got = called(lambda: picture_files.find(folder, 0.2))
    finally:
        picture_files.tfds = whole
    case = f"tar, {which}, {what}"
    if isinstance(got, Refused):
        return f"{case}: refused"
    listed = {
        split: [(picture.name, picture.label, len(picture.read())) for picture in pictures]
        for split, pictures in got.splits.items()
    }
    expected = {
        "train": [(name, label, 600) for label, each in enumerate(CLASSES) for name in inner[each]],
        "validation": [(name, label, 600) for label, name in enumerate(validation)],
    }
    assert listed == expected, f"{case}: {listed}"
    return f"{case}: read"
