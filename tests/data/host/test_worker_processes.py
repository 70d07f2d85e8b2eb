"""Worker processes of a stream: nothing of them is left, however and whenever they end."""

import contextlib
import errno
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from moments import is_running, wait_until

from cnn_jax import config as cfg
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources.pictures import open_streams

ROOT = Path(__file__).parents[3]
needs_proc = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="/proc tells what a process has in memory")

# Takes batches by a device feed, holds them to the end, and says where its workers are. Then it does what the test
# asks for: closes and ends, or waits to be killed.
PROGRAM = """
import json, multiprocessing, sys
import jax
from cnn_jax import config as cfg
from cnn_jax.data.device.device_feed import DeviceFeed
from cnn_jax.data.sources.pictures import open_streams

def main(folder, workers, count, then):
    global held
    config = cfg.Records(folder=folder, image_size=32, workers=int(workers), threads=2)
    train = open_streams(config, seed=0).train.in_batches(8)
    feed = DeviceFeed(train, 0, jax.sharding.SingleDeviceSharding(jax.devices()[0]))
    held = [next(feed) for _ in range(int(count))]
    print(json.dumps([each.pid for each in multiprocessing.active_children()]), flush=True)
    if then == "wait":
        sys.stdin.read()
    if then == "close":
        feed.close()

if __name__ == "__main__":
    main(*sys.argv[1:])
"""

# As on a machine where another process always comes first: removing the name of shared memory takes its time.
SLOW_REMOVAL = """
import time
from multiprocessing import shared_memory

unlink = shared_memory.SharedMemory.unlink

def slowly(memory):
    time.sleep(0.2)
    unlink(memory)

shared_memory.SharedMemory.unlink = slowly
"""


@pytest.fixture
def program(records_folder, tmp_path):
    """The words that run `PROGRAM`."""
    file = tmp_path / "program.py"  # a file, which the workers import as their main module
    file.write_text(PROGRAM)

    def words(workers, count, then):
        return [sys.executable, str(file), str(records_folder), str(workers), str(count), then]

    return words


def environment(*folders):
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*folders, ROOT)))}


@pytest.fixture
def stream(records_folder):
    """54 training images in batches of 8."""

    def opened(**fields):
        config = cfg.Records(**{"folder": str(records_folder), "image_size": 24, "workers": 2} | fields)
        return open_streams(config, seed=5).train.in_batches(8)

    return opened


@pytest.mark.parametrize("then", ["close", "end"])
@pytest.mark.parametrize(("workers", "count"), [(2, 1), (2, 5), pytest.param(4, 1, marks=pytest.mark.exhaustive)])
def test_batches_that_are_held_to_the_end_leave_nothing(program, tmp_path, workers, count, then):
    (tmp_path / "sitecustomize.py").write_text(SLOW_REMOVAL)
    words = program(workers, count, then)
    done = subprocess.run(words, capture_output=True, text=True, env=environment(tmp_path), timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    pids = json.loads(done.stdout)
    assert len(pids) == workers
    assert not any(is_running(pid) for pid in pids)


def shared(pid):
    """The files in memory that a process shares with others."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    files = [line.split(maxsplit=5)[5] for line in lines if line.split()[1].endswith("s") and len(line.split()) > 5]
    return [file for file in files if file.startswith(("/dev/shm", "/memfd:", "/tmp"))]


@needs_proc
def test_a_killed_program_leaves_neither_workers_nor_memory(program):
    words = program(2, 3, "wait")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), text=True) as run:
        pids = json.loads(run.stdout.readline())
        assert len(pids) == 2
        files = [shared(pid) for pid in (run.pid, *pids)]
        run.kill()
    assert all(files), "the batches are in shared memory"
    assert all(file.endswith("(deleted)") for process in files for file in process), "which has no name"
    wait_until(lambda: not any(is_running(pid) for pid in pids), "the end of the workers")


def test_closing_ends_workers_that_only_just_start(stream):
    batches = iter(stream(workers=2).at(0))
    next(batches)
    started = multiprocessing.active_children()
    assert len(started) == 2
    batches.close()
    assert not set(multiprocessing.active_children()) & set(started)
    batches.close()
    with pytest.raises(ValueError, match="closed"):
        next(batches)


def test_a_killed_worker_is_told(stream):
    batches = iter(stream().at(0))
    next(batches)
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(DataError, match="a worker process that reads records ended with exit code -9"):
        list(itertools.islice(batches, 9))
    batches.close()


def test_memory_that_the_system_does_not_have_is_told(stream, monkeypatch):
    def refuse(descriptor, start, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with (
        pytest.raises(OSError, match=r"no memory for [\d,]+ bytes of batches"),
        contextlib.closing(iter(stream().at(0))) as batches,
    ):
        next(batches)
    assert multiprocessing.active_children() == []
