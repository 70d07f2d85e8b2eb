"""Checks and records settings of JAX and XLA that come from outside the experiment.

A result must depend only on the config, the code and the machine. Every command therefore requires JAX's default for
settings that would change random streams or arithmetic.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cnn_jax.config.parsing import ConfigError


class _Required(NamedTuple):
    """Value that a setting of JAX must have.

    Attributes:
      value: The required value, JAX's default.
      reason: Reason for the requirement.
      fix: Alternative to the setting.
    """

    value: bool | int | str | None
    reason: str
    fix: str = "leave it out"


_PRECISION = "arrays are float32 and int32"
_STREAMS = "the random numbers of every seed depend on it"
_PROMOTION = "the code relies on NumPy's rules for types and shapes"
_DEBUGGING = "a run itself reports a loss that is not finite"

REQUIRED: Mapping[str, _Required] = {
    "jax_enable_x64": _Required(False, _PRECISION),
    "jax_default_prng_impl": _Required("threefry2x32", _STREAMS),
    "jax_threefry_partitionable": _Required(True, _STREAMS),
    "jax_random_seed_offset": _Required(0, _STREAMS, "leave it out, and set config.seed"),
    "jax_high_dynamic_range_gumbel": _Required(False, _STREAMS),
    "jax_default_matmul_precision": _Required(
        None, "the precision belongs to the experiment", "leave it out, and set config.train.matmul_precision"
    ),
    "jax_numpy_dtype_promotion": _Required("standard", _PROMOTION),
    "jax_numpy_rank_promotion": _Required("allow", _PROMOTION),
    "jax_disable_jit": _Required(False, "steps are compiled programs"),
    "jax_debug_nans": _Required(False, _DEBUGGING),
    "jax_debug_infs": _Required(False, _DEBUGGING),
}
"""Settings by their names in `jax.config`; the environment variables have the same names in upper case."""

# Flax has its own settings, read from the environment.
_REQUIRED_OF_FLAX: Mapping[str, _Required] = {
    "flax_fix_rng_separator": _Required(False, _STREAMS),
    "flax_preserve_adopted_names": _Required(False, "parameters are known by their names"),
    "flax_return_frozendict": _Required(False, "parameters are plain dictionaries"),
}

# Further settings that may change the last bits of results.
_RECORDED = (
    "jax_allow_f16_reductions",
    "jax_compiler_enable_remat_pass",
    "jax_disable_most_optimizations",
    "jax_exec_time_optimization_effort",
    "jax_memory_fitting_effort",
    "jax_memory_fitting_level",
    "jax_optimization_level",
    "jax_softmax_custom_jvp",
    "jax_threefry_gpu_kernel_lowering",
    "jax_use_magma",
    "jax_use_shardy_partitioner",
)
_PREFIXES = (
    *("JAX_", "FLAX_", "XLA_", "LIBTPU_", "TF_", "CUBLAS_", "CUDNN_", "ROCM_", "MIOPEN_"),
    *("DNNL_", "ONEDNN_", "MKL_", "OPENBLAS_", "NPY_"),
)
_NAMES = ("NVIDIA_TF32_OVERRIDE", "NPROC", "OMP_NUM_THREADS")
# Prefixes of settings that change no number: caching, logging, coordination of processes. Devices and cores are
# compared separately.
_QUIET = (
    *("JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE", "JAX_ENABLE_COMPILATION_CACHE", "JAX_RAISE_PERSISTENT"),
    *("JAX_LOG", "JAX_DUMP", "JAX_TRACEBACK", "JAX_EXPLAIN", "JAX_DEBUG_LOG", "JAX_COMPILER_DETAILED", "JAX_PPRINT"),
    *("JAX_COORDINATOR", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID", "JAX_LOCAL", "TF_CPP_", "XLA_PYTHON_CLIENT_"),
    *("JAX_PLATFORM", "JAX_NUM_CPU_DEVICES", "NPROC"),
)
_FALSE, _TRUE = ("n", "no", "f", "false", "off", "0"), ("y", "yes", "t", "true", "on", "1")  # as JAX reads them


def check_environment(environment: Mapping[str, str] = os.environ) -> None:
    """Checks the environment variables that JAX and Flax will read, before they start.

    Args:
      environment: Environment variables by name.

    Raises:
      ConfigError: If a variable changes a setting that must have its default.
    """
    faults = []
    for name, required in {**REQUIRED, **_REQUIRED_OF_FLAX}.items():
        given = environment.get(name.upper())
        if given is not None and _parsed(given, required.value) != required.value:
            faults.append(_fault(f"{name.upper()}={given}", required))
    if faults:
        raise ConfigError(faults)


def check_settings(setting: Callable[[str], Any]) -> None:
    """Checks JAX's settings after it has started, however they were set.

    Args:
      setting: Returns the value of a setting by name; None if this version of JAX has no such setting.

    Raises:
      ConfigError: If a setting does not have the required value.
    """
    faults = []
    for name, required in REQUIRED.items():
        found = setting(name)
        if found is not None and found != required.value:
            faults.append(_fault(f"{name}={found}", required))
    if faults:
        raise ConfigError(faults)


def recorded(setting: Callable[[str], Any], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Collects the settings that results may depend on, for provenance.json.

    Args:
      setting: Returns the value of a JAX setting by name; None if there is none.
      environment: Environment variables by name.

    Returns:
      Values by name: JAX's settings, and environment variables of JAX, Flax, XLA and the libraries below them, except
      XLA_FLAGS, which is recorded separately.
    """
    found = {name: str(value) for name in (*REQUIRED, *_RECORDED) if (value := setting(name)) is not None}
    for name, value in sorted(environment.items()):
        if (name in _NAMES or name.startswith(_PREFIXES)) and name.lower() not in found and name != "XLA_FLAGS":
            found[name] = value.encode(errors="replace").decode()  # the value may not be valid text
    return found


def changes_numbers(name: str) -> bool:
    """Returns whether a recorded setting can change results."""
    return not name.startswith(_QUIET)


def _fault(given: str, required: _Required) -> str:
    return f"{given}: expected {required.value}, for {required.reason}; {required.fix}"


def _parsed(text: str, default: bool | int | str | None) -> bool | int | str | None:
    """Parses a variable as JAX does; returns the text itself if JAX could not."""
    word = text.strip().lower()
    if isinstance(default, bool):
        return True if word in _TRUE else False if word in _FALSE else text
    if isinstance(default, int):
        return int(word) if word.lstrip("-").isdigit() else text
    return text
