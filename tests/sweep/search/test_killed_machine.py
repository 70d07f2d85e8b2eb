"""Drivers and workers of a search, killed together ten times."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from cnn_jax.sweep.engines import confinement
from sweep.search import killed_machine
from sweep.search.stand_in import write
from sweep.search.test_search_driver import HALVED, searched, state

TESTS = Path(__file__).parents[2]


def test_ten_kills_of_driver_and_workers_change_nothing(tmp_path):
    file = write(tmp_path, HALVED)
    searched(file, tmp_path / "whole")
    planted = tmp_path / "killed"  # a word at which stand-in workers kill themselves too
    planted.mkdir()
    environment = confinement.environment({})
    environment["PYTHONPATH"] += f":{TESTS}"
    words = [sys.executable, killed_machine.__file__, str(file), str(tmp_path / "search"), str(planted)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [-signal.SIGKILL] * 10 + [0], done.stderr
    assert list(planted.iterdir()), "workers have been killed too"
    assert state(tmp_path / "search") == state(tmp_path / "whole")
