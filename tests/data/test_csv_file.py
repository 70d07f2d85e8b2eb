"""CSV files, whole and damaged."""

import gzip

import pytest

from cnn_jax.data.csv_file import read_csv
from cnn_jax.data.errors import DataError

BODY = "3,0,1,2,3\n0,255,254,253,252\n"


def read(path, **sizes):
    return read_csv(path, "config.data.train_file", **({"height": 2, "width": 2, "channels": 1} | sizes))


@pytest.mark.parametrize("header", ["", "label,pixel1,pixel2,pixel3,pixel4\n"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_with_and_without_header_and_gz(tmp_path, header, packed, ending):
    text = (header + BODY).replace("\n", ending).encode()
    path = tmp_path / "train.csv"
    path.write_bytes(gzip.compress(text) if packed else text)
    split = read(path)
    assert split.labels.tolist() == [3, 0]
    assert split.images[0, :, :, 0].tolist() == [[0, 1], [2, 3]]
    assert split.images[1, 1, 1, 0] == 252


def test_colour_varies_fastest(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("1,10,20,30,40,50,60\n")
    assert read(path, height=1, channels=3).images.tolist() == [[[[10, 20, 30], [40, 50, 60]]]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty$"),
        ("label,a,b,c,d\n", "is empty but for its header"),
        ("1,0,0,0,0\n2,0,0,0\n3,0,0,0,0\n", r"line 2 has 4 columns, expected 5 \(a label and 4 pixels\)$"),
        ("1,0,0,0,0\n2,0,0", r"line 2 has 3 columns, .*; the file is cut short"),
        ("label,a,b,c,d\n1,0,x,0,0\n", r"line 2, column 3: 'x' is no integer"),
        ("1,0,0.5,0,0\n", r"line 1, column 3: '0.5' is no integer"),
        ("1,0,256,0,0\n", r"line 1, column 3: 256 is out of range, expected a pixel of 0 to 255"),
        ("1,0,-1,0,0\n", r"line 1, column 3: -1 is out of range"),
        ("-1,0,0,0,0\n", r"line 1, column 1: -1 is out of range, expected a label"),
        ("1,0,,0,0\n", r"line 1, column 3: '' is no integer"),
        ("1,0,0,0,0,0\n", r"line 1 has 6 columns"),
    ],
)
def test_damaged(tmp_path, text, message):
    path = tmp_path / "train.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"config.data.train_file: {path}")


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError, match="is no CSV file: byte 0 is 0x89"):
        read(path)
