"""Pictures into records: what is kept, what is counted, what is refused, and what a broken run leaves."""

import gzip
import hashlib
import io
import json
import re
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from rich.console import Console

from cnn_jax import config as cfg
from cnn_jax.data import DataError, load
from cnn_jax.data.sources import picture_files, prepare_records
from cnn_jax.data.sources.records import Records, read_manifest


def prepare(source, target=None, test_fraction=0.2):
    return prepare_records.prepare(source, target, test_fraction, Console(file=io.StringIO()))


def save(path, colour=(200, 100, 50), size=(12, 8), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


@pytest.fixture
def pictures(tmp_path):
    """train/ with two PNG of one colour and a JPEG of another, val/ with one of each class."""
    folder = tmp_path / "pictures"
    save(folder / "train" / "red" / "a.png", (200, 0, 0), (8, 8))
    save(folder / "train" / "red" / "b.png", (200, 0, 0), (16, 4))
    save(folder / "train" / "grey" / "a.jpg", 80, (16, 8), "L")
    save(folder / "val" / "red" / "a.png", (0, 255, 0), (40, 8))
    save(folder / "val" / "grey" / "a.png", (0, 255, 0), (8, 30))
    return folder


def test_files_are_kept_byte_for_byte_with_their_labels(jpegs, records_folder):
    for split, folder in (("train", "train"), ("validation", "val")):
        records = Records(records_folder, split)
        files = sorted((jpegs / folder).rglob("*.jpg"))
        kept = [records[number] for number in range(len(records))]
        assert [record.picture for record in kept] == [file.read_bytes() for file in files]
        assert [record.label for record in kept] == [int(file.parent.name[-3:]) for file in files]


def test_tfds_reads_the_folder(records_folder):
    source = tfds.builder_from_directory(records_folder).as_data_source("validation")
    assert len(source) == 6
    assert source[5]["file_name"] == b"class_002/000059.jpg"
    assert source[5]["image"].ndim == 3


def test_the_manifest_counts(pictures, tmp_path):
    folder = prepare(pictures, tmp_path / "records")
    manifest = read_manifest(folder, "f")
    assert manifest.class_names == ("grey", "red")
    assert manifest.examples == {"train": 3, "validation": 2}
    assert manifest.test_split == "validation"
    assert (manifest.widths, manifest.heights) == ((8, 40), (4, 30))
    # Every fourth pixel and row: 4x2 of (80, 80, 80); 2x2 and 4x1 of (200, 0, 0): half of the 16 pixels each.
    assert manifest.mean == (140, 40, 40)
    assert manifest.covariance == ((3600, -2400, -2400), (-2400, 1600, 1600), (-2400, 1600, 1600))
    digest = hashlib.sha256(b"grey\0red")
    for split, label, name in (
        ("train", 0, "train/grey/a.jpg"),
        ("train", 1, "train/red/a.png"),
        ("train", 1, "train/red/b.png"),
        ("validation", 0, "val/grey/a.png"),
        ("validation", 1, "val/red/a.png"),
    ):
        content = (pictures / name).read_bytes()
        digest.update(f"\0{split} {label} {len(content)}\0".encode() + content)
    assert manifest.checksum == digest.hexdigest()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "records"]


def test_class_folders_alone_are_split(tmp_path):
    for name in ("a", "b"):
        for number in range(10):
            save(tmp_path / "all" / name / f"{number}.png", (number, 0, 0))
    folder = prepare(tmp_path / "all", tmp_path / "records", test_fraction=0.3)
    labels = {
        split: [Records(folder, split)[number].label for number in range(count)]
        for split, count in (("train", 14), ("validation", 6))
    }
    assert labels == {"train": [0] * 7 + [1] * 7, "validation": [0] * 3 + [1] * 3}


def test_unreadable_pictures_are_named_and_counted_and_nothing_is_left(pictures, tmp_path):
    whole = (pictures / "train" / "grey" / "a.jpg").read_bytes()
    (pictures / "train" / "grey" / "cut.jpg").write_bytes(whole[:-60])
    for number in range(6):
        (pictures / "val" / "red" / f"text{number}.png").write_text("no picture")
    with pytest.raises(DataError, match="7 pictures cannot be read; mend or remove them:\n") as error:
        prepare(pictures, tmp_path / "records")
    lines = str(error.value).splitlines()[1:]
    assert lines[0].startswith("train: grey/cut.jpg: ")
    assert lines[1].startswith("validation: red/text0.png: it is none of PNG, JPEG, GIF, BMP, WEBP, TIFF")
    assert lines[5:] == ["and 2 more"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures"]


def test_a_run_that_was_killed_is_started_over(pictures, tmp_path):
    partial = tmp_path / ".records.partial"
    partial.mkdir()
    (partial / "pictures-train.array_record-00000").write_bytes(b"half")
    with pytest.raises(DataError, match="f: there is no folder"):
        read_manifest(tmp_path / "records", "f")
    assert read_manifest(prepare(pictures, tmp_path / "records"), "f").examples["train"] == 3
    assert not partial.exists()


def test_a_folder_of_tfds_is_looked_through(records_folder, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in records_folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "records.json").unlink()
    with pytest.raises(DataError, match=r"f: .*copy has no records.json; `launch.py prepare --source=.*copy`"):
        read_manifest(copy, "f")
    assert prepare(copy) == copy
    assert (copy / "records.json").read_bytes() == (records_folder / "records.json").read_bytes()
    with pytest.raises(DataError, match=r"--source: .* has been looked through already"):
        prepare(copy)
    with pytest.raises(DataError, match=r"--target: .* is made by TFDS"):
        prepare(copy, tmp_path / "other")


def test_imagenet_comes_of_its_tar_files(tmp_path, monkeypatch):
    """With three classes and labels in place of TFDS's 1,000 and 50,000."""
    facts = tmp_path / "facts"
    facts.mkdir()
    (facts / "labels.txt").write_text("n01\nn02\nn03\n")
    (facts / "validation_labels.txt").write_text("n03\nn01\n")
    monkeypatch.setattr(tfds.core, "tfds_path", lambda path: facts)
    colours = {"n01": 10, "n02": 20, "n03": 30}

    def jpeg(value):
        return save(tmp_path / "one.jpg", value, (16, 16), "L").read_bytes()

    inner = {
        f"{name}.tar": tar_of({f"{name}_{n}.JPEG": jpeg(value + n) for n in (0, 1)}) for name, value in colours.items()
    }
    source = tmp_path / "tars"
    source.mkdir()
    (source / picture_files.TARS["train"]).write_bytes(tar_of(inner))
    with pytest.raises(DataError, match=r"has ILSVRC2012_img_train.tar, but not ILSVRC2012_img_val.tar"):
        prepare(source, tmp_path / "records")
    # The labels go by name, whatever the order in the file.
    validation = tar_of({"ILSVRC2012_val_2.JPEG": jpeg(90), "ILSVRC2012_val_1.JPEG": jpeg(80)})
    (source / picture_files.TARS["validation"]).write_bytes(validation)
    folder = prepare(source, tmp_path / "records")
    assert read_manifest(folder, "f").class_names == ("n01", "n02", "n03")
    seen = {
        split: [
            (record.label, int(np.asarray(Image.open(io.BytesIO(record.picture))).mean()))
            for record in map(Records(folder, split).__getitem__, range(count))
        ]
        for split, count in (("train", 6), ("validation", 2))
    }
    assert seen["train"] == [(0, 10), (0, 11), (1, 20), (1, 21), (2, 30), (2, 31)]
    assert seen["validation"] == [(2, 80), (0, 90)]


@pytest.fixture
def tars(tmp_path, monkeypatch):
    """ImageNet's two tar files with two classes of two pictures and a validation picture; gives their folder."""
    facts, source = tmp_path / "facts", tmp_path / "tars"
    for folder in (facts, source):
        folder.mkdir()
    (facts / "labels.txt").write_text("n01\nn02\n")
    (facts / "validation_labels.txt").write_text("n02\n")
    monkeypatch.setattr(tfds.core, "tfds_path", lambda path: facts)
    picture = save(tmp_path / "one.png").read_bytes()
    inner = {f"{name}.tar": tar_of({f"{name}_{n}.JPEG": picture for n in (0, 1)}) for name in ("n01", "n02")}
    (source / picture_files.TARS["train"]).write_bytes(tar_of(inner))
    (source / picture_files.TARS["validation"]).write_bytes(tar_of({"one.JPEG": picture}))
    return source


def tar_of(contents):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: b"", "is no tar file, or a damaged one: empty file"),
        (lambda whole: bytes(10240), "has (no pictures of 2 of 2 classes: n01, n02|0 pictures, expected 1)"),
        (lambda whole: b"label,pixel0\n" * 1000, "is no tar file, or a damaged one"),
        (gzip.compress, "is no tar file, or a damaged one"),
        (lambda whole: b"PK\3\4" + whole, "is no tar file, or a damaged one"),
        (lambda whole: whole[:300], "is no tar file, or a damaged one"),
        (lambda whole: whole[:700], "is (damaged or cut short|no tar file, or a damaged one: unexpected end of data)"),
        (lambda whole: bytes([whole[0] ^ 1]) + whole[1:], "is no tar file, or a damaged one"),
    ],
)
def test_damaged_tar_files_are_named(tars, tmp_path, split, damage, message):
    path = tars / picture_files.TARS[split]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f"^--source: {path} {message}"):
        prepare(tars, tmp_path / "records")
    assert not (tmp_path / "records").exists()


def test_every_cut_of_a_tar_file_is_refused(tars):
    path = tars / picture_files.TARS["train"]
    whole = path.read_bytes()
    last = whole.rindex(b"n02_1.JPEG")
    for length in range(0, last + 1024, 256):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"^--source: {path}"):
            picture_files.find(tars, 0.2)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (b"n02.tar", r"train.tar is damaged or cut short after 1 files"),
        (b"n01_1.JPEG", r"train.tar, in it n01.tar, is damaged or cut short after 1 files"),
        (b"n02_0.JPEG", r"train.tar, in it n02.tar, is no tar file, or a damaged one|cut short after 0 files"),
    ],
)
def test_a_flipped_bit_in_a_header_does_not_hide_the_rest(tars, member, message):
    path = tars / picture_files.TARS["train"]
    content = bytearray(path.read_bytes())
    content[content.index(member)] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        picture_files.find(tars, 0.2)


@pytest.mark.parametrize("member", [b"n02.tar", b"n01_1.JPEG", b"n02_1.JPEG"])
def test_a_header_of_zeros_does_not_hide_the_rest(tars, member):
    path = tars / picture_files.TARS["train"]
    content = path.read_bytes()
    place = content.index(member)
    path.write_bytes(content[:place] + bytes(512) + content[place + 512 :])
    with pytest.raises(DataError, match=r"train.tar,? .*is damaged or cut short after \d files; fetch it again"):
        picture_files.find(tars, 0.2)


def test_old_data_may_fill_the_last_record_of_a_tar_file(tars):
    path = tars / picture_files.TARS["validation"]
    content = path.read_bytes()
    expected = picture_files.find(tars, 0.2)
    end = content.rindex(content.rstrip(b"\0")[-1:]) // 512 * 512 + 512
    path.write_bytes(content[: end + 1024] + b"x" * len(content[end + 1024 :]))
    assert picture_files.find(tars, 0.2) == expected
    path.write_bytes(content[: end + 512])  # one block of zeros in place of two
    assert picture_files.find(tars, 0.2) == expected


def test_inner_tar_files_that_are_none(tars):
    path = tars / picture_files.TARS["train"]
    whole = tar_of({"a.JPEG": b"x" * 700})
    for inner in (b"", b"text", whole[:1024], whole[:1536]):
        path.write_bytes(tar_of({"n01.tar": inner, "n02.tar": whole}))
        with pytest.raises(DataError, match=r"train.tar, in it n01.tar, is (no tar file|damaged)"):
            picture_files.find(tars, 0.2)
    path.write_bytes(tar_of({"n02.tar": whole}))
    with pytest.raises(DataError, match=r"train.tar has no pictures of 1 of 2 classes: n01"):
        picture_files.find(tars, 0.2)


def test_what_is_refused(pictures, tmp_path, records_folder):
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("x")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "records.json").write_text(json.dumps({"format": 2}))
    cases = [
        (lambda: prepare(tmp_path / "none", other / "x"), "--source: there is no folder .*none"),
        (lambda: prepare(pictures, None), "--target: name the folder to make"),
        (lambda: prepare(pictures, other), "--target: .*other is there, and not empty; name another"),
        (lambda: prepare(pictures, records_folder), "--target: .*records is a whole folder of records already"),
        (lambda: prepare(other, tmp_path / "x"), "--source: .*other has no subfolders, expected one for each class"),
        (lambda: prepare(pictures / "val", tmp_path / "x", 0.0), "--test_fraction=0 leaves 2 of the 2 pictures"),
        (lambda: read_manifest(damaged, "f"), "f: .*records.json is damaged"),
    ]
    for attempt, message in cases:
        with pytest.raises(DataError, match=message):
            attempt()
    (pictures / "test").mkdir()
    with pytest.raises(DataError, match="has train/ and all of val/, test/, expected one of them"):
        prepare(pictures, tmp_path / "x")
    (pictures / "test").rmdir()
    save(pictures / "val" / "blue" / "a.png")
    with pytest.raises(DataError, match=r"--source: .*val has the classes blue, which the training images lack"):
        prepare(pictures, tmp_path / "x")


def test_warnings_stand_in_the_manifest(pictures, tmp_path):
    save(pictures / "train" / "blue" / "a.png", (0, 0, 200))
    (pictures / "val" / "red" / "b.png").write_bytes((pictures / "train" / "grey" / "a.jpg").read_bytes())
    save(pictures / "train" / "red" / ".ipynb_checkpoints" / "a.png")
    save(pictures / "val" / "red" / "._a.png")
    (pictures / "val" / "grey" / "loop").symlink_to(pictures / "val")
    printed = io.StringIO()
    folder = prepare_records.prepare(pictures, tmp_path / "records", 0.2, Console(file=printed))
    manifest = read_manifest(folder, "f")
    assert manifest.examples == {"train": 4, "validation": 3}
    train, val = (str(pictures / split) for split in ("train", "val"))
    assert manifest.warnings == (
        f"--source: passed over in {train}: 1 hidden file or folder ({train}/red/.ipynb_checkpoints)",
        f"--source: passed over in {val}: 1 hidden file or folder ({val}/red/._a.png), 1 link to a folder that is read "
        f"already ({val}/grey/loop)",
        "the validation images lack 1 of the 3 classes: blue",
        "1 of the 3 validation pictures is also among the training pictures, byte by byte: red/b.png",
    )
    assert printed.getvalue().count("warning: ") == 4
    assert load(cfg.Records(folder=str(folder), image_size=8), seed=0).warnings == manifest.warnings


def test_turned_pictures_have_their_upright_size(tmp_path):
    """Stored 12 wide and 8 high, seen 8 wide and 12 high."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, grey in (("a", 50), ("b", 100)):
        for split in ("train", "val"):
            (tmp_path / "pictures" / split / name).mkdir(parents=True)
            for kind in ("jpg", "png", "tif", "webp"):
                path = tmp_path / "pictures" / split / name / f"{split}.{kind}"
                Image.new("RGB", (12, 8), (grey, grey, grey)).save(path, exif=exif)
    manifest = read_manifest(prepare(tmp_path / "pictures", tmp_path / "records"), "f")
    assert (manifest.widths, manifest.heights) == ((8, 8), (12, 12))


def test_pictures_of_no_known_range_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "pictures" / name / "x.tif")
        save(tmp_path / "pictures" / name / "y.png")
    with pytest.raises(DataError, match=r"2 pictures cannot be read; .*\n.*a/x.tif: its pixels are floating-point"):
        prepare(tmp_path / "pictures", tmp_path / "records", 0.5)


def test_copies_that_a_validation_split_may_tear_apart(pictures, tmp_path):
    for number in range(3):
        save(pictures / "train" / "red" / f"copy{number}.png", (200, 0, 0), (8, 8))
    folder = str(prepare(pictures, tmp_path / "records"))
    assert read_manifest(tmp_path / "records", "f").training_copies == 3
    assert load(cfg.Records(folder=folder, image_size=8), seed=0).warnings == ()
    [warning] = load(cfg.Records(folder=folder, image_size=8, validation_fraction=0.4), seed=0).warnings
    assert warning.startswith("3 training pictures are copies of others, byte by byte: validation images, which config")


def test_training_pictures_in_two_classes(pictures, tmp_path):
    for number in range(2):
        shutil.copy(pictures / "train" / "grey" / "a.jpg", pictures / "train" / "red" / f"copy{number}.jpg")
    shutil.copy(pictures / "val" / "grey" / "a.png", pictures / "val" / "red" / "copy.png")  # a test picture may be
    [warning] = read_manifest(prepare(pictures, tmp_path / "records"), "f").warnings
    assert re.fullmatch(
        r"2 of the \d training pictures are also in another class, byte by byte: red/copy\d.jpg of class red is one of "
        r"class grey before it; is a label wrong\?",
        warning,
    )


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_damaged_description_is_told(records_folder, tmp_path, name, content):
    shutil.copytree(records_folder, tmp_path / "records")
    (tmp_path / "records" / name).write_text(content)
    with pytest.raises(DataError, match="records"):
        Records(tmp_path / "records", "train")
