"""Files that people have in place of the data are named, whoever reads them."""

import bz2
import gzip
import io
import lzma
import zipfile

import numpy as np
import pytest

from cnn_jax.data.errors import DataError
from cnn_jax.data.sources.csv_file import read_csv
from cnn_jax.data.sources.data_file import read_bytes
from cnn_jax.data.sources.idx import read_idx

TABLE = b"1,0,1,2,3\n0,255,254,253,252\n"


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("train.csv", content)
    return file.getvalue()


def of_numpy(content):
    file = io.BytesIO()
    np.save(file, np.frombuffer(content, np.uint8))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(TABLE), "is a zip archive .*: unpack it"),
        (bz2.compress(TABLE), "is packed by bzip2: unpack it"),
        (lzma.compress(TABLE), "is packed by xz: unpack it"),
        (gzip.compress(gzip.compress(TABLE, mtime=0), mtime=0), "is packed by gzip twice: unpack it once"),
        (gzip.compress(zipped(TABLE), mtime=0), "is a zip archive"),
        (of_numpy(TABLE), "is a file of NumPy: write it as IDX or CSV"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS: .*git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html>", "is a web page"),
        (b"<HTML><body>404", "is a web page"),
    ],
)
def test_foreign_files(tmp_path, content, message):
    path = tmp_path / "train"
    path.write_bytes(content)
    for read in (read_bytes, read_idx, lambda *names: read_csv(*names, (2, 2, 1))):
        with pytest.raises(DataError, match=f"config.data.x: .*train {message}"):
            read(path, "config.data.x")


def test_gz_of_several_parts(tmp_path):
    path = tmp_path / "train"
    path.write_bytes(gzip.compress(TABLE[:14]) + gzip.compress(TABLE[14:]))
    assert read_bytes(path, "f") == TABLE
    assert read_csv(path, "f", (2, 2, 1)).labels.tolist() == [1, 0]
