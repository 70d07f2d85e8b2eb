"""A run's record of the code that made it."""

import os
import subprocess

import jax
import pytest

from cnn_jax.run import machine, provenance
from cnn_jax.run.records import DataIdentity, Devices, Git, Provenance


def collect():
    return provenance.collect(DataIdentity(name="lines", checksum="abc"), jax.devices(), {"jax_enable_x64": "False"})


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


CPU = Devices(platform="cpu", kind="cpu", count=1, processor="Example 9000", cores=8, used_cores=2)
HERE = Provenance(
    cnn_jax="0.1.0",
    git=Git(commit="a" * 40, dirty=None),
    packages={"jax": "0.10.2", "numpy": "2.4.6"},
    python="3.11.7",
    devices=CPU,
    xla_flags="",
    settings={"jax_use_shardy_partitioner": "True", "JAX_LOG_COMPILES": "1"},
)


def on(**device):
    return {"devices": CPU.model_copy(update=device)}


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, []),
        ({"command": "python other.py", "platform": "Linux-6", "files": {"config.json": "0"}}, []),
        ({"packages": {"jax": "0.11.0", "numpy": "2.4.6"}}, ["packages.jax: 0.10.2 -> 0.11.0"]),
        ({"packages": {"jax": "0.10.2", "numpy": "2.4.6", "pillow": "12.0"}}, []),  # not told before
        (
            {"git": Git(commit="b" * 40, dirty="c")},
            [f"code: commit {'a' * 10} -> commit {'b' * 10} with uncommitted changes c"],
        ),
        ({"python": "3.12.1"}, ["python: 3.11.7 -> 3.12.1"]),
        (on(used_cores=1), ["cores: 2 -> 1"]),
        (on(cores=64), []),  # of the host, whichever are used
        (on(processor="Example 7000"), ["processor: Example 9000 -> Example 7000"]),
        (on(count=4), ["devices: 1 x cpu (cpu) -> 4 x cpu (cpu)"]),
        (on(platform="gpu", kind="H100"), ["devices: 1 x cpu (cpu) -> 1 x H100 (gpu)"]),
        ({"xla_flags": "--xla_x=1"}, ["xla_flags: none -> --xla_x=1"]),
        ({"settings": {"jax_use_shardy_partitioner": "False"}}, ["settings.jax_use_shardy_partitioner: True -> False"]),
        (
            {"settings": {**HERE.settings, "NVIDIA_TF32_OVERRIDE": "0", "JAX_PLATFORMS": "cpu"}},
            ["settings.NVIDIA_TF32_OVERRIDE: not set -> 0"],
        ),
        ({"trained_together": 3}, ["trained_together: 1 -> 3"]),
        # An older version did not tell these.
        ({"settings": None, "python": None, "xla_flags": None, **on(used_cores=None)}, []),
    ],
)
def test_differences(changes, lines):
    assert provenance.differences(HERE, HERE.model_copy(update=changes)) == lines
    assert len(provenance.differences(HERE.model_copy(update=changes), HERE)) == len(lines)


@pytest.mark.parametrize(("given", "expected"), [("5", 5), ("0", 1), ("-3", 1), ("many", None), ("", None)])
def test_the_cores_that_xla_uses(monkeypatch, given, expected):
    """As XLA reads NPROC: by the number of its threads, `tf_XLAEigen`, in a process of its own."""
    monkeypatch.setenv("NPROC", given)
    assert machine.cores_of_xla() == (expected or len(os.sched_getaffinity(0)))
    assert collect().devices.used_cores == machine.cores_of_xla()


def test_flags_in_a_file_are_recorded_by_their_content(monkeypatch, tmp_path):
    (tmp_path / "flags").write_text("--xla_x=1\n")
    monkeypatch.setenv("XLA_FLAGS", str(tmp_path / "flags"))
    assert collect().xla_flags == "--xla_x=1"
