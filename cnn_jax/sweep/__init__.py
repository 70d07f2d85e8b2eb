"""Many runs from one file: which, how they are checked, run, repeated and told.

What an experiment file's `get_sweep()` is built with can be imported from here, without JAX.
"""

from cnn_jax.sweep.space import Named, Sweep, assign, chain, keep, product, repeat_seeds, zip_

__all__ = ["Named", "Sweep", "assign", "chain", "keep", "product", "repeat_seeds", "zip_"]
