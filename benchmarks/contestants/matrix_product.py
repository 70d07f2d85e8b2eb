"""Not a contestant but their ceiling: what the matrix product reaches that all of this is made of, in FLOP/s."""

import argparse
import json
import time

import jax
import jax.numpy as jnp

REPETITIONS = 20

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
dtype = jnp.dtype(options.parse_args().precision)
size = 2048 if jax.default_backend() == "cpu" else 8192

product = jax.jit(jnp.dot)
a = jnp.ones((size, size), dtype)
product(a, a).block_until_ready()
seconds = []
for _ in range(REPETITIONS):
    begun = time.monotonic()
    product(a, a).block_until_ready()
    seconds.append(time.monotonic() - begun)
print(json.dumps({"flop_per_second": 2 * size**3 / min(seconds)}))
