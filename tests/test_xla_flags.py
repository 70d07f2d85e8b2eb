"""Flags that must be there before JAX starts: what is added, what the user's own mean, where they arrive."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnn_jax import xla_flags
from cnn_jax.config.parsing import ConfigError, parse
from cnn_jax.sweep.engines import confinement, worker_process
from cnn_jax.sweep.engines.worker_slot import WorkerSlot

ROOT = Path(__file__).parents[1]
PLAIN, DETERMINISTIC = parse({}), parse({"train": {"deterministic": True}})
FLAG = "--xla_gpu_deterministic_ops"


@pytest.mark.parametrize(
    ("given", "added"),
    [
        (None, {"XLA_FLAGS": f"{FLAG}=true"}),
        ("", {"XLA_FLAGS": f"{FLAG}=true"}),
        ("--xla_dump_to=there --xla_x=1 ", {"XLA_FLAGS": f"--xla_dump_to=there --xla_x=1 {FLAG}=true"}),
        (f"{FLAG}=true", {}),
        (f"{FLAG} --xla_x=1", {}),
        (f"{FLAG}=false {FLAG}=1", {}),
        (f"{FLAG}_other=false", {"XLA_FLAGS": f"{FLAG}_other=false {FLAG}=true"}),
    ],
)
def test_what_is_missing_is_added(monkeypatch, given, added):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    if given is not None:
        monkeypatch.setenv("XLA_FLAGS", given)
    assert xla_flags.environment(DETERMINISTIC) == added
    assert xla_flags.environment(PLAIN) == {}
    assert (xla_flags.fault(DETERMINISTIC, "gpu") is None) == (not added)
    assert xla_flags.fault(DETERMINISTIC, "cpu") is None
    assert xla_flags.fault(PLAIN, "gpu") is None


@pytest.mark.parametrize("value", ["false", "0", "False"])
def test_what_contradicts_is_refused(monkeypatch, value):
    monkeypatch.setenv("XLA_FLAGS", f"--xla_x=1 {FLAG}={value}")
    with pytest.raises(ConfigError, match=rf"XLA_FLAGS has {FLAG}={value.lower()}; take the flag out"):
        xla_flags.environment(DETERMINISTIC)
    assert xla_flags.environment(PLAIN) == {}


def test_flags_in_a_file(monkeypatch, tmp_path):
    file = tmp_path / "flags"
    monkeypatch.setenv("XLA_FLAGS", str(file))
    with pytest.raises(ConfigError, match="XLA_FLAGS: cannot read the file"):
        xla_flags.environment(DETERMINISTIC)
    file.write_text("--xla_x=1\n")
    with pytest.raises(ConfigError, match="write it into the file"):
        xla_flags.environment(DETERMINISTIC)
    file.write_text(f"--xla_x=1\n{FLAG}=true\n")
    assert xla_flags.environment(DETERMINISTIC) == {}


def test_launch_sets_them_before_jax_starts(tmp_path):
    file = tmp_path / "experiment.py"
    file.write_text("def get_config():\n    return {'train': {'deterministic': True}}\n")
    program = (
        "import os, sys\nfrom cnn_jax.cli import main, with_jax\n"
        f"_, request = main.parse(['train', '--config={file}'])\n"
        "with_jax.set_xla_flags(request.experiment)\n"
        "print(os.environ['XLA_FLAGS'], 'jax' in sys.modules)"
    )
    environment = {**os.environ, "XLA_FLAGS": "--xla_dump_hlo_as_text"}
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["--xla_dump_hlo_as_text", f"{FLAG}=true", "False"], done.stderr


def test_a_sweeps_worker_trains_only_trials_of_its_flags(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    started, popen = [], subprocess.Popen

    def stand_in(words, env, preexec_fn, **options):  # what confines it would fork, which JAX warns of in tests
        started.append(env.get("XLA_FLAGS"))
        return popen(["cat"], env=env, **options)

    monkeypatch.setattr(worker_process.subprocess, "Popen", stand_in)
    slot = WorkerSlot(worker_process.Workers(), confinement.available_cores(), {})

    async def check():
        for number, experiment in enumerate([PLAIN, PLAIN, DETERMINISTIC, DETERMINISTIC, PLAIN]):
            slot.begin({"trial": number}, slot.cores, xla_flags.environment(experiment))
            assert await slot.answer(60) == f'{{"trial": {number}}}\n'

    asyncio.run(check())
    slot.kill()
    assert started == [None, f"{FLAG}=true", None]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--nonsense", "Unknown flag in XLA_FLAGS: --nonsense"),
        (
            "--xla_force_host_platform_device_count=abc",
            "Couldn't interpret value abc for flag xla_force_host_",
        ),
        ("nonsense", 'Could not open file "nonsense"'),
    ],
)
def test_flags_that_xla_would_end_the_process_for_are_refused(monkeypatch, tmp_path, given, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XLA_FLAGS", given)
    with pytest.raises(ConfigError) as refused:
        xla_flags.check_known()
    (line,) = str(refused.value).splitlines()
    assert f"XLA_FLAGS={given}: {told}" in line
    assert "unset XLA_FLAGS" in line


@pytest.mark.parametrize("given", [None, "", " ", f"{FLAG}=true", "--xla_force_host_platform_device_count=2", "file"])
def test_flags_that_xla_can_read_pass(monkeypatch, tmp_path, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text(f"{FLAG}=true\n")
    (tmp_path / "jaxlib.py").write_text("raise ImportError")  # which is not the one that is looked for
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    if given is not None:
        monkeypatch.setenv("XLA_FLAGS", given)
    xla_flags.check_known()
