"""Only a command's own, unchanged files are replaced."""

import json

import pytest

from cnn_jax import whole_file
from cnn_jax.config.parsing import ConfigError
from cnn_jax.report.own_files import MANIFEST, OwnFiles


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_own_files_are_replaced_and_removed(tmp_path):
    folder = tmp_path / "new" / "page"
    OwnFiles(folder, "--target").write({"a.png": b"1", "b.png": b"2"})
    OwnFiles(folder, "--target").write({"a.png": b"3", "c.png": b"4"})
    assert names(folder) == ["a.png", "c.png", MANIFEST]
    assert (folder / "a.png").read_bytes() == b"3"


def test_files_of_others_stay(tmp_path):
    OwnFiles(tmp_path, "--target").write({"a.png": b"1"})
    (tmp_path / "mine.png").write_bytes(b"mine")
    OwnFiles(tmp_path, "--target").write({"a.png": b"2"})
    own = OwnFiles(tmp_path, "--target")
    with pytest.raises(FileExistsError, match="this command did not write it"):
        own.write({"a.png": b"3", "mine.png": b"3"})
    assert {name: (tmp_path / name).read_bytes() for name in ("a.png", "mine.png")} == {
        "a.png": b"2",
        "mine.png": b"mine",
    }


def test_refusals(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"--target: .* is a file, expected a folder"):
        OwnFiles(tmp_path / "file", "--target")
    with pytest.raises(
        ConfigError,
        match=r"--target: .* has files that this command did not write \(file, ...\); name a new or an empty",
    ):
        OwnFiles(tmp_path, "--target")
    with pytest.raises(ConfigError, match=r"cannot write to .*file/below: Not a directory"):
        OwnFiles(tmp_path / "file" / "below", "--target")
    folder = tmp_path / "page"
    OwnFiles(folder, "--target").write({"a.png": b"1"})
    (folder / "a.png").write_bytes(b"changed")
    with pytest.raises(ConfigError, match=r"a\.png was changed since this command wrote it"):
        OwnFiles(folder, "--target")
    for text in ("{", "[]", '{"a.png": 3}'):
        (folder / MANIFEST).write_text(text)
        with pytest.raises(ConfigError, match=f"{MANIFEST} is damaged"):
            OwnFiles(folder, "--target")
    assert (folder / "a.png").read_bytes() == b"changed"


def test_an_interrupted_write_goes_on(tmp_path, monkeypatch):
    OwnFiles(tmp_path, "--target").write({"a.png": b"1", "b.png": b"1"})
    own, write = OwnFiles(tmp_path, "--target"), whole_file.write

    def stops(path, content):
        if path.name == "b.png":
            raise OSError(28, "No space left on device", str(path))
        write(path, content)

    monkeypatch.setattr(whole_file, "write", stops)
    with pytest.raises(OSError, match="No space left"):
        own.write({"a.png": b"2", "b.png": b"2"})
    monkeypatch.undo()
    assert [(tmp_path / name).read_bytes() for name in ("a.png", "b.png")] == [b"2", b"1"]
    OwnFiles(tmp_path, "--target").write({"a.png": b"3"})
    assert names(tmp_path) == ["a.png", MANIFEST]


def test_a_list_cannot_name_files_elsewhere(tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    folder = tmp_path / "page"
    OwnFiles(folder, "--target").write({"a.png": b"1"})
    known = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**known, "../outside.txt": ["0"]}))
    OwnFiles(folder, "--target").write({"a.png": b"2"})
    assert outside.read_text() == "mine"
