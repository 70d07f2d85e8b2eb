"""What a run says of the code that made it."""

import subprocess

import jax
import pytest

from cnn_jax.run import provenance
from cnn_jax.run.records import DataIdentity, Git


def collect():
    return provenance.collect("lines", "abc", jax.devices())


@pytest.fixture(autouse=True)
def new_process():
    """Forgets what this process knows of its code, as a new one would."""
    provenance._git.cache_clear()
    yield provenance._git.cache_clear
    provenance._git.cache_clear()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout in which the package seems to lie."""

    def git(*words):
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "code.py").write_text("a = 1\n")
    git("add", "code.py")
    git("commit", "-m", "first")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    return tmp_path


def test_the_commit_and_what_differs_from_it(checkout, new_process):
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert collect().git == Git(commit=commit, dirty=None)
    (checkout / "code.py").write_text("a = 2\n")
    assert collect().git.dirty is None, "what runs is what was loaded"
    new_process()
    second = collect().git.dirty
    (checkout / "code.py").write_text("a = 3\n")
    new_process()
    third = collect().git.dirty
    assert len({None, second, third}) == 3


def test_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    collected = collect()
    assert collected.git is None
    assert collected.data == DataIdentity(name="lines", checksum="abc")
    assert collected.devices.count >= 1
