"""Workers that are started before their trial is known: taken for the same place, ended where nobody asks for them."""

import json
import subprocess
import sys

from cnn_jax.sweep.engines import confinement

# In a process of its own: what confines a worker forks, which JAX, loaded by other tests, warns of.
PLACES = """
import json, os
from cnn_jax.sweep.engines.worker_process import Workers, end

workers, cores = Workers(), sorted(os.sched_getaffinity(0))[:1]
workers.start_ahead(cores, {"A": "1"})
ahead = workers._ahead[1]
taken = workers.start(cores, {"A": "1"})
later = workers.start(cores, {"A": "1"})
workers.start_ahead(cores, {"A": "1"})
unwanted = workers._ahead[1]
other = workers.start(cores, {"A": "2"})
told = {
    "taken": taken is ahead,
    "once": len({ahead.pid, other.pid, later.pid}) == 3,
    "place": [sorted(os.sched_getaffinity(ahead.pid)) == cores, os.getpgid(ahead.pid) == ahead.pid],
    "unwanted": unwanted.poll(),
    "ends": [end(ahead), end(other), end(later, patience=60)],
}
workers.start_ahead(cores, {})
left = workers._ahead[1]
workers.close()
workers.close()
print(json.dumps(told | {"left": left.poll()}))
"""


def test_the_worker_of_the_same_place_is_taken_once():
    done = subprocess.run(
        [sys.executable, "-c", PLACES],
        capture_output=True,
        text=True,
        env=confinement.environment({}),
        check=True,
    )
    assert json.loads(done.stdout) == {
        "taken": True,
        "once": True,
        "place": [True, True],
        "unwanted": -9,
        "ends": [-9, -9, 0],  # killed, or left by itself
        "left": -9,
    }
    assert done.stderr == ""
