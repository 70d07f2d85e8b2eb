"""Cores dealt and claimed."""

import os
import subprocess
import sys
import tempfile

import pytest

from cnn_jax.sweep.engines import confinement


@pytest.mark.parametrize(
    ("cores", "jobs", "dealt"),
    [
        (range(8), 2, [(0, 1, 2, 3), (4, 5, 6, 7)]),
        (range(8), 3, [(0, 1), (2, 3, 4), (5, 6, 7)]),
        ([3, 5], 1, [(3, 5)]),
        ([3, 5], 2, [(3,), (5,)]),
        ([3, 5], 3, [(3,), (5,), (3,)]),
    ],
)
def test_cores_are_dealt_evenly(cores, jobs, dealt):
    assert confinement.shares(list(cores), jobs) == dealt


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
def test_a_process_keeps_to_its_cores():
    core = confinement.available_cores()[-1]
    # From a process without threads, as a sweep's is: this one has JAX's.
    code = (
        "import subprocess, sys; from cnn_jax.sweep.engines.confinement import confined; "
        "code = 'import os; print(sorted(os.sched_getaffinity(0)))'; "
        f"subprocess.run([sys.executable, '-c', code], preexec_fn=confined([{core}]), check=True)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env=confinement.environment({}), check=True)
    assert done.stdout.strip() == f"[{core}]"


def test_claimed_cores_are_nobody_elses(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where no other process of this machine claims cores
    every = confinement.available_cores()
    with confinement.claimed(1) as first, confinement.claimed(len(every)) as others:
        assert len(first) == 1
        assert sorted(others) == every, "where none is free, claimed ones fill up"
        assert len(every) == 1 or others[0] != first[0]
    with confinement.claimed(1) as again:
        assert again == first


def test_the_environment_lets_a_process_import_the_package(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import cnn_jax.sweep, os; print(os.environ['X'])"],
        cwd=tmp_path,
        env=confinement.environment({"X": "7"}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "7\n"


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is told by /proc")
def test_memory_is_told():
    assert 2**23 < confinement.resident_bytes(os.getpid()) < confinement.total_bytes()
    assert confinement.resident_bytes(2**30) == 0
