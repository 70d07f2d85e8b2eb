"""Resources that Ray sets aside for a trial, and whether the nodes of a cluster have them; without Ray."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from cnn_jax.words import did_you_mean

_KIND = "accelerator_type:"  # Ray's prefix of the resource by which a node names its accelerator
_MARK = 0.001  # amount of that resource that Ray takes for `accelerator_type=...`
_SHOWN = 5  # kinds of nodes in a message


@dataclasses.dataclass(frozen=True)
class Needs:
    """Resources that Ray sets aside for one trial.

    Attributes:
      cpus: Processor cores, to which the trial is confined.
      gpus: Whole ones.
      tpus: Chips.
      processes: Processes of one trial, each with these cores and accelerators, on nodes as far apart as there are.
      accelerator: Ray's name of the accelerator that the nodes must have, such as "H100"; None for any.
    """

    cpus: int = 1
    gpus: int = 0
    tpus: int = 0
    processes: int = 1
    accelerator: str | None = None

    @property
    def bundle(self) -> dict[str, float]:
        """Gives the resources of one process, under Ray's names."""
        amounts: dict[str, float] = {"CPU": self.cpus, "GPU": self.gpus, "TPU": self.tpus}
        if self.accelerator is not None:
            amounts[f"{_KIND}{self.accelerator}"] = _MARK
        return {name: amount for name, amount in amounts.items() if amount}

    @property
    def options(self) -> dict[str, Any]:
        """Gives the same as options of a Ray task."""
        return {
            "num_cpus": self.cpus,
            "num_gpus": self.gpus,
            "resources": {"TPU": self.tpus} if self.tpus else None,
            "accelerator_type": self.accelerator,
        }


def capacity(needs: Needs, nodes: Sequence[Mapping[str, float]]) -> int:
    """Number of trials that a cluster can hold at a time, with nothing else on it.

    Args:
      needs: Resources of a trial.
      nodes: Resources of each node under Ray's names, whether they are in use or not.
    """
    return _places(needs, nodes) // needs.processes


def unmet(needs: Needs, nodes: Sequence[Mapping[str, float]]) -> str | None:
    """Says why no trial can ever run on a cluster; the arguments are those of `capacity`.

    Returns:
      What is needed, what there is and what helps; None if a trial can run.
    """
    if capacity(needs, nodes):
        return None
    named = sorted({kind for node in nodes for kind in _kinds(node)})
    if needs.accelerator is not None and needs.accelerator not in named:
        hint = did_you_mean(needs.accelerator, named) or f"; it has: {', '.join(named) or 'none with a name'}"
        return f"--accelerator={needs.accelerator}: no node of the cluster has this accelerator{hint}"
    wanted = _described(needs.bundle)
    if needs.processes > 1:
        wanted = f"{wanted} in each of --processes={needs.processes}, of which the nodes hold {_places(needs, nodes)}"
    counts = collections.Counter(map(_described, nodes))
    kinds = [f"{count} x ({kind})" for kind, count in counts.most_common(_SHOWN)]
    more = f" and {len(counts) - _SHOWN} more kinds" if len(counts) > _SHOWN else ""
    return (
        f"a trial needs {wanted}, and the nodes of the cluster have {', '.join(kinds) or 'nothing'}{more}; "
        "ask for less, or start other nodes"
    )


def _places(needs: Needs, nodes: Sequence[Mapping[str, float]]) -> int:
    """Number of processes that the nodes can hold at a time."""
    return sum(min(int(node.get(name, 0) / amount) for name, amount in needs.bundle.items()) for node in nodes)


def _kinds(node: Mapping[str, float]) -> list[str]:
    return [name.removeprefix(_KIND) for name in node if name.startswith(_KIND)]


def _described(resources: Mapping[str, float]) -> str:
    """Words for the resources that a trial can ask for."""
    units = {"CPU": "CPU cores", "GPU": "GPUs", "TPU": "TPU chips"}
    parts = [f"{resources[name]:g} {unit}" for name, unit in units.items() if resources.get(name)]
    parts += [f"accelerator {kind}" for kind in sorted(_kinds(resources))]
    return ", ".join(parts) or "no CPU cores"
