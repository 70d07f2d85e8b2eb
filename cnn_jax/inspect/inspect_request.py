"""Request of `inspect`, without JAX."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, get_args

Scaling = Literal["own", "method", "all"]
Rule = Literal["deconvnet", "guided", "gradient"]
RULES: tuple[Rule, ...] = get_args(Rule)  # those of `ops.relu_backward`, in the order of the page
SectionName = Literal["kernels", "maps", "patches", "maximization", "fields", "classes", "behaviour"]
SECTIONS: tuple[SectionName, ...] = get_args(SectionName)
SLOW: tuple[SectionName, ...] = ("patches", "maximization", "behaviour")  # minutes for a large network


@dataclasses.dataclass(frozen=True)
class InspectRequest:
    """Request of the command line, as far as it is understood without the run.

    Attributes:
      layers: Names of layers; empty for the standard choice.
      channels: Numbers of channels, from 0; empty for the standard choice.
      classes: Names or numbers of classes; empty for the predicted class of each picture.
      sections: Sections of the page, in its order; empty for the standard choice.
      scale: Which maps of a class share one scale.
      rules: Rules for rectifiers by which patches are reconstructed; empty for the standard choice.
      test_images: How many test images are looked at, at most; None for the standard choice, 0 for all.
      target: Folder of the page; None is the folder "inspect" of the run.
    """

    layers: tuple[str, ...] = ()
    channels: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    sections: tuple[SectionName, ...] = ()
    scale: Scaling = "own"
    rules: tuple[Rule, ...] = ()
    test_images: int | None = None
    target: Path | None = None
