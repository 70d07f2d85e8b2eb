"""The loaders' benchmark counts this project's own stream."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_our_loader_takes_its_turn(jpegs, records_folder):
    command = [sys.executable, str(ROOT / "benchmarks" / "contestants" / "loader_cnn_jax.py")]
    command += [f"--pictures={jpegs / 'train'}", f"--records={records_folder.parent}", f"--kind={records_folder.name}"]
    command += ["--cores=1", "--batch_size=32", "--batches=20"]  # some ticks of the clock
    environment = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["images_per_second_and_core"] > 0
    assert figures["images_per_processor_second"] > 0
