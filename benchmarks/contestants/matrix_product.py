"""Not a contestant but their ceiling: what the matrix product reaches that all of this is made of, in FLOP/s."""

import json
import time

import jax
import jax.numpy as jnp

SIZE, REPETITIONS = 2048, 20

product = jax.jit(jnp.dot)
a = jnp.ones((SIZE, SIZE), jnp.float32)
product(a, a).block_until_ready()
seconds = []
for _ in range(REPETITIONS):
    begun = time.monotonic()
    product(a, a).block_until_ready()
    seconds.append(time.monotonic() - begun)
print(json.dumps({"flop_per_second": 2 * SIZE**3 / min(seconds)}))
