"""A sweep's driver killed at each of its file operations goes on where it was."""

import json
import subprocess
import sys
from pathlib import Path

from cnn_jax.sweep.engines import confinement
from sweep import killed_driver

TESTS = Path(__file__).parents[1]


def test_every_file_operation(write_experiment, tmp_path):
    environment = confinement.environment({})
    environment["PYTHONPATH"] += f":{TESTS}"
    words = [sys.executable, killed_driver.__file__, str(write_experiment("repeat_seeds(2)")), str(tmp_path / "kills")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    answers = json.loads(done.stdout)
    assert len(answers) > 25  # files of two trials, links and sweep.json
    for answer in answers:
        assert answer["code"] == -9
        assert not {"running", "failed"} & set(answer["killed"]), answer
        assert answer["again"] == 0, answer
        assert answer["done"] == ["done", "done"], answer
        assert answer["links"] == 2
    assert any(answer["killed"] == ["stopped", "waiting"] for answer in answers)
    assert any(answer["killed"] == ["done", "stopped"] for answer in answers)
