"""Files of folders: hidden ones, links, loops."""

import os

import pytest

from cnn_jax.data import DataError
from cnn_jax.data.sources.listing import is_hidden, list_files


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")


def listed(folder):
    found = list_files(folder, "f")
    return [str(path.relative_to(folder)) for path in found.files], found


@pytest.mark.parametrize(
    "hidden", [".ipynb_checkpoints/a.png", "@eaDir/a.png", "._a.png", ".DS_Store", "__MACOSX/b/a.png", "sub/.x/a.png"]
)
def test_hidden_files_and_folders_are_left_out_and_counted(tmp_path, hidden):
    touch(tmp_path / "a.png")
    touch(tmp_path / "sub" / "b.png")
    touch(tmp_path / hidden)
    names, found = listed(tmp_path)
    assert names == ["a.png", "sub/b.png"]
    [top] = [part for part in (tmp_path / hidden).relative_to(tmp_path).parts if is_hidden(part)]
    assert [path.name for path in found.hidden] == [top]
    assert found.left_out == (f"1 hidden file or folder ({found.hidden[0]})",)


def test_a_folder_that_is_named_may_be_hidden(tmp_path):
    touch(tmp_path / ".pictures" / "a.png")
    assert listed(tmp_path / ".pictures")[0] == ["a.png"]


def test_links_are_followed_once(tmp_path):
    folder, other = tmp_path / "folder", tmp_path / "other"
    touch(folder / "z" / "b.png")
    touch(other / "deep" / "c.png")
    (folder / "a_first").symlink_to(folder / "z")
    (folder / "link").symlink_to(other)
    (folder / "link2").symlink_to(other)
    (folder / "link3").symlink_to(other / "deep")
    (folder / "file.png").symlink_to(other / "deep" / "c.png")
    names, found = listed(folder)
    assert names == ["file.png", "link/deep/c.png", "z/b.png"]
    assert [path.name for path in found.read_already] == ["a_first", "link2", "link3"]
    assert found.left_out == (f"3 links to folders that are read already ({folder}/a_first first)",)


def test_loops_end(tmp_path):
    touch(tmp_path / "root" / "cat" / "a.png")
    touch(tmp_path / "root" / "dog" / "b.png")
    for name, target in (("self", "."), ("up", ".."), ("top", "../.."), ("round", "round"), ("gone", "nowhere")):
        (tmp_path / "root" / "cat" / name).symlink_to(target)
    (tmp_path / "root" / "cat" / "deep").mkdir()
    (tmp_path / "root" / "cat" / "deep" / "back").symlink_to(tmp_path / "root" / "cat")
    names, found = listed(tmp_path / "root" / "cat")
    assert names == ["a.png"]
    assert [path.name for path in found.read_already] == ["back", "self", "top", "up"]
    assert [path.name for path in found.broken] == ["gone", "round"]


def test_two_links_into_one_tree(tmp_path):
    touch(tmp_path / "all" / "inner" / "a.png")
    touch(tmp_path / "all" / "b.png")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "1").symlink_to(tmp_path / "all" / "inner")
    (tmp_path / "folder" / "2").symlink_to(tmp_path / "all")
    names, found = listed(tmp_path / "folder")
    assert names == ["1/a.png", "2/b.png"]
    assert [str(path.relative_to(tmp_path)) for path in found.read_already] == ["folder/2/inner"]


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=f"f: {tmp_path} cannot be read: Permission denied"):
        list_files(tmp_path, "f")


def test_pipes_are_no_files(tmp_path):
    touch(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "d.png").symlink_to("/dev/null")
    names, found = listed(tmp_path)
    assert names == ["a.png"]
    assert found.left_out == (f"3 broken links or special files ({tmp_path}/b.png first)",)
