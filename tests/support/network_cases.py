"""Cases of networks whose convolutions are XLA's or those that are chosen on a CPU, in place of all with both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

# Every kind of convolution: large and small kernels, strides, dilations, groups and depthwise ones.
CHOSEN_ON_CPU = ("cnn", "lenet5", "resnet_cifar", "mobilenet_v2")


def network_cases(networks: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Makes pytest's parameters of networks.

    XLA's convolutions are traced and compiled in a fraction of the time of those that are chosen on a CPU, which the
    networks named in CHOSEN_ON_CPU keep; with the others they are for `make test-exhaustive`.

    Args:
      networks: Of each its config first, then whatever else the test takes.

    Returns:
      The parameters, with the network's name and its number from 0 as id.
    """
    cases = []
    for number, (config, *rest) in enumerate(networks):
        name = f"{config.name}-{number}"
        if config.name in CHOSEN_ON_CPU:
            cases.append(pytest.param(config, *rest, id=name))
            continue
        cases.append(pytest.param(config.model_copy(update={"lowering": "xla"}), *rest, id=name))
        cases.append(pytest.param(config, *rest, id=f"{name}-{config.lowering}", marks=pytest.mark.exhaustive))
    return cases
