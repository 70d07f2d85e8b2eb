"""The experiment: frozen, typed, and refusing what it does not know.

Every field carries its type, its legal range and its meaning; `launch.py train --help` prints them from
here. Raw dictionaries (experiment files, command-line overrides, config.json) enter through
`cnn_jax.config.parsing.parse`, which reports every fault at once. A section has as many fields as there are settings of
its kind, some more than ten.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from cnn_jax.config.data import Data, FashionMnist, FilePath, Text
from cnn_jax.config.model import NETWORKS, Cnn, Model
from cnn_jax.config.optimizer import Adam, AnyOptimizer, Constant, Schedule, Step
from cnn_jax.config.types import (
    Count,
    Decay,
    Factor,
    Faults,
    NonNegativeInt,
    Positive,
    PositiveShare,
    Section,
    Weight,
)

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
LEAST_ALPHA = 1e-3  # below it all shares are 0 or 1 and, in float32, not a number
Alpha = Annotated[float, Field(ge=0, le=1e3, allow_inf_nan=False)]
MatmulPrecision = Literal["default", "high", "highest", "bfloat16", "tensorfloat32", "float32"]

# --- augmentation -------------------------------------------------------------------------------------


class Augment(Section):
    """Random changes of the training images, in the order of the fields; all are off by default."""

    flip: bool = Field(False, description="mirror half of the images left to right")
    shift: NonNegativeInt = Field(0, description="move each image by up to this many pixels, zeros entering")
    crop_padding: NonNegativeInt = Field(
        0, description="pad each image by this many pixels and crop it back to its size at a random place"
    )
    crop_border: Literal["zeros", "reflect"] = Field("zeros", description="what crop_padding pads with")
    brightness: Share = Field(0.0, description="multiply pixels by a factor within this of 1")
    contrast: Share = Field(0.0, description="multiply distances from the image's mean by a factor within this of 1")
    lighting: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = Field(
        0.0, description="deviation of random steps along the training pixels' principal colours; AlexNet's is 0.1"
    )
    erasing: Share = Field(0.0, description="probability that a rectangle of an image is erased")
    erasing_area: tuple[PositiveShare, PositiveShare] = Field(
        (0.02, 0.4), description="least and greatest share of the image that is erased"
    )
    erasing_aspect: tuple[Factor, Factor] = Field(
        (0.3, 1 / 0.3), description="least and greatest height over width of what is erased"
    )
    erasing_fill: Literal["zero", "mean", "random"] = Field(
        "random",
        description="zero: 0 after normalisation; mean: the training images' mean colour; random: any bytes",
    )
    cutout: NonNegativeInt = Field(
        0, description="zero a square of this many pixels a side, its centre anywhere in the image"
    )
    mixup: Alpha = Field(
        0.0, description="alpha: blend each image and its label with another's, shares from Beta(alpha, alpha)"
    )
    cutmix: Alpha = Field(
        0.0, description="alpha: paste a rectangle of another image, shares from Beta(alpha, alpha); labels by area"
    )

    def faults(self) -> Faults:
        if self.shift and self.crop_padding:
            yield (
                ("shift", "crop_padding"),
                f"config.augment.shift={self.shift} and config.augment.crop_padding={self.crop_padding} both move the "
                "image; set one to 0",
            )
        yield from self._falling("augment", "erasing_area", "erasing_aspect")
        for field in ("mixup", "cutmix"):
            if 0 < (alpha := getattr(self, field)) < LEAST_ALPHA:
                yield (
                    (field,),
                    f"config.augment.{field}={alpha:g} draws shares of 0 and 1 alone; use {LEAST_ALPHA:g} or more, or "
                    "0 for none",
                )


# --- training, checkpoints, logging -------------------------------------------------------------------


class Pretrained(Section):
    weights: FilePath | None = Field(
        None, description="file of published weights to start from, .pth or .safetensors; none draws them"
    )
    head: Literal["new", "keep"] = Field(
        "new", description="the layer that makes the logits: drawn anew for these classes, or the weights' own"
    )
    freeze: tuple[Text, ...] = Field(
        (), description="layers that do not learn, as `summary` names them; a name holds for all below it"
    )


class Train(Section):
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = Field(5, description="passes over the training images")
    batch_size: Count = Field(32, description="images of one step, over all devices")
    accumulate: Count = Field(
        1, description="parts of a batch that are worked on one after the other, for the memory of one part"
    )
    shard_optimizer: bool = Field(False, description="split the optimizer's state over the devices")
    shard_dense: bool = Field(False, description="split the kernels of large dense layers over the devices")
    eval_every_epochs: Count = Field(
        1,
        description="epochs between measurements of the test and validation images; the last epoch is always measured",
    )
    eval_batch_size: Count = Field(500, description="images of one evaluation step, over all devices")
    label_smoothing: Decay = Field(0.0, description="share of the target spread evenly over all classes")
    aux_loss_weight: Weight = Field(0.3, description="weight of each auxiliary classifier's loss, where there are any")
    ema_decay: Decay = Field(
        0.0,
        description="evaluate a running mean of the parameters with this decay per step; 0 evaluates the parameters",
    )
    eval_mirrored: bool = Field(
        False, description="evaluate the mean of the logits of each image and of its mirror image, for twice the work"
    )
    eval_shift: NonNegativeInt = Field(
        0,
        description="pixels; evaluate the mean of the logits of each image and of its copies moved so far up, down, "
        "left and right, for five times the work; 0 moves none",
    )
    steps_per_dispatch: Count = Field(
        125,
        description="most steps of one call to the device, whose end a signal waits for; fewer where they would take "
        "over two seconds",
    )
    deterministic: bool = Field(
        False, description="the same bits every time on a GPU too, for some speed; CPUs and TPUs give them anyway"
    )
    matmul_precision: MatmulPrecision | None = Field(
        None,
        description="precision of float32 products and convolutions on GPUs and TPUs, as JAX names it; "
        "none leaves JAX's own",
    )


class Checkpoint(Section):
    every_epochs: Count = Field(1, description="save at the end of every so many epochs")
    every_minutes: Positive | None = Field(5.0, description="and whenever so many minutes have passed; none: never")
    keep_last: Count = Field(2, description="newest checkpoints kept")
    select: Literal["last", "best"] = Field(
        "last", description="epoch that is tested in the end: the last, or the best on the validation images"
    )


class Log(Section):
    every_steps: Count = Field(
        500, description="training steps of one record in metrics.jsonl, rounded up to dispatches"
    )
    tensorboard: bool = Field(True, description="write TensorBoard events beside metrics.jsonl")


class Experiment(Section):
    """Everything that a run's result depends on, code and hardware apart."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="every random choice derives from it")
    data: Data = Field(default_factory=FashionMnist, description="where the images come from")
    augment: Augment = Field(default_factory=Augment, description="random changes of the training images")
    model: Model = Field(default_factory=Cnn, description="the network")
    pretrained: Pretrained = Field(default_factory=Pretrained, description="what the network starts from")
    optimizer: AnyOptimizer = Field(default_factory=Adam, description="how parameters follow gradients")
    schedule: Schedule = Field(default_factory=Constant, description="the learning rate over the training")
    train: Train = Field(default_factory=Train, description="length and batches")
    checkpoint: Checkpoint = Field(default_factory=Checkpoint, description="what is saved, and when")
    log: Log = Field(default_factory=Log, description="what is recorded, and when")

    @model_validator(mode="after")
    def _combinations(self) -> Experiment:
        faults = impossible_combinations(self)
        if faults:
            raise PydanticCustomError(
                "impossible_combination",
                "{text}",
                {"text": "; ".join(message for _, message in faults), "faults": faults},
            )
        return self


def impossible_combinations(experiment: Experiment) -> list[tuple[tuple[str, ...], str]]:
    """Lists what is legal field by field and impossible together.

    Args:
      experiment: Any experiment whose fields are legal one by one.

    Returns:
      One entry per fault: the dotted names of the fields in it, and the message.
    """
    faults: list[tuple[tuple[str, ...], str]] = []

    def fault(fields: tuple[str, ...], message: str) -> None:
        faults.append((fields, message))

    for name in Experiment.model_fields:
        section = getattr(experiment, name)
        for fields, message in section.faults() if isinstance(section, Section) else ():
            fault(tuple(f"{name}.{field}" for field in fields), message)
    train, schedule = experiment.train, experiment.schedule
    if experiment.checkpoint.select == "best" and experiment.data.validation_fraction == 0:
        fault(
            ("checkpoint.select", "data.validation_fraction"),
            "config.checkpoint.select='best' needs validation images, and config.data.validation_fraction is 0; "
            "set config.data.validation_fraction=0.1, or config.checkpoint.select=last",
        )
    warmup = getattr(schedule, "warmup_epochs", 0.0)
    if warmup >= train.epochs:
        fault(
            ("schedule.warmup_epochs", "train.epochs"),
            f"config.schedule.warmup_epochs={warmup:g} leaves nothing of config.train.epochs={train.epochs}; "
            f"use less than {train.epochs}",
        )
    if (
        isinstance(schedule, Step)
        and not any(schedule.faults())
        and max(schedule.boundaries, default=0) >= train.epochs
    ):
        fault(
            ("schedule.boundaries", "train.epochs"),
            f"config.schedule.boundaries={schedule.boundaries} reaches beyond config.train.epochs={train.epochs}",
        )
    for fields, message in _impossible_parts(experiment.model, train):
        fault(fields, message)
    network = experiment.model.name
    published = [name for name, entry in NETWORKS.items() if entry.config.published]
    if experiment.pretrained.weights is not None and network not in published:
        fault(
            ("pretrained.weights", "model.name"),
            f"config.pretrained.weights: there are no published weights for config.model.name={network}, "
            f"only for {', '.join(published)}",
        )
    examples = experiment.data.train_examples
    if examples is not None and train.batch_size > examples:
        fault(
            ("train.batch_size", "data.train_examples"),
            f"config.train.batch_size={train.batch_size} exceeds config.data.train_examples={examples}",
        )
    for field in ("mixup", "cutmix"):
        if getattr(experiment.augment, field) and train.batch_size == 1:
            fault(
                (f"augment.{field}", "train.batch_size"),
                f"config.augment.{field} mixes images of a batch, and config.train.batch_size is 1; use 2 or more",
            )
    return faults


def _impossible_parts(model: Model, train: Train) -> list[tuple[tuple[str, ...], str]]:
    batch_size, accumulate, images = train.batch_size, train.accumulate, model.norm_images
    if batch_size % accumulate:
        message = (
            f"config.train.accumulate={accumulate} does not divide config.train.batch_size={batch_size}; "
            f"the nearest that does is {_nearest_divisor(batch_size, accumulate)}"
        )
        return [(("train.accumulate", "train.batch_size"), message)]
    part = batch_size // accumulate
    if images is not None and part % images:
        parts = f"config.train.batch_size={batch_size}" + f" / config.train.accumulate={accumulate}" * (accumulate > 1)
        message = (
            f"config.model.norm_images={images} does not divide {parts}; "
            f"the nearest that does is {_nearest_divisor(part, images)}"
        )
        return [(("model.norm_images", "train.batch_size", "train.accumulate"), message)]
    return []


def _nearest_divisor(number: int, wished: int) -> int:
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    return min((*small, *(number // divisor for divisor in small)), key=lambda it: (abs(it - wished), it))
