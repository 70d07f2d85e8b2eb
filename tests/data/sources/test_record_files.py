"""Folders of records that are damaged, cut short, mixed up or foreign."""

import json
import pickle
import shutil

import numpy as np
import pytest

from cnn_jax import config as cfg
from cnn_jax.cli import main as launch
from cnn_jax.data import DataError
from cnn_jax.data.errors import UnreadableRecordError
from cnn_jax.data.sources.pictures import open_streams
from cnn_jax.data.sources.records import Records, read_manifest

SHARD = "pictures-train.array_record-00000"


@pytest.fixture
def copy(records_folder, tmp_path):
    return shutil.copytree(records_folder, tmp_path / "copy")


def opened(folder):
    return open_streams(cfg.Records(folder=str(folder), image_size=16, workers=0), seed=0)


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def place_of(records_folder, split, number):
    """A byte in the middle of a record's picture, in its file."""
    picture = Records(records_folder, split)[number].picture
    content = (records_folder / SHARD.replace("train", split)).read_bytes()
    return content.index(picture[-60:-20]) + 10


@pytest.mark.parametrize(
    "damage",
    {
        "empty": lambda whole: b"",
        "half": lambda whole: whole[: len(whole) // 2],
        "64 KiB": lambda whole: whole[:65536],
        "without its last byte": lambda whole: whole[:-1],
        "without its end": lambda whole: whole[:-65536],
        "zeros": lambda whole: bytes(len(whole)),
        "text": lambda whole: b"label,pixel0\n" * 20_000,
        "more": lambda whole: whole + b"more",
        "flipped in its index": lambda whole: flipped(whole, len(whole) - 65536 + 40),
    }.items(),
    ids=lambda damage: damage[0],
)
def test_a_damaged_file_is_named_before_anything_starts(copy, damage):
    shard = copy / SHARD
    shard.write_bytes(damage[1](shard.read_bytes()))
    with pytest.raises(
        DataError, match=rf"config.data.folder: .*copy, split train: the file {SHARD} (is damaged|has \d+)"
    ):
        opened(copy)


def test_a_missing_file_and_a_folder_in_its_place(copy):
    (copy / SHARD).unlink()
    with pytest.raises(DataError, match=rf"split train: the file {SHARD} is missing; fetch the folder or prepare it"):
        opened(copy)
    (copy / SHARD).mkdir()
    with pytest.raises(DataError, match=rf"the file {SHARD} cannot be read: Is a directory"):
        opened(copy)


def test_files_of_another_folder(copy):
    shutil.copy(copy / SHARD.replace("train", "validation"), copy / SHARD)
    with pytest.raises(DataError, match=rf"the file {SHARD} has 6 records, expected 54: it is damaged or cut short"):
        opened(copy)


@pytest.mark.parametrize("number", [0, 20, 53])
def test_a_flipped_bit_is_found_in_the_record_that_has_it(copy, records_folder, number):
    shard = copy / SHARD
    shard.write_bytes(flipped(shard.read_bytes(), place_of(records_folder, "train", number)))
    streams = opened(copy)
    records, whole = pickle.loads(pickle.dumps(streams.train.records)), Records(records_folder, "train")
    for each in range(len(records)):
        if each == number:
            with pytest.raises(
                UnreadableRecordError, match=rf"record {number} of .*copy, split train \(in {SHARD}\) cannot be read"
            ):
                records[each]
        else:
            assert records[each] == whole[each]


def test_a_run_that_meets_a_damaged_record_fails_with_one_message(copy, records_folder, tmp_path, capfd):
    shard = copy / SHARD
    shard.write_bytes(flipped(shard.read_bytes(), place_of(records_folder, "train", 30)))
    config = tmp_path / "config.py"
    data = {"name": "records", "folder": str(copy), "image_size": 16, "workers": 0}
    text = {
        "data": data,
        "model": {"features": (2,), "pooling": ("max",), "dense": ()},
        "train": {"epochs": 1, "batch_size": 54},
        "log": {"tensorboard": False},
    }
    config.write_text(f"def get_config():\n    return {text!r}\n")
    assert launch.main(["train", f"--config={config}", f"--workdir={tmp_path}/run", "--noreport"]) == 1
    error = capfd.readouterr().err
    assert f"failed: record 30 of {copy}, split train (in {SHARD}) cannot be read: Corrupted" in error
    assert "Traceback" not in error
    (copy / "records.json").unlink()
    assert launch.main(["prepare", f"--source={copy}"]) == 2
    assert "refused: --source: record 30 of" in capfd.readouterr().err


@pytest.mark.parametrize("pattern", ["{DCTASET}-{SPLIT}", "{{DATASET}-{SPLIT}", "{0}", "x"])
def test_a_damaged_pattern_of_file_names(copy, pattern):
    path = copy / "dataset_info.json"
    whole = path.read_text()
    assert "{DATASET}-{SPLIT}" in whole
    path.write_text(whole.replace("{DATASET}-{SPLIT}", pattern))
    with pytest.raises(DataError, match=r"^config.data.folder: .*copy(: dataset_info.json|, split train: the file)"):
        opened(copy)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"[1, 2]", b"null", b"\xff\xfe", None, "half"])
def test_damaged_descriptions(copy, name, content):
    whole = (copy / name).read_bytes()
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(DataError, match=r"^config.data.folder: .*copy"):
        opened(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"examples": {"train": 53, "validation": 6}}, r"has 54 records, and records.json tells of 53; the folder has"),
        ({"examples": {"train": 54, "test": 6}}, r"has the splits train, validation, expected test"),
        ({"examples": {"train": 54}}, "has the splits train, expected train, and validation or test"),
        ({"examples": {}}, "has the splits , expected train"),
        ({"mean": [1, 2]}, "records.json is damaged"),
        ({"format": 2}, "records.json is damaged"),
        ({"more": 1}, "records.json is damaged"),
    ],
)
def test_a_manifest_that_does_not_fit(copy, change, message):
    manifest = json.loads((copy / "records.json").read_bytes())
    del manifest["digest"]  # as older versions wrote it
    assert (len(opened(copy).train), len(opened(copy).test)) == (54, 6)
    (copy / "records.json").write_text(json.dumps(manifest | change))
    with pytest.raises(DataError, match=rf"^config.data.folder: .*{message}"):
        opened(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [1.0, 2.0, 3.0]},
        {"covariance": [[1.0, 0.0, 0.0]] * 3},
        {"checksum": "0" * 64},
        {"class_names": ["a", "b", "c"]},
        {"digest": "0" * 64},
        {"widths": [1, 2]},
    ],
)
def test_a_manifest_that_was_changed(copy, change):
    manifest = json.loads((copy / "records.json").read_bytes())
    (copy / "records.json").write_text(json.dumps(manifest, separators=(",", ":")))
    assert opened(copy).train.pixel_statistics().mean.tolist() == manifest["mean"]
    (copy / "records.json").write_text(json.dumps(manifest | change))
    with pytest.raises(DataError, match=r"^config.data.folder: .*records.json has been changed since it was written"):
        opened(copy)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff", b"{", b"7"])
def test_a_manifest_that_is_none(copy, content):
    (copy / "records.json").write_bytes(content)
    with pytest.raises(DataError, match=r"f: .*records.json is damaged"):
        read_manifest(copy, "f")


@pytest.mark.parametrize("name", ["x[1]", "a b", "*", "ü 数", "x[0:3]", "{a}", "%s", "~"])
def test_names_of_folders(records_folder, tmp_path, name):
    folder = shutil.copytree(records_folder, tmp_path / name)
    assert opened(folder).train.batch(0).labels.shape == (1,)


def everything(folder):
    streams = opened(folder)
    records = [
        tuple(stream.records[number])
        for stream in (streams.train, streams.test)
        for number in range(len(stream.records))
    ]
    return read_manifest(folder, "f"), records


@pytest.mark.parametrize("name", [SHARD, "dataset_info.json", "features.json", "records.json"])
def test_random_damage_never_gives_other_values(records_folder, copy, name):
    whole, draws = everything(records_folder), np.random.default_rng(len(name))
    content = (copy / name).read_bytes()
    messages = []
    for number in range(25):
        place = int(draws.integers(len(content)))
        damaged = flipped(content, place) if number % 3 else content[:place]
        (copy / name).write_bytes(damaged)
        try:
            assert everything(copy) == whole
        except (DataError, UnreadableRecordError) as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert all(str(copy) in message and "\n" not in message for message in messages)
