"""Workers that are started before their trial is known: taken for the same place, ended where nobody asks for them."""

import json
import os
import subprocess
import sys

from moments import Moment

from cnn_jax.sweep import worker
from cnn_jax.sweep.engines import confinement

# In a process of its own: what confines a worker forks, which JAX, loaded by other tests, warns of.
PLACES = """
import json, os, signal
from cnn_jax.sweep.engines.worker_process import Workers, end

def held(process):
    # It cannot leave by itself before it is killed.
    os.kill(process.pid, signal.SIGSTOP)
    return process

workers, cores = Workers(), sorted(os.sched_getaffinity(0))[:1]
workers.start_ahead([(cores, {"A": "1"}), (cores, {"A": "3"})])
ahead, third = (each[1] for each in workers._ahead)
taken = workers.start(cores, {"A": "1"})
third_taken = workers.start(cores, {"A": "3"})
later = workers.start(cores, {"A": "1"})
workers.start_ahead([(cores, {"A": "1"})])
unwanted = held(workers._ahead[0][1])
other = workers.start(cores, {"A": "2"})
told = {
    "taken": [taken is ahead, third_taken is third],
    "once": len({ahead.pid, other.pid, later.pid}) == 3,
    "place": [sorted(os.sched_getaffinity(ahead.pid)) == cores, os.getpgid(ahead.pid) == ahead.pid],
    "unwanted": unwanted.poll(),
    "ends": [end(held(ahead)), end(held(third)), end(held(other)), end(later, patience=600)],
}
workers.start_ahead([(cores, {})])
left = held(workers._ahead[0][1])
workers.close()
workers.close()
print(json.dumps(told | {"left": left.poll()}))
"""


ASKED = """
import json, os, sys
from cnn_jax.config.parsing import parse
from cnn_jax.sweep import feasibility
from cnn_jax.sweep.engines.worker_process import Workers

workers, cores = Workers(), sorted(os.sched_getaffinity(0))
told = []
for data in json.loads(sys.argv[1]):
    workers.start_ahead([(cores, {})])
    examiner = workers._ahead[0][1]
    try:
        findings = feasibility.ask([parse({"data": data, "model": {"name": "lenet5"}})], None, workers)
        told.append([findings.trials[0].fault is None, workers.start(cores, {}) is examiner])
    except feasibility.ExaminationError as error:
        told.append(str(error))
    workers.close()
print(json.dumps(told))
"""


KILLED = """
import json, os
from cnn_jax.sweep.engines.worker_process import WorkerEnded, Workers

workers, cores = Workers(), sorted(os.sched_getaffinity(0))
workers.start_ahead([(cores, {})])
try:
    workers.ask({"experiments": [], "data_dir": None})
except WorkerEnded as error:
    print(json.dumps(str(error)))
workers.close()
"""


def test_a_killed_examiner_is_replaced_twice(tmp_path):
    # Every one of them, at some event of its start.
    kills = Moment(tmp_path, "cnn_jax.sweep.worker", action="SIGKILL", which=None, events=500)
    words = [sys.executable, "-c", KILLED]
    done = subprocess.run(words, capture_output=True, text=True, env=kills.environment, check=True)
    assert json.loads(done.stdout) == "exit code -9\n"
    assert len(set(kills.processes)) == 3


def test_the_worker_that_examined_the_trials_is_taken(line_data):
    (told,) = asked([line_data])
    assert told == [True, True]


def test_an_examination_that_fails_says_why(line_data, tmp_path):
    # A module of that name comes before JAX's own.
    (tmp_path / "jax.py").write_text("raise RuntimeError('planted in place of JAX')")
    (told,) = asked([line_data], PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    assert told.startswith("examining the trials failed: exit code 1\n")
    assert told.rstrip().endswith("RuntimeError: planted in place of JAX")


def asked(data, **variables):
    done = subprocess.run(
        [sys.executable, "-c", ASKED, json.dumps(data)],
        capture_output=True,
        text=True,
        env=confinement.environment(variables),
        check=True,
    )
    return json.loads(done.stdout)


def test_the_worker_of_the_same_place_is_taken_once():
    done = subprocess.run(
        [sys.executable, "-c", PLACES],
        capture_output=True,
        text=True,
        env=confinement.environment({}),
        check=True,
    )
    assert json.loads(done.stdout) == {
        "taken": [True, True],
        "once": True,
        "place": [True, True],
        "unwanted": -9,
        "ends": [-9, -9, -9, 0],  # killed, or left by itself
        "left": -9,
    }
    assert done.stderr == ""


def test_a_log_that_cannot_be_written_fails_its_trial_alone(tmp_path):
    (tmp_path / "log.txt").mkdir()
    ((code, message),) = worker._train_logged([tmp_path], None, None)
    assert code == 1
    assert message == f"{tmp_path}/log.txt: Is a directory; there is a folder where a file should be: move it away"
