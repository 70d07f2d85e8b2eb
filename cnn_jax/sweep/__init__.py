"""Sweeps and searches: many runs from one experiment file.

The functions and classes for `get_sweep()` and `get_search()` are imported from here, without JAX.
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
