"""Trials on this machine's cores: as many as each began with, however many trials are left."""

import json
import subprocess
import sys

import pytest

from cnn_jax.config.parsing import parse
from cnn_jax.sweep.engines.local import Limits, LocalEngine
from cnn_jax.sweep.engines.worker_process import Workers
from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.status import DONE, STOPPED, Status
from cnn_jax.sweep.trial import Trial

# A worker that says of every trial that it is done.
ANSWERS = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"ends": [{"exit_code": 0, "message": ""}] * len(json.loads(line)["folders"])}), flush=True)
"""


class RecordingWorkers(Workers):
    """Starts such workers, and records for which cores."""

    def __init__(self):
        super().__init__()
        self.cores = []

    def start(self, cores, variables):
        self.cores.append(len(cores))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return subprocess.Popen([sys.executable, "-c", ANSWERS], start_new_session=True, **pipes)


def entries(count):
    """So many trials, which differ in their seed."""
    return [Entry(f"trial{n}", Trial(n, {}, {}, parse({"seed": n})), Examined("")) for n in range(count)]


def begin(folder, entry, cores, checkpoint):
    """Leaves what a trial leaves that was stopped on so many cores."""
    folder.prepare(entry)
    folder.write_status(entry.id, Status(STOPPED, attempts=1, cores=cores))
    if checkpoint:
        (folder.trial(entry.id).checkpoints / "16").mkdir(parents=True)


@pytest.mark.parametrize(
    ("begun", "jobs", "cores", "expected"),
    [
        ({}, 1, 4, [4]),  # a new trial takes its whole share
        ({0: (1, True)}, 1, 4, [1]),  # one that goes on keeps its cores
        ({0: (2, True)}, 1, 4, [2]),
        ({0: (1, False)}, 1, 4, [4]),  # without a checkpoint it begins anew
        ({0: (3, True)}, 1, 2, [2]),  # here are not so many
        ({0: (3, True), 1: (2, True)}, 2, 5, [3, 2]),  # shares of 2 and 3 cores: each to its own
        ({0: (None, True)}, 1, 3, [3]),  # an older version did not say
    ],
)
def test_a_trial_keeps_the_cores_that_it_began_with(tmp_path, begun, jobs, cores, expected):
    folder, workers, trials = SweepFolder(tmp_path), RecordingWorkers(), entries(max(1, len(begun)))
    for number, (held, checkpoint) in begun.items():
        begin(folder, trials[number], held, checkpoint)
    statuses = {}
    engine = LocalEngine(folder, None, jobs, Limits(), cores=range(cores), workers=workers)
    engine.run([(entry,) for entry in trials], lambda entry, status: statuses.update({entry.id: status}), lambda: False)
    assert [statuses[entry.id].status for entry in trials] == [DONE] * len(trials)
    assert [statuses[entry.id].cores for entry in trials] == expected
    assert sorted(workers.cores) == sorted(expected), json.dumps(workers.cores)
