"""An experiment file whose sweep has 24 trials that take a moment each."""

HEAD = """
from cnn_jax.sweep import Sweep, product, repeat_seeds


def get_config():
    return {{
        "data": {data!r},
        "model": {{"features": (4,), "pooling": "max", "dense": (), "lowering": "xla"}},
        "train": {{"epochs": 2, "batch_size": 50, "eval_batch_size": 150, "steps_per_dispatch": 5}},
        "log": {{"tensorboard": False}},
    }}


def get_sweep():
    return {sweep}
"""

RATES = 'product({"optimizer.learning_rate": [1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1]}, repeat_seeds(4))'
