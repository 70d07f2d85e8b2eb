"""This project, through the function that launch.py calls; checkpoints and records are part of the time."""

import argparse
import io
import json
import tempfile
from pathlib import Path

import jax
from rich.console import Console

from cnn_jax import config_parse, flags
from cnn_jax.train.loop import train_and_evaluate

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", help="not used: the data set comes as in every run")
parser.add_argument("--batch_size", type=int, required=True)
parser.add_argument("--epochs", type=int, required=True)
options = parser.parse_args()

raw = flags.load_config_file(Path("experiments/fashion_mnist_lecture.py"))
overrides = {"train.epochs": options.epochs, "train.batch_size": options.batch_size}
experiment = config_parse.parse(config_parse.override(raw, overrides))
with tempfile.TemporaryDirectory() as folder:
    result = train_and_evaluate(experiment, Path(folder) / "run", console=Console(file=io.StringIO()))
seconds = result["seconds"]["total"] - result["seconds"]["compile"]
print(
    json.dumps(
        {
            "images_per_second": 60_000 * options.epochs / seconds,
            "accuracy": result["test_accuracy"],
            "versions": f"jax {jax.__version__}",
        }
    )
)
