"""Files that are written whole or not at all."""

import errno
import os

import pytest

from cnn_jax import whole_file


class Full:
    """A file on a disk that has room for some bytes more."""

    def __init__(self, file, room):
        self._file, self._room, self.name = file, room, file.name

    def fileno(self):
        return self._file.fileno()

    def write(self, content):
        if not self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._file.write(content[: self._room])
        self._room -= written
        return written


@pytest.mark.parametrize("room", [0, 1, 4])
def test_what_cannot_be_appended_whole_is_taken_back(tmp_path, room):
    path = tmp_path / "log"
    path.write_bytes(b"first\n")
    with path.open("ab", buffering=0) as file:
        with pytest.raises(OSError, match="No space left") as raised:
            whole_file.append(Full(file, room), b"second\n")
        assert raised.value.filename == str(path)
        assert path.read_bytes() == b"first\n"
        whole_file.append(file, b"third\n")
    assert path.read_bytes() == b"first\nthird\n"


@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
def test_a_file_that_cannot_be_written_leaves_the_older_one(tmp_path, monkeypatch, fails):
    path = tmp_path / "a.json"
    whole_file.write(path, b"old")

    def fail(*arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        if fails == "write":
            patched.setattr("builtins.open", fail)
            patched.setattr(type(path), "open", fail)
        elif fails == "fsync":
            patched.setattr(os, "fsync", fail)
        else:
            patched.setattr(type(path), "replace", fail)
        with pytest.raises(OSError, match="Input/output") as raised:
            whole_file.write(path, b"new")
    assert raised.value.filename == str(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
    assert path.read_bytes() == b"old"


def test_a_folder_in_its_place_is_named(tmp_path):
    (tmp_path / "a.json" / "x").mkdir(parents=True)
    with pytest.raises(OSError, match="directory") as raised:
        whole_file.write(tmp_path / "a.json", b"new")
    assert raised.value.filename == str(tmp_path / "a.json")


def test_a_folder_is_readable_where_all_its_files_are(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"x" * 3_000_000)
    whole_file.check_readable(tmp_path)
    (tmp_path / "a" / "c").symlink_to("c")  # a link to itself cannot be opened
    with pytest.raises(OSError, match="symbolic links"):
        whole_file.check_readable(tmp_path)
