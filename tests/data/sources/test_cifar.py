"""CIFAR's three published forms, on small archives that are written as the published ones are."""

import dataclasses
import io
import pickle
import tarfile
import time

import numpy as np
import pytest
from scipy.io import savemat

from cnn_jax import config as cfg
from cnn_jax import data
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import cifar, cifar_archive, in_memory, published
from cnn_jax.data.sources.cifar_sets import CIFAR10, CIFAR100
from cnn_jax.data.sources.declared import declared

COUNTS = {"train": 20, "test": 6}
SMALL = {known.name: dataclasses.replace(known, counts=COUNTS) for known in (CIFAR10, CIFAR100)}


def drawn(known):
    """Images, [n, 3, 32, 32] as the files have them, and labels of each split."""
    rng = np.random.default_rng(2)
    found = {}
    for split, count in COUNTS.items():
        labels = {name: rng.integers(0, len(known.class_names[name]), count) for name in known.class_names}
        found[split] = rng.integers(0, 256, (count, 3, 32, 32), np.uint8), labels
    return found


def files(known, form):
    """Content of an archive's files by name."""
    contents = {}
    for split, (images, labels) in drawn(known).items():
        names = known.files[split]
        for name, chosen in zip(names, np.split(np.arange(COUNTS[split]), len(names)), strict=True):
            rows = images[chosen].reshape(len(chosen), -1)
            of_rows = {label: values[chosen] for label, values in labels.items()}
            if form == "python":
                named = {label.encode(): values.tolist() for label, values in of_rows.items()}
                contents[name] = pickle.dumps({b"batch_label": name.encode(), b"data": rows} | named, protocol=2)
            elif form == "binary":
                columns = [values.astype(np.uint8) for values in of_rows.values()]
                contents[f"{name}.bin"] = np.column_stack([*columns, rows]).astype(np.uint8).tobytes()
            else:
                file = io.BytesIO()
                columns = {label: values.astype(np.uint8)[:, None] for label, values in of_rows.items()}
                savemat(file, {"data": rows} | columns, do_compression=True)
                contents[f"{name}.mat"] = file.getvalue()
    return contents


def archive(path, contents):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {"batches.meta.txt": b"airplane", **contents}.items():
            info = tarfile.TarInfo(f"cifar-batches/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(in_memory, "CIFAR_SETS", SMALL)


@pytest.mark.parametrize("form", ["python", "binary", "matlab"])
@pytest.mark.parametrize("known", [CIFAR10, CIFAR100], ids=lambda known: known.name)
def test_published_forms(tmp_path, known, form):
    path = archive(tmp_path / "cifar.tar.gz", files(known, form))
    config = cfg.Cifar10(archive=str(path)) if known is CIFAR10 else cfg.Cifar100(archive=str(path), labels="coarse")
    loaded = data.load(config, 0)
    for split, found in (("train", loaded.train), ("test", loaded.test)):
        images, labels = drawn(known)[split]
        np.testing.assert_array_equal(found.images, np.moveaxis(images, 1, -1))
        np.testing.assert_array_equal(found.labels, labels[next(iter(known.class_names))])
    assert declared(config) == (loaded.image_shape, loaded.num_classes)
    assert loaded.class_names[3] == ("cat" if known is CIFAR10 else "food_containers")
    assert any("none of the published archives byte by byte" in warning for warning in loaded.warnings)


def test_an_unpacked_folder_and_fine_labels(tmp_path):
    for name, content in files(CIFAR100, "python").items():
        (tmp_path / name).write_bytes(content)
    loaded = data.load(cfg.Cifar100(archive=str(tmp_path)), 0)
    np.testing.assert_array_equal(loaded.train.labels, drawn(CIFAR100)["train"][1]["fine_labels"])
    assert (len(loaded.class_names), loaded.class_names[-1]) == (100, "worm")
    assert any("its images are not verified" in warning for warning in loaded.warnings)


def test_an_empty_file_of_matlab(tmp_path):
    contents = files(CIFAR10, "matlab") | {"data_batch_3.mat": b""}
    with pytest.raises(DataError, match=r"data_batch_3.mat is damaged: Mat file appears to be truncated"):
        data.load(cfg.Cifar10(archive=str(archive(tmp_path / "cifar.tar.gz", contents))), 0)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return time.sleep, (1000,)

    contents = files(CIFAR10, "python") | {"data_batch_2": pickle.dumps({b"data": Evil()}, protocol=2)}
    path = archive(tmp_path / "cifar.tar.gz", contents)
    with pytest.raises(DataError, match=r"data_batch_2 is damaged: it names time.sleep, which no array needs"):
        data.load(cfg.Cifar10(archive=str(path)), 0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data_batch_3.bin": None}, r"is not CIFAR-10: it has no data_batch_3.bin; .* cifar-10-python.tar.gz"),
        ({"data_batch_3.bin": b""}, "has 16 images in data_batch_1, .*CIFAR-10 20"),
        ({"data_batch_3.bin": b"x" * 100}, "data_batch_3.bin is damaged"),
        ({"data_batch_3.bin": bytes([10]) + bytes(3072)}, "labels are 10 to 10, expected 0 to 9"),
    ],
)
def test_damaged_archives(tmp_path, changes, expected):
    contents = {name: content for name, content in (files(CIFAR10, "binary") | changes).items() if content is not None}
    with pytest.raises(DataError, match=expected):
        data.load(cfg.Cifar10(archive=str(archive(tmp_path / "cifar.tar.gz", contents))), 0)


def test_cut_and_missing_archives(tmp_path):
    path = archive(tmp_path / "cifar.tar.gz", files(CIFAR10, "binary"))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"is no tar archive, or a damaged one .* fetch it again"):
        data.load(cfg.Cifar10(archive=str(path)), 0)
    with pytest.raises(DataError, match="there is no file or folder"):
        data.load(cfg.Cifar10(archive=str(tmp_path / "none.tar.gz")), 0)


def test_prepared_once_and_read_ever_after(tmp_path, monkeypatch):
    fetched = []

    def fetch(url, target, sha256, length):
        fetched.append((url, sha256, length))
        archive(target, files(CIFAR100, "binary"))

    monkeypatch.setattr(published, "fetch", fetch)
    known = SMALL["cifar100"]
    results = [cifar.load(known, None, "fine_labels", tmp_path) for _ in range(2)]
    assert fetched == [
        ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", CIFAR100.archives[1].sha256, 168513733)
    ]
    for train, test, warnings in results:
        assert not warnings
        for split, found in (("train", train), ("test", test)):
            images, labels = drawn(CIFAR100)[split]
            np.testing.assert_array_equal(found.images, np.moveaxis(images, 1, -1))
            np.testing.assert_array_equal(found.labels, labels["fine_labels"])
    # The source of TFDS reads the same records.
    loaded = data.load(cfg.Tfds(dataset="cifar100", data_dir=str(tmp_path)), 0)
    np.testing.assert_array_equal(loaded.train.images, results[0][0].images)
    np.testing.assert_array_equal(loaded.train.labels, results[0][0].labels)
    shard = next((tmp_path / "cifar100" / "1.0.0").glob("*train.array_record*"))
    content = bytearray(shard.read_bytes())
    content[40:4000] = bytes(3960)
    shard.write_bytes(bytes(content))
    train, _, _ = cifar.load(known, None, "fine_labels", tmp_path)
    assert len(fetched) == 2, "damaged records are made anew"
    np.testing.assert_array_equal(train.images, results[0][0].images)


def test_without_a_network_the_ways_to_get_it_are_told(tmp_path, monkeypatch):
    def fetch(*arguments):
        raise published.DownloadError("no route")

    monkeypatch.setattr(published, "fetch", fetch)
    with pytest.raises(DataError, match=r"CIFAR-10 is not on this machine[\s\S]*--config.data.archive=FILE"):
        cifar.load(CIFAR10, None, "labels", tmp_path)


def test_published_archives_are_known_by_their_checksum(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    known = dataclasses.replace(
        CIFAR10, archives=(dataclasses.replace(CIFAR10.archives[0], md5="900150983cd24fb0d6963f7d28e17f72"),)
    )
    assert cifar_archive.is_published(tmp_path / "a", known)
    assert not cifar_archive.is_published(tmp_path / "a", CIFAR10)
