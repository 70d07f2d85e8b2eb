"""Everything that training changes; with the config it determines all that follows."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int32

from cnn_jax.models import Variables
from cnn_jax.train.metrics import Sums


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """The state between two steps.

    Attributes:
      step: steps taken since the start.
      params: what the optimizer changes.
      batch_stats: running statistics of normalisation; empty where there is none.
      opt_state: the optimizer's.
      averaged: running mean of the parameters; empty unless train.ema_decay asks for it.
      epoch_sums: metrics since the start of the epoch.
      window_sums: metrics since the last record.
    """

    step: Int32[Array, ""]
    params: Any
    batch_stats: Any
    opt_state: Any
    averaged: Any
    epoch_sums: Sums
    window_sums: Sums

    @property
    def variables(self) -> dict[str, Any]:
        """What is evaluated: the averaged parameters where there are any, and the statistics."""
        return {"params": self.averaged or self.params, "batch_stats": self.batch_stats}


def create(optimizer: optax.GradientTransformation, variables: Variables, ema: bool) -> TrainState:
    """The state before the first step.

    Args:
      optimizer: as `optim.optimizer` builds it.
      variables: that the network starts from.
      ema: whether a running mean of the parameters is kept.

    Returns:
      The state; step 0.
    """
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
        averaged=jax.tree.map(jnp.copy, params) if ema else {},
        epoch_sums=Sums.zero(),
        window_sums=Sums.zero(),
    )
