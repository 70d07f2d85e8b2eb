"""The slices that a queued resource can be of, and the runtime that each generation starts with."""

from __future__ import annotations

import difflib


def _torus(largest: int) -> tuple[int, ...]:
    """Cores of three-dimensional slices: parts of a cube of 64 chips, then whole cubes."""
    return (8, 16, 32, 64, *range(128, largest + 1, 128))


_GENERATIONS: dict[str, tuple[str, tuple[int, ...]]] = {
    "v2": ("tpu-ubuntu2204-base", (8, 32, 128, 256, 512)),
    "v3": ("tpu-ubuntu2204-base", (8, 32, 64, 128, 256, 512, 1024, 2048)),
    "v4": ("tpu-ubuntu2204-base", _torus(4096)),
    "v5litepod": ("v2-alpha-tpuv5-lite", (1, 4, 8, 16, 32, 64, 128, 256)),
    "v5p": ("v2-alpha-tpuv5", _torus(12288)),
    "v6e": ("v2-alpha-tpuv6e", (1, 4, 8, 16, 32, 64, 128, 256)),
}
_OTHER_NAMES = {"v5e": "v5litepod", "v5lite": "v5litepod", "v5": "v5p", "v6": "v6e", "trillium": "v6e"}


def fault(accelerator_type: str) -> str | None:
    """Says what is wrong with an accelerator type and which ones are nearest, or None.

    Source: https://cloud.google.com/tpu/docs/supported-tpu-configurations
    """
    generation, _, size = accelerator_type.removeprefix("tpu-").rpartition("-")
    generation = _OTHER_NAMES.get(generation, generation)
    if generation not in _GENERATIONS:
        near = difflib.get_close_matches(generation or size, _GENERATIONS, n=1, cutoff=0.5)
        examples = [f"{name}-{sizes[0]}" for name, (_, sizes) in _GENERATIONS.items() if not near or name in near]
        return f"got {accelerator_type!r}, expected a generation and a size; nearest: {', '.join(examples)}"
    sizes = _GENERATIONS[generation][1]
    if size.isdecimal() and int(size) in sizes:
        nearest = [f"{generation}-{size}"]
        if nearest == [accelerator_type]:
            return None
    else:
        wanted = int(size) if size.isdecimal() else sizes[0]
        nearest = [f"{generation}-{near}" for near in sorted(sorted(sizes, key=lambda one: abs(one - wanted))[:3])]
    return f"got {accelerator_type!r}, which is no slice; nearest: {', '.join(nearest)}"


def runtime_version(accelerator_type: str) -> str:
    """The TPU VM image for a slice.

    Source: https://cloud.google.com/tpu/docs/runtimes
    """
    return _GENERATIONS[accelerator_type.rpartition("-")[0]][0]


def runtime_fault(version: str, accelerator_type: str) -> str | None:
    """Says that a runtime is another generation's, or None; versions that are not known here pass."""
    wanted = runtime_version(accelerator_type)
    if version != wanted and version in {runtime for runtime, _ in _GENERATIONS.values()}:
        return f"got {version!r}, which does not run on {accelerator_type}; expected {wanted!r}"
    return None
