"""Outputs and all gradients of the cases by PyTorch and TensorFlow. Run by the Python that has them.

They compute in float64, and what comes out is rounded to float32 once: so a difference is cnn_jax's own rounding, not
the sum of two programs', and the bound on it can be tight.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # is read when TensorFlow is imported

import tensorflow as tf
import torch
import torch.nn.functional as F

from peers.cases import BORDERS, Case, Results, generate, load, save

GOLDEN_SEED, GOLDEN_COUNT = 1, 60


def by_torch(case: Case) -> dict[str, np.ndarray]:
    """PyTorch's outputs and gradients of a case; it can compute all of them."""
    given = [name for name in ("x", "kernel", "bias") if name in case.arrays]
    leaves = {name: torch.tensor(case.arrays[name], dtype=torch.float64, requires_grad=True) for name in given}
    x = leaves["x"].permute(0, 3, 1, 2).contiguous()
    if case.kind in ("conv", "stage"):
        y = _torch_convolution(case, x, leaves["kernel"].permute(3, 2, 0, 1).contiguous())
        if case.kind == "stage":
            y = F.max_pool2d(F.relu(y + leaves["bias"][:, None, None]), 2)
    elif case.kind == "avg_pool":
        y = _torch_mean(case, x)
    elif case.kind == "max_pool":
        y = F.max_pool2d(_torch_padded(case, x, -torch.inf), case.window, case.strides)
    else:
        y = -F.max_pool2d(_torch_padded(case, -x, -torch.inf), case.window, case.strides)
    y = y.permute(0, 2, 3, 1)
    cotangent = torch.tensor(case.arrays["cotangent"], dtype=torch.float64)
    gradients = torch.autograd.grad(y, list(leaves.values()), cotangent)
    return _named(y.detach().numpy(), given, [each.numpy() for each in gradients])


def _torch_convolution(case: Case, x: Any, kernel: Any) -> Any:
    options = {"stride": case.strides, "dilation": case.dilation, "groups": case.groups}
    if case.padding == "SAME" and case.strides == (1, 1):
        return F.conv2d(x, kernel, padding="same", **options)  # PyTorch's own
    if case.padding == "TORCH" or isinstance(case.padding, int):
        return F.conv2d(x, kernel, padding=(case.pads[0][0], case.pads[1][0]), **options)
    return F.conv2d(_torch_padded(case, x), kernel, **options)


def _torch_mean(case: Case, x: Any) -> Any:
    symmetric = all(low == high <= span // 2 for (low, high), span in zip(case.pads, case.window, strict=True))
    if symmetric:
        padding = (case.pads[0][0], case.pads[1][0])
        return F.avg_pool2d(x, case.window, case.strides, padding, count_include_pad=case.count_include_pad)
    mean = F.avg_pool2d(_torch_padded(case, x), case.window, case.strides)
    if case.count_include_pad:
        return mean
    return mean / F.avg_pool2d(_torch_padded(case, torch.ones_like(x)), case.window, case.strides)


def _torch_padded(case: Case, x: Any, fill: float = 0.0) -> Any:
    (top, bottom), (left, right) = case.pads
    if case.padding in BORDERS:
        return F.pad(x, (left, right, top, bottom), mode=BORDERS[case.padding])
    return F.pad(x, (left, right, top, bottom), value=fill)


def by_tensorflow(case: Case) -> dict[str, np.ndarray] | None:
    """TensorFlow's outputs and gradients of a case, or None where it cannot compute it."""
    pooled = case.kind.endswith("pool")
    if case.padding in ("REPLICATE", "CIRCULAR") or (max(case.strides) > 1 and max(case.dilation) > 1):
        return None
    if case.kind == "avg_pool" and (case.count_include_pad or case.padding not in ("SAME", "VALID")):
        return None
    given = [name for name in ("x", "kernel", "bias") if name in case.arrays]
    leaves = {name: tf.constant(case.arrays[name], tf.float64) for name in given}
    with tf.GradientTape() as tape:
        tape.watch(list(leaves.values()))
        x = leaves["x"]
        padding: Any = case.padding
        if padding not in ("SAME", "VALID"):  # these are TensorFlow's own
            padding = [[0, 0], *map(list, case.pads), [0, 0]]
            if not pooled:
                x = tf.pad(x, padding, mode="REFLECT" if case.padding == "REFLECT" else "CONSTANT")
                padding = "VALID"
        if case.kind == "avg_pool":
            y = tf.nn.avg_pool2d(x, case.window, case.strides, padding)
        elif pooled:
            sign = -1 if case.kind == "min_pool" else 1
            y = sign * tf.nn.max_pool2d(sign * x, case.window, case.strides, padding)
        else:
            y = _tensorflow_convolution(case, x, leaves["kernel"], padding)
            if case.kind == "stage":
                y = tf.nn.max_pool2d(tf.nn.relu(y + leaves["bias"]), 2, 2, "VALID")
        gradients = tape.gradient(y, list(leaves.values()), tf.constant(case.arrays["cotangent"], tf.float64))
    return _named(y.numpy(), given, [each.numpy() for each in gradients])


def _tensorflow_convolution(case: Case, x: Any, kernel: Any, padding: str) -> Any:
    if 1 < case.groups == x.shape[-1] and case.strides[0] == case.strides[1]:
        each_channel = tf.reshape(kernel, (*case.window, case.groups, -1))
        return tf.nn.depthwise_conv2d(x, each_channel, (1, *case.strides, 1), padding, dilations=case.dilation)
    # Its CPU has no gradients of grouped convolutions: each group is one of its own.
    parts = zip(tf.split(x, case.groups, axis=-1), tf.split(kernel, case.groups, axis=-1), strict=True)
    return tf.concat([tf.nn.convolution(a, b, case.strides, padding, dilations=case.dilation) for a, b in parts], -1)


def _named(y: np.ndarray, given: list[str], gradients: list[np.ndarray]) -> dict[str, np.ndarray]:
    outcome = {"y": y} | {f"to_{name}": gradient for name, gradient in zip(given, gradients, strict=True)}
    return {name: array.astype(np.float32) for name, array in outcome.items()}


def results(case: Case) -> Results:
    """Computes a case by every peer that can."""
    outcomes = {"PyTorch": by_torch(case), "TensorFlow": by_tensorflow(case)}
    return {peer: outcome for peer, outcome in outcomes.items() if outcome is not None}


def main() -> None:
    """Writes cases with the peers' results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("to", type=Path, help=".npz to write")
    parser.add_argument("--cases", type=Path, help=".npz of cases; without it, those of tests/ops/golden/ are drawn")
    options = parser.parse_args()
    cases = load(options.cases)[0] if options.cases else generate(GOLDEN_SEED, GOLDEN_COUNT, small=True)
    save(options.to, cases, [results(case) for case in cases])


if __name__ == "__main__":
    main()
