"""CSV files, whole and damaged."""

import csv
import gzip
import random
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import csv_file, memory
from cnn_jax.data.sources.csv_file import read_csv

BODY = "3,0,1,2,3\n0,255,254,253,252\n"


def read(path, **sizes):
    return read_csv(path, "config.data.train_file", **({"image_shape": (2, 2, 1)} | sizes))


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
    assert read(path, image_shape=(1, 2, 3)).images.tolist() == [[[[10, 20, 30], [40, 50, 60]]]]


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
        ("1,0,0,0,0,0\n", r"line 1 has 6 columns.*; one column is neither the label nor a pixel"),
        ("id,label,a,b,c,d\n1,1,0,0,0,0\n", r"line 1 has 6 columns.*; one column is neither the label nor a pixel"),
        ("class,label,a,b,c\n1,2,0,0,0\n", r"has columns called label and class; set config.data.label_column"),
        ("sep=,\n1,2,0,0,0\n", r"line 1 has 2 columns, expected 5 \(a label and 4 pixels\)$"),
        ("cat,0,0,0,0\ndog,1,1,1,1\n", r"column 1: 'cat' is no integer; labels are .*config.data.class_names$"),
        ("label,a,b,c,d\nTrue,0,0,0,0\n", r"line 2, column 1: 'True' is no integer; labels are whole numbers"),
        ("1,0.1216,0.5,0,1\n", r"column 2: '0.1216' is no integer; pixels are .*multiply them by 255"),
        ("1,1.5e-3,0.5,0,1\n", r"column 2: '1.5e-3' is no integer; pixels are .*multiply them by 255"),
        ("1,12.5,0,0,1\n", r"column 2: '12.5' is no integer$"),
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
    with pytest.raises(DataError, match="is no CSV file: byte 0x89 in line 1 or after it is no UTF-8"):
        read(path)


# --- as other programs write them: the values come from NumPy's generator and Python's csv module -----------------


def table(rows=3, side=5, seed=0):
    """Labels [rows] and pixels [rows, side * side]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 10, rows), rng.integers(0, 256, (rows, side * side))


def names_of(pixels):
    return [f"pixel{number}" for number in range(pixels.shape[1])]


def joined(labels, pixels, place=0):
    """Lines of cells with the label at a place."""
    return [[*row[:place], label, *row[place:]] for label, row in zip(labels.tolist(), pixels.tolist(), strict=True)]


def written(path, lines, encoding="utf-8", **dialect):
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, **dialect).writerows(lines)
    return path


def assert_read(path, labels, pixels, **options):
    split = read(path, image_shape=(5, 5, 1), **options)
    assert split.labels.tolist() == labels.tolist()
    assert split.labels.dtype == np.int32
    assert split.images.dtype == np.uint8
    np.testing.assert_array_equal(split.images, pixels.reshape(-1, 5, 5, 1))


@pytest.mark.parametrize("place", [0, 25, 7])
@pytest.mark.parametrize("name", ["label", "Label", "LABELS", "class", " target "])
@pytest.mark.parametrize("pixel", ["pixel{}", "{}", "{}x0", "p {}"])
def test_the_label_is_found_by_its_name(tmp_path, place, name, pixel):
    labels, pixels = table()
    names = [pixel.format(number) for number in range(25)]
    names.insert(place, name)
    assert_read(written(tmp_path / "t.csv", [names, *joined(labels, pixels, place)]), labels, pixels)


@pytest.mark.parametrize(("place", "columns"), [(0, (1, -26, "digit")), (25, (26, -1, "DIGIT")), (7, (8, "digit"))])
def test_the_label_is_where_the_config_says(tmp_path, place, columns):
    labels, pixels = table()
    names = names_of(pixels)
    names.insert(place, "digit")
    path = written(tmp_path / "t.csv", [names, *joined(labels, pixels, place)])
    for column in columns:
        assert_read(path, labels, pixels, label_column=column)
    assert_read(path, labels, pixels)  # the one name that is unlike all others
    bare = written(tmp_path / "bare.csv", joined(labels, pixels, place))
    assert_read(bare, labels, pixels, label_column=columns[0])
    with pytest.raises(DataError, match=r"has no line of names, so config.data.label_column=digit names none"):
        read(bare, image_shape=(5, 5, 1), label_column="digit")


def test_the_config_is_stronger_than_the_name(tmp_path):
    labels, pixels = table()
    names = ["label", *names_of(pixels)[:-1], "truth"]
    path = written(tmp_path / "t.csv", [names, *joined(labels, pixels, 25)])
    assert_read(path, labels, pixels, label_column="truth")


@pytest.mark.parametrize("first", [0, 1])
def test_a_line_of_column_numbers_is_no_image(tmp_path, first):
    labels, pixels = table()
    assert_read(written(tmp_path / "t.csv", [range(first, first + 26), *joined(labels, pixels)]), labels, pixels)


def test_names_that_pandas_makes_of_an_image_are_none(tmp_path):
    labels, pixels = table()
    seen, names = Counter(), []
    for cell in [7, 0, 0, 0, *[255] * 10, *[3] * 12]:
        names.append(f"{cell}.{seen[cell]}" if seen[cell] else str(cell))
        seen[cell] += 1
    assert names[:5] == ["7", "0", "0.1", "0.2", "255"]
    assert_read(written(tmp_path / "t.csv", [names, *joined(labels, pixels)]), labels, pixels)


def test_small_images_that_count_up_are_asked_about(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("0,1,2,3,4\n1,9,9,9,9\n")
    with pytest.raises(DataError, match=r"line 1 counts up from 0 to 4: .* set config.data.header=true; .*=false"):
        read(path)
    assert read(path, header=True).labels.tolist() == [1]
    assert read(path, header=False).images.reshape(2, 4).tolist() == [[1, 2, 3, 4], [9, 9, 9, 9]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_encodings_delimiters_quotes_and_line_ends(tmp_path, encoding, delimiter, quoting, ending):
    labels, pixels = table()
    dialect = {"delimiter": delimiter, "quoting": quoting, "lineterminator": ending}
    lines = joined(labels, pixels)
    assert_read(written(tmp_path / "bare.csv", lines, encoding, **dialect), labels, pixels)
    named = written(tmp_path / "named.csv", [["étiquette", *names_of(pixels)], *lines], encoding, **dialect)
    assert_read(named, labels, pixels, label_column="Étiquette")
    (tmp_path / "packed.csv").write_bytes(gzip.compress(named.read_bytes()))
    assert_read(tmp_path / "packed.csv", labels, pixels, label_column=1)


@pytest.mark.parametrize("form", ["%.1f", "%.18e", "%d.", " %d", "+%d", '"%d.0"', "%05d"])
def test_numbers_in_other_forms(tmp_path, form):
    labels, pixels = table()
    lines = [",".join(form % cell for cell in line) for line in joined(labels, pixels)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert_read(tmp_path / "t.csv", labels, pixels)


def test_blank_lines(tmp_path):
    labels, pixels = table()
    lines = [",".join(map(str, line)) for line in joined(labels, pixels)]
    (tmp_path / "t.csv").write_text("\n \n" + "\n\n".join(lines) + "\n\t\n\n")
    assert_read(tmp_path / "t.csv", labels, pixels)
    (tmp_path / "blank.csv").write_text("\n \r\n\t\n")
    with pytest.raises(DataError, match=r"is empty$"):
        read(tmp_path / "blank.csv")


def test_thousands_of_columns_and_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "_BLOCK", 100_000)
    rng = np.random.default_rng(0)
    labels, pixels = rng.integers(0, 70_000, 40), rng.integers(0, 256, (40, 80 * 70 * 3))
    path = written(tmp_path / "t.csv", [[*names_of(pixels), "label"], *joined(labels, pixels, pixels.shape[1])])
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    for file in (path, tmp_path / "t.csv.gz"):
        split = read(file, image_shape=(80, 70, 3))
        assert split.labels.tolist() == labels.tolist()
        np.testing.assert_array_equal(split.images, pixels.reshape(40, 80, 70, 3))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "a,b,c,d,e\n1,0,0,0,0\n",
            {},
            r"none of the columns a, b, c, d, e is called label, .* config.data.label_column to",
        ),
        ("label,p,p,p,Label\n", {}, r"has 2 columns called 'label': 1, 5; set config.data.label_column to the number"),
        (
            "digit,p0,p1,p2,p3\n",
            {"label_column": "cat"},
            r"has no column 'cat' .*; it has digit, p0, p1, p2, p3",
        ),
        (
            "1,0,0,0,0\n",
            {"label_column": 6},
            r"has 5 columns, and config.data.label_column=6; 1 is the first",
        ),
        ("1,0,0,0,0\n", {"label_column": -6}, "has 5 columns, and config.data.label_column=-6"),
        ("0,1,2,3,4\n", {"label_column": 4, "header": True}, "is the number of one column and the name of another"),
        ("label,p1,p10,p2,p3\n", {}, r"out of order: p10 stands before p2, expected the pixels row by row"),
        (",label,p0,p1,p2,p3\n", {}, r"line 1 has 6 columns, expected 5 .*; its first has no name, as pandas' index"),
        (
            "Unnamed: 0,label,a,b,c,d\n",
            {},
            r"line 1 has 6 columns, expected 5 .*; its first has no name, as pandas' index",
        ),
        ("0,0,0,0,0,\n", {}, r"line 1 has 6 columns, expected 5 .*; its last is empty, as lines end with a delimiter"),
        ("0,0,0,0\n", {}, r"line 1 has 4 columns, expected 5 .*; does it lack the label\?"),
        ("1,2,3,4,5,6,7,8,9,10\n", {}, r"line 1 has 10 columns, .*; images of 3x3x1 would fit"),
        ("label,p0,p1,p2,p3\n1,2,3,4,5\nlabel,p0,p1,p2,p3\n", {}, "line 3, column 1: 'label' is no integer"),
        ("1,0,0,0,0\n\n1,nan,0,0,0\n", {}, "line 3, column 2: 'nan' is no integer"),
        ("1,0,0,0,0\n1,1e400,0,0,0\n", {}, "line 2, column 2: '1e400' is no integer"),
        ("1,0,0,0,0\n1,1_0,0,0,0\n", {}, "line 2, column 2: '1_0' is no integer"),
        ("1,0,0,0,0\n1,٣,0,0,0\n", {}, "line 2, column 2: '٣' is no integer"),
        ("1,0,0,0,0\n1,0x1F,0,0,0\n", {}, "line 2, column 2: '0x1F' is no integer"),
        ("1,0,0,0,0\n2147483648,0,0,0,0\n", {}, "line 2, column 1: 2147483648 is out of range"),
        ("1,0,0,0,0\n" + "9" * 5000 + ",0,0,0,0\n", {}, "line 2, column 1: .* is "),
        ('1,0,0,0,0\n1,"0,0,0,0\n2,0,0,0,0\n', {}, "line 2 has 2 columns"),
        ("1,0,0,0,0\n1;0;0;0;0\n", {}, "line 2 has 1 columns"),
        ("1;0,5;0;0;0\n", {}, "line 1, column 2: '0,5' is no integer"),
        ("1,0,0,0,0\n\0\0\0\n", {}, "line 2 has the character NUL; it is damaged, or UTF-16"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, text, options, message):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "t.csv", **options)
    assert str(caught.value).startswith(f"config.data.train_file: {tmp_path / 't.csv'}")
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(BODY.encode(), mtime=0)[:-9], "is a damaged gz file"),
        (BODY.encode() + b"\xff", r"is no CSV file: byte 0xff in line \d or after it is no UTF-8"),
        (b"PK\3\4" + bytes(range(128, 256)), "is a zip archive"),
        (b"PK" + bytes(range(128, 256)), "is no CSV file: byte 0x80"),
        (bytes(1000), "is no CSV file: line 1 has the character NUL"),
        (BODY.encode("utf-16-le"), "line 1 has the character NUL; .*: save it as UTF-8"),
        (BODY.encode("utf-32"), "line 1 has the character NUL"),
        (BODY.encode() + b"0,0,0,0,\0", "line 3 has the character NUL"),
        (
            gzip.compress(bytes(6_000_000), mtime=0),
            r"line 1 has more than [\d,]+ characters: it is no line of an image",
        ),
        (b"1" * 6_000_000, "line 1 has more than"),
        (b'"' + b"1" * 200_000, "line 1 cannot be read: field larger than field limit"),
    ],
)
def test_files_of_other_kinds(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "t.csv")


def test_every_length_of_a_cut_file_is_right_or_refused(tmp_path):
    labels, pixels = table(rows=2)
    whole = written(tmp_path / "whole.csv", joined(labels, pixels), lineterminator="\n").read_bytes()
    first = whole.index(b"\n")
    for length in range(1, len(whole)):
        (tmp_path / "t.csv").write_bytes(whole[:length])
        if length in (first, first + 1):
            assert_read(tmp_path / "t.csv", labels[:1], pixels[:1])
        elif len(whole[:length].splitlines()[-1].split(b",")) == 26 and not whole[:length].endswith(b","):
            continue  # a last number that lost digits cannot be told from another
        else:
            with pytest.raises(DataError, match=r"columns, expected 26|column 26: '' is no integer"):
                read(tmp_path / "t.csv", image_shape=(5, 5, 1))


def test_a_table_that_does_not_fit_into_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    labels, pixels = table(rows=4000)
    path = written(tmp_path / "t.csv", joined(labels, pixels))
    monkeypatch.setattr(csv_file, "_BLOCK", 2000)
    monkeypatch.setattr(memory.host_memory, "free_bytes", lambda: 4000 * 25 * 2)
    assert_read(path, labels, pixels)
    parsed, real = [], csv_file._parsed
    monkeypatch.setattr(csv_file, "_parsed", lambda block, layout: parsed.append(block) or real(block, layout))
    monkeypatch.setattr(memory.host_memory, "free_bytes", lambda: 4000 * 25 // 2)
    with pytest.raises(DataError, match=r"train_file: .* take [\d,]+ bytes of memory, and 50,000 bytes are free"):
        read(path, image_shape=(5, 5, 1))
    assert len(parsed) < 10


def test_reading_takes_little_more_memory_than_the_pixels(tmp_path):
    rng = np.random.default_rng(0)
    labels, pixels = rng.integers(0, 10, 20_000), rng.integers(0, 256, (20_000, 784)).astype(np.uint8)
    lines = "\n".join(",".join(map(str, row)) for row in pixels[:100].tolist())
    lines = "\n".join(f"3,{line}" for line in lines.split("\n"))
    (tmp_path / "t.csv").write_text("\n".join([lines] * 200))
    tracemalloc.start()
    try:
        split = read(tmp_path / "t.csv", image_shape=(28, 28, 1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(split) == len(labels)
    # The room to spare is an eighth; a block is 4 MB of text, its lines and its numbers.
    assert peak < 1.3 * split.images.nbytes + 40e6


def test_random_tables_are_read_and_random_damage_is_refused_or_harmless(tmp_path):
    draws = random.Random(0)
    messages = []
    for _ in range(300):
        side, rows = draws.randint(2, 4), draws.randint(1, 4)
        place = draws.randint(0, side * side)
        labels = np.array([draws.randrange(10) for _ in range(rows)])
        pixels = np.array([[draws.randrange(256) for _ in range(side * side)] for _ in range(rows)])
        names = names_of(pixels)
        names.insert(place, draws.choice(["label", "class", "digit"]))
        dialect = {
            "delimiter": draws.choice(",;\t "),
            "quoting": draws.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
            "lineterminator": draws.choice(["\n", "\r\n", "\r"]),
        }
        encoding = draws.choice(["utf-8", "utf-8-sig", "utf-16"])
        path = written(tmp_path / "t.csv", [names, *joined(labels, pixels, place)], encoding, **dialect)
        split = read(path, image_shape=(side, side, 1))
        assert split.labels.tolist() == labels.tolist()
        np.testing.assert_array_equal(split.images.reshape(rows, -1), pixels)
        content = bytearray(path.read_bytes())
        for _ in range(draws.randint(1, 3)):
            at = draws.randrange(len(content))
            content[at : at + draws.randint(0, 2)] = draws.choice(
                [b"", b"\0", b'"', b",", b"\n", b".", b"-", b"\xff", b"e9"]
            )
        path.write_bytes(content)
        try:
            split = read(path, image_shape=(side, side, 1))
            assert split.images.shape == (len(split.labels), side, side, 1)
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert not any("\n" in message or len(message) > 400 + len(str(tmp_path)) for message in messages)


def test_colours_one_after_the_other(tmp_path):
    """CIFAR's order: all red values, then all green ones, then all blue ones."""
    images = np.random.default_rng(4).integers(0, 256, (5, 2, 3, 3), np.uint8)
    lines = [",".join(map(str, [n % 2, *image.transpose(2, 0, 1).ravel()])) for n, image in enumerate(images)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    np.testing.assert_array_equal(read_csv(tmp_path / "a.csv", "field", (2, 3, 3), layout="CHW").images, images)
