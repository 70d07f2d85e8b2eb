"""Request of `inspect`, without JAX."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, get_args

Scaling = Literal["own", "method", "all"]
Rule = Literal["deconvnet", "guided", "gradient"]
RULES: tuple[Rule, ...] = get_args(Rule)  # rules of `ops.relu_backward`, in the order of the page
SectionName = Literal["kernels", "maps", "patches", "maximization", "fields", "classes", "behaviour"]
SECTIONS: tuple[SectionName, ...] = get_args(SectionName)
SLOW: tuple[SectionName, ...] = ("patches", "maximization", "behaviour")  # take minutes for a large network


@dataclasses.dataclass(frozen=True)
class InspectRequest:
    """Request of the command line, before it is checked against the run.

    Attributes:
      layers: Names of layers; empty for the default.
      channels: Numbers of channels, from 0; empty for the default.
      classes: Names or numbers of classes; empty for the predicted class of each picture.
      sections: Sections, in the order of the page; empty for the default.
      scale: Which class maps share a scale.
      rules: Rules for rectifiers for reconstructing patches; empty for the default.
      test_images: Maximum number of test images; None for the default, 0 for all.
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
