"""Programs of this process compiled quickly: a test compiles many small ones and runs each once.

The options leave out LLVM's optimizations and take XLA's older and simpler code generator, in a third of the time, and
in a fifteenth for a network: the operations that XLA is given are the same. Tests of a run's bits ask for XLA's own
options, by the fixture `programs_of_a_run`, and a process that a test starts has them, unless the test gives it
`environment`.
"""

import os
from collections.abc import Mapping

import jax

CompilerOptions = dict[str, bool | int | str] | None
QUICK: CompilerOptions = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
DEFAULTS: CompilerOptions = {
    "xla_backend_optimization_level": 3,
    "xla_cpu_use_fusion_emitters": True,
    "xla_cpu_parallel_codegen_split_count": 32,
}
"""XLA's own values of the same options."""


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """Gives an environment in which a process compiles all its programs quickly.

    Args:
      base: The environment else; what it says of the same options stands.
    """
    quick = " ".join(f"--{name}={str(value).lower()}" for name, value in (QUICK or {}).items())
    return {**base, "XLA_FLAGS": f"{quick} {base.get('XLA_FLAGS', '')}".strip()}


def compile_quickly() -> None:
    """Makes QUICK the default of this process; its environment stays as it is, for those that it starts."""
    given = os.environ.get("XLA_FLAGS")
    os.environ["XLA_FLAGS"] = environment(os.environ)["XLA_FLAGS"]
    jax.block_until_ready(jax.jit(lambda: 0)())  # XLA reads its flags once, before it compiles for the first time
    if given is None:
        del os.environ["XLA_FLAGS"]
    else:
        os.environ["XLA_FLAGS"] = given
