"""`make data`: when Debian's package is installed, and what is said when nothing can be had."""

import dataclasses

import pytest

from cnn_jax.data import prepare
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources.mnist_sets import NAMED_SETS


@pytest.fixture
def commands(monkeypatch):
    """The commands that would be run; each succeeds but those named in `failing`."""

    class Commands(list):
        failing = ()

    issued = Commands()

    def succeeds(command):
        issued.append(command)
        return not any(word in command for word in issued.failing)

    monkeypatch.setattr(prepare, "_succeeds", succeeds)
    monkeypatch.setattr(prepare.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(prepare.os, "geteuid", lambda: 0)
    return issued


def missing(tmp_path):
    return dataclasses.replace(NAMED_SETS["fashion_mnist"], debian_folder=str(tmp_path / "none"))


def test_the_package_is_installed(tmp_path, commands):
    prepare.install_package(missing(tmp_path))
    assert [command[1:] for command in commands] == [
        ["install", "-y", "--no-install-recommends", "dataset-fashion-mnist"]
    ]


def test_an_old_package_list_is_renewed(tmp_path, commands):
    commands.failing = ("install",)
    prepare.install_package(missing(tmp_path))
    assert [command[1] for command in commands] == ["install", "update", "install"]


def test_without_the_right_nothing_is_tried(tmp_path, commands, monkeypatch):
    monkeypatch.setattr(prepare.os, "geteuid", lambda: 1000)
    commands.failing = ("true",)  # sudo would ask for a password
    prepare.install_package(missing(tmp_path))
    assert commands == [["sudo", "-n", "true"]]


@pytest.mark.parametrize("present", ["package", "no package"])
def test_nothing_to_install(tmp_path, commands, present):
    named = missing(tmp_path)
    if present == "package":
        named = dataclasses.replace(named, debian_folder=str(tmp_path))
    else:
        named = dataclasses.replace(named, debian_package=None)
    prepare.install_package(named)
    assert commands == []


def test_what_cannot_be_had_is_said_with_code_2(tmp_path, commands, monkeypatch, capsys):
    def refuse(*arguments):
        raise DataError("no network; install Debian's package")

    monkeypatch.setattr(prepare, "load_named", refuse)
    monkeypatch.setattr(prepare, "install_package", lambda named: None)
    assert prepare.main([f"--data_dir={tmp_path}"]) == 2
    assert "install Debian's package" in capsys.readouterr().err
