"""Files of NumPy, Parquet files and tar shards, damaged, against NumPy, pyarrow, tarfile and Pillow."""

import io
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from cnn_jax import config as cfg
from cnn_jax import data
from fuzz_data.damage import damaged
from fuzz_data.outcome import Refused, called

COUNT, SIDE = 7, 5


def drawn(rng: np.random.Generator, channels: int | None, dtype: type = np.uint8) -> tuple[np.ndarray, np.ndarray]:
    shape = (COUNT, SIDE, SIDE) if channels is None else (COUNT, SIDE, SIDE, channels)
    return rng.integers(0, 256, shape).astype(dtype), np.arange(COUNT) % 3


def npz_file(rng: np.random.Generator, folder: Path) -> str:
    """Arrays are read as NumPy reads them, or refused."""
    dtype = rng.choice([np.uint8, np.uint16])
    images, labels = drawn(rng, [None, 1, 3, 13][int(rng.integers(4))], dtype)
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:3], "y_test": labels[:3]}
    save = np.savez if rng.random() < 0.5 else np.savez_compressed
    file = io.BytesIO()
    save(file, **arrays)
    content, what = file.getvalue(), "whole"
    if not (whole := rng.random() < 0.2):
        content, what = damaged(content, rng)
    (folder / "a.npz").write_bytes(content)
    got = called(lambda: data.load(cfg.Npz(file=str(folder / "a.npz")), 0))
    case = f"npz, {save.__name__}, {what}"
    if isinstance(got, Refused):
        assert not whole, got.message
        return f"{case}: refused"
    try:
        with np.load(io.BytesIO(content)) as found:
            arrays = {name: found[name] for name in arrays}
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, OSError):
        pass  # what lies between the members does not matter, and NumPy may mind
    scale = 1 if arrays["x_train"].dtype == np.uint8 else 257
    expected = arrays["x_train"].reshape(COUNT, -1).astype(np.float64) / scale
    np.testing.assert_allclose(got.train.images.reshape(COUNT, -1), expected, rtol=1e-6)
    np.testing.assert_array_equal(got.train.labels, arrays["y_train"])
    return f"{case}: read"


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def parquet_file(rng: np.random.Generator, folder: Path) -> str:
    """Rows are read as pyarrow and Pillow read them, or refused."""
    images, labels = drawn(rng, 3)
    table = pa.table({"image": [{"bytes": png(each)} for each in images], "label": labels})
    compression = str(rng.choice(["none", "snappy", "zstd"]))
    for split in ("train", "test"):
        pq.write_table(table, folder / f"{split}.parquet", row_group_size=3, compression=compression)
    content, what = (folder / "train.parquet").read_bytes(), "whole"
    if not (whole := rng.random() < 0.2):
        content, what = damaged(content, rng)
        (folder / "train.parquet").write_bytes(content)
    memory = str(rng.choice(["device", "host"]))
    got = called(lambda: data.load(cfg.Parquet(folder=str(folder), memory=memory), 0))
    case = f"parquet, {compression}, {memory}, {what}"
    if isinstance(got, Refused):
        assert not whole, got.message
        return f"{case}: refused"
    rows = pq.read_table(folder / "train.parquet").to_pylist()
    pixels = [np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")) for row in rows]
    _check(got.train, np.stack(pixels), [row["label"] for row in rows])
    return f"{case}: read"


def tar_shard(rng: np.random.Generator, folder: Path) -> str:
    """Members are read as tarfile and Pillow read them, or refused."""
    images, labels = drawn(rng, 3)
    members = {f"{number}.png": png(each) for number, each in enumerate(images)}
    members |= {f"{number}.cls": str(label).encode() for number, label in enumerate(labels)}
    for split in ("train", "test"):
        with tarfile.open(folder / f"{split}.tar", "w") as archive:
            for name, content in sorted(members.items()):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    content, what = (folder / "train.tar").read_bytes(), "whole"
    if not (whole := rng.random() < 0.2):
        content, what = damaged(content, rng)
        (folder / "train.tar").write_bytes(content)
    memory = str(rng.choice(["device", "host"]))
    got = called(lambda: data.load(cfg.WebDataset(folder=str(folder), memory=memory), 0))
    case = f"tar shard, {memory}, {what}"
    if isinstance(got, Refused):
        assert not whole, got.message
        return f"{case}: refused"
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(folder / "train.tar") as archive:
        for member in archive.getmembers():
            if member.isfile() and not member.name.startswith("."):
                stem, _, kind = member.name.partition(".")
                found.setdefault(stem, {})[kind] = archive.extractfile(member).read()
    kept = [parts for parts in found.values() if "png" in parts]
    pixels = [np.asarray(Image.open(io.BytesIO(parts["png"])).convert("RGB")) for parts in kept]
    _check(got.train, np.stack(pixels), [int(parts["cls"]) for parts in kept])
    return f"{case}: read"


def _check(train: object, pixels: np.ndarray, labels: list[int]) -> None:
    """Compares images that were read, in memory or as a stream, with those that are expected."""
    if not isinstance(train, data.Split):
        order = train.records
        found = [order[number] for number in range(len(order))]
        np.testing.assert_array_equal(np.stack([each.picture for each in found]), pixels)
        assert [each.label for each in found] == labels
        return
    np.testing.assert_array_equal(train.images, pixels)
    assert train.labels.tolist() == labels
