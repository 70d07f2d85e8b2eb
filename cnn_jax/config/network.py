"""The fields that every network's section of the config has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from cnn_jax.config.types import (
    Activation,
    Count,
    Decay,
    Epsilon,
    KernelInit,
    Lowering,
    Norm,
    Padding,
    Section,
    Width,
)

Faults = Iterator[tuple[tuple[str, ...], str]]
NORM_MEANING = (
    "normalisation of convolutions' maps: by batch, by groups of channels, by layer (each pixel's channels), none"
)


class Network(Section):
    """Fields that every network has: the policies that its blocks are built by."""

    published: ClassVar[bool] = False  # whether weights can be had: pretrained/names.py has their layers' names
    if TYPE_CHECKING:
        name: str  # each network's own word

    padding: Padding = Field("SAME", description="padding of the convolutions whose kernels exceed a pixel")
    activation: Activation = Field("relu", description="between the layers")
    norm: Norm = Field("none", description=NORM_MEANING)
    norm_momentum: Decay = Field(0.9, description="share of batch norm's running statistics that a step keeps")
    norm_eps: Epsilon = Field(1e-5, description="added to the variance")
    norm_groups: Width = Field(8, description="number of channel groups in group norm")
    norm_images: Count | None = Field(
        None,
        description="images of a batch whose statistics batch norm takes together; none: all. "
        "With batch_size / devices no device waits for another's",
    )
    kernel_init: KernelInit = Field("he_normal", description="initial weights; biases start at zero")
    compute: Literal["float32", "bfloat16"] = Field(
        "float32", description="type of maps and products; parameters, statistics and loss stay float32"
    )
    lowering: Lowering = Field("auto", description="how convolutions are computed: auto chooses by platform")

    def faults(self) -> Faults:
        """Lists what is legal field by field and impossible together.

        Yields:
          One entry for each fault: the names of the fields in it, and the message.
        """
        yield from ()
