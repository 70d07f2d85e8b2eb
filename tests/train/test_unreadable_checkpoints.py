"""Checkpoints that cannot be read and are not damaged, and folders of any name."""

import errno
import os
import tempfile

import numpy as np
import pytest
from support.checkpoints import TENSORSTORES_NOTE, kept, load_newest, saved, state

from cnn_jax.run.errors import RunFolderError
from cnn_jax.train.checkpoint import Checkpoints


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def contents(folder):
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"kernel": np.zeros((41, 100), np.float32)},
            r"'kernel'\]: saved float32\[40, 100\], expected float32\[41, 100\]",
        ),
        ({"kernel": np.zeros((40, 100), np.float64)}, r"'kernel'\]: saved float32.*expected float64\[40, 100\]"),
        ({"step": np.int64(0)}, r"'step'\]: saved int32\[\], expected int64\[\]"),
        ({"scale": np.zeros(3)}, r"'scale'\]: saved nothing, expected float64\[3\]"),
    ],
)
def test_what_does_not_fit_is_no_damage(folder, changed, told):
    saved(folder, [1, 2])
    before = contents(folder)
    checkpoints = Checkpoints(folder, keep_last=2)
    with pytest.raises(RunFolderError, match=told):
        load_newest(checkpoints, state(0) | changed)
    checkpoints.close()
    assert contents(folder.parent) == before


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EIO, os.strerror(errno.EIO), "/x/manifest"), "Input/output error"),
        (ValueError(f"UNKNOWN: Failed to open: {os.strerror(errno.EIO)}{TENSORSTORES_NOTE}"), "Input/output error"),
        (ValueError(f"UNKNOWN: Failed to open: {os.strerror(errno.EMFILE)}{TENSORSTORES_NOTE}"), "ulimit -n"),
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), "change its permissions"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "Cannot allocate memory"),
        (MemoryError(), "Out of memory"),
    ],
)
def test_what_the_system_refuses_to_read_is_no_damage(folder, monkeypatch, error, told):
    saved(folder, [1, 2])
    before = contents(folder)

    def fail(*arguments):
        raise error

    checkpoints = Checkpoints(folder, keep_last=2)
    monkeypatch.setattr(checkpoints, "_read", fail)
    with pytest.raises(RunFolderError, match=f"(?s)checkpoint 2 cannot be read: .*{told}.*left as it is"):
        load_newest(checkpoints, state(0))
    checkpoints.close()
    assert contents(folder.parent) == before


@pytest.mark.parametrize("name", ["_CHECKPOINT_METADATA", "state/_METADATA", "state/manifest.ocdbt"])
def test_a_file_that_cannot_be_opened_is_no_damage(folder, name):
    saved(folder, [1, 2])
    path = folder / "2" / name
    if path.exists():
        path.rename(folder.parent / "away")
    path.symlink_to(path.name)  # a link to itself: the system gives up
    checkpoints = Checkpoints(folder, keep_last=2)
    with pytest.raises(RunFolderError, match=r"checkpoint 2 cannot be read: .*left as it is"):
        load_newest(checkpoints, state(0))
    checkpoints.close()
    path.unlink()
    if (folder.parent / "away").exists():
        (folder.parent / "away").rename(path)
    checkpoints = Checkpoints(folder, keep_last=2)
    assert int(load_newest(checkpoints, state(0))["step"]) == 2
    checkpoints.close()


def test_what_passes_by_itself_is_read_in_the_second_attempt(folder, monkeypatch):
    saved(folder, [1, 2])
    checkpoints = Checkpoints(folder, keep_last=2)
    read, faults = checkpoints._read, [ValueError("DATA_LOSS: a part was missing for a moment")]

    def fail_once(*arguments):
        if faults:
            raise faults.pop()
        return read(*arguments)

    monkeypatch.setattr(checkpoints, "_read", fail_once)
    assert int(load_newest(checkpoints, state(0))["step"]) == 2
    checkpoints.close()


@pytest.mark.parametrize(
    "name", ["x[1]", "[!a]", "a*b?", "back\\slash", "gs:", "{a,b}", "not utf-8 \udcff", "tab\t ü 字"]
)
def test_any_name_of_the_folder_will_do(tmp_path, monkeypatch, name):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    folder = tmp_path / name / "checkpoints"
    saved(folder, [1, 2, 3], keep_last=2)
    assert kept(folder) == [2, 3]
    checkpoints = Checkpoints(folder, keep_last=2)
    assert int(load_newest(checkpoints, state(0))["step"]) == 3
    checkpoints.close()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_folder_for_temporary_files_that_will_not_do_is_refused(tmp_path, monkeypatch):
    (tmp_path / "tmp[1]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp[1]"))
    checkpoints = Checkpoints(tmp_path / "x[1]" / "checkpoints")
    with pytest.raises(RunFolderError, match=r"x\[1\].*TMPDIR=.*tmp\[1\]; rename"):
        checkpoints.save(1, state(1))
    checkpoints.close()
