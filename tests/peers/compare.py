"""cnn_jax's answers to the cases, and how far they are from the peers'."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from support.quick_programs import CompilerOptions

from cnn_jax import ops
from peers.cases import Case, Results

# Of the largest value: some float32 roundings. Sums are of up to some ten thousand products, whose roundings add up as
# a random walk to about 1e-6; the peers' values are exact to half a unit in the last place, 6e-8.
TOLERANCE = 1e-5
Outcomes = dict[str, dict[str, np.ndarray]]
ARGUMENTS = ("x", "kernel", "bias")


def lowerings(case: Case) -> tuple[str, ...]:
    """All that can compute a case; pooling has only one way."""
    if case.kind.endswith("pool"):
        return ("pooling",)
    if case.kind == "stage":
        return ("auto", "xla")  # the others are conv2d and max_pool, one by one
    names = ("auto", "xla", "patches")
    if case.dilation == (1, 1) and case.groups == 1:
        if max(case.strides) > 1:
            names += ("space_to_depth",)
        elif case.window == (3, 3):
            names += ("winograd",)
    return names


def operation(case: Case, lowering: str) -> Callable[..., jax.Array]:
    """The function of a case's x, kernel and bias, as far as it has them."""
    if case.kind == "conv":
        options = {"strides": case.strides, "padding": case.padding, "dilation": case.dilation, "groups": case.groups}
        return lambda x, kernel: ops.conv2d(x, kernel, lowering=lowering, **options)
    if case.kind == "stage":
        return lambda x, kernel, bias: ops.conv2d_relu_max_pool(
            x, kernel, bias, padding=case.padding, lowering=lowering
        )
    options = {"strides": case.strides, "padding": case.padding}
    if case.kind == "avg_pool":
        options["count_include_pad"] = case.count_include_pad
    pool = getattr(ops, case.kind)
    return lambda x: pool(x, case.window, **options)


def computed(case: Case, compiler_options: CompilerOptions = None) -> Outcomes:
    """Output and gradients of a case by each lowering, compiled together.

    One compilation for a case is several times faster than one for each operation, as without `jax.jit`.
    """
    names = [name for name in ARGUMENTS if name in case.arrays]

    def all_of_them(arguments, cotangent):
        outcomes = {}
        for lowering in lowerings(case):
            y, pull = jax.vjp(operation(case, lowering), *arguments)
            outcomes[lowering] = {"y": y} | {f"to_{name}": to for name, to in zip(names, pull(cotangent), strict=True)}
        return outcomes

    arguments = [case.arrays[name] for name in names]
    outcomes = jax.jit(all_of_them, compiler_options=compiler_options)(arguments, case.arrays["cotangent"])
    return jax.tree.map(np.asarray, outcomes)


def differences(case: Case, outcomes: Outcomes, results: Results) -> list[str]:
    """One line for each array that differs from a peer's by more than the tolerance, or is of another shape."""
    assert results
    lines = []
    for lowering, outcome in outcomes.items():
        for peer, expected in results.items():
            assert outcome.keys() == expected.keys()
            for name, ours in outcome.items():
                theirs = expected[name]
                if ours.shape != theirs.shape:
                    lines.append(f"{lowering}: {name} has shape {ours.shape}, {peer}'s {theirs.shape}: {case}")
                    continue
                apart = np.max(np.abs(ours - theirs)) / max(1e-6, np.max(np.abs(theirs)))
                if not apart <= TOLERANCE:
                    lines.append(f"{lowering}: {name} is {apart:.1e} of its largest value from {peer}'s: {case}")
    return lines
