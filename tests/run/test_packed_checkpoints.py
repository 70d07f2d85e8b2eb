"""Checkpoints in one file: the same bytes come back, also after a kill, and damage is told."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
from support import killed_packing
from sweep.written_sweep import result_of, write_json

from cnn_jax.config.parsing import parse
from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.folder import RunFolder
from cnn_jax.run.packed_checkpoints import opened, pack, unpack

FILES = {"3/_METADATA": b"{}", "3/state/d/abc": b"\x00" * 5000, "5/_METADATA": b"{}", "5/state/manifest": b"five"}


@pytest.fixture
def folder(tmp_path):
    """A run's folder with checkpoints of the steps 3 and 5."""
    run = RunFolder(tmp_path / "run")
    for name, content in FILES.items():
        path = run.checkpoints / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (run.checkpoints / "3" / "state" / "empty").mkdir()
    return run


def content(folder):
    return {
        path.relative_to(folder.checkpoints).as_posix(): path.read_bytes()
        for path in folder.checkpoints.rglob("*")
        if path.is_file()
    }


def names(folder):
    return sorted(path.name for path in folder.path.iterdir())


def test_packed_checkpoints_come_back(folder):
    pack(folder)
    assert names(folder) == ["checkpoints.zip"]
    assert folder.has_checkpoints()
    with opened(folder, 5) as directory:
        assert (directory / "5" / "state" / "manifest").read_bytes() == b"five"
        assert not (directory / "3").exists(), "another step is not read"
    assert not directory.exists()
    assert names(folder) == ["checkpoints.zip"], "reading changes nothing"
    unpack(folder)
    assert content(folder) == FILES
    assert names(folder) == ["checkpoints"]
    with opened(folder, 5) as directory:
        assert directory == folder.checkpoints
    unpack(folder)  # nothing is packed
    assert content(folder) == FILES


@pytest.mark.parametrize(("keep_last", "kept"), [(1, {"3"}), (2, {"3"}), (3, {"3", "5"})])
def test_a_finished_run_keeps_what_its_result_needs(folder, keep_last, kept):
    folder.begin(parse({"checkpoint": {"keep_last": keep_last}}))
    write_json(folder.path / "result.json", result_of(0.9))  # at step 3
    pack(folder)
    unpack(folder)
    assert {path.name for path in folder.checkpoints.iterdir()} == kept


def test_a_folder_in_use_or_without_checkpoints_stays(folder):
    with (
        filelock.FileLock(folder.path / ".lock"),
        pytest.raises(RunFolderError, match="another process is training in"),
    ):
        pack(folder)
    assert content(folder) == FILES
    shutil.rmtree(folder.checkpoints)
    pack(folder)
    assert names(folder) == []
    assert not folder.has_checkpoints()


@pytest.mark.parametrize("place", [0, 40, 3000, -22])
def test_a_damaged_file_is_told_and_set_aside(folder, place, caplog):
    pack(folder)
    path = folder.path / "checkpoints.zip"
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 0xFF
    path.write_bytes(damaged[: len(damaged) if place else 100])
    with (
        pytest.raises(RunFolderError, match=r"checkpoints\.zip is damaged: .*trains anew"),
        opened(folder, 3),
    ):
        pass
    assert path.read_bytes() == damaged[: len(damaged) if place else 100]
    unpack(folder)
    assert names(folder) == ["damaged_checkpoints"]
    assert "set aside as" in caplog.text


def test_a_file_that_cannot_be_read_is_not_damaged(folder):
    pack(folder)
    (folder.path / "checkpoints.zip").unlink()
    (folder.path / "checkpoints.zip").mkdir()
    with pytest.raises(RunFolderError, match=r"checkpoint 3 cannot be read: .*Is a directory"), opened(folder, 3):
        pass
    with pytest.raises(IsADirectoryError):
        unpack(folder)


def test_kills_lose_nothing(folder):
    """Before each of the changes that packing and unpacking make."""
    done = subprocess.run(
        [sys.executable, killed_packing.__file__, str(folder.path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parents[1]}"},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    whole = killed_packing.content(folder)
    assert len(whole) == len(FILES)
    for action, killed, again, between, after, left in told:
        assert (killed, again) in ((-9, 0), (0, 0)), action
        assert between == whole
        assert after == whole
        assert [name for name in left if not name.startswith(".checkpoints.zip.")] == [
            {"pack": "checkpoints.zip", "unpack": "checkpoints"}[action]
        ]
    kills = [action for action, killed, *_ in told if killed]
    assert kills.count("pack") >= 10
    assert kills.count("unpack") >= 10
