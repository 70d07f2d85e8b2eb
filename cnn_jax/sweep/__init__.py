"""Many runs from one file: which, how they are checked, run, repeated and told.

What an experiment file's `get_sweep()` and `get_search()` are built with can be imported from here, without JAX.
"""

from cnn_jax.sweep.ranges import choice, halton, integers, log_uniform, sobol, uniform
from cnn_jax.sweep.search.declaration import Halving, Hyperband, Search
from cnn_jax.sweep.space import Named, Sweep, assign, chain, keep, product, repeat_seeds, zip_

__all__ = [
    "Halving",
    "Hyperband",
    "Named",
    "Search",
    "Sweep",
    "assign",
    "chain",
    "choice",
    "halton",
    "integers",
    "keep",
    "log_uniform",
    "product",
    "repeat_seeds",
    "sobol",
    "uniform",
    "zip_",
]
