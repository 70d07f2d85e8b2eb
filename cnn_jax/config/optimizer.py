"""Optimizers and learning-rate schedules: their sections of the config. `OPTIMIZERS` lists the optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from cnn_jax.config.registry import Entry, by_name, choice
from cnn_jax.config.types import Decay, Epsilon, Faults, NonNegative, Positive, Section, Weight

Rate = Annotated[float, Field(ge=1e-12, le=3e38, allow_inf_nan=False)]


class Optimizer(Section):
    """Fields that every optimizer has."""

    if TYPE_CHECKING:
        name: str  # each optimizer's own word
    learning_rate: Rate = Field(1e-3, description="the schedule's highest value")
    weight_decay: Weight = Field(0.0, description="decay a step, times the rate; adam and sgd add it to the gradient")
    weight_decay_mask: Literal["kernels", "all"] = Field(
        "kernels", description="kernels: biases and scales are spared; all: every parameter decays"
    )
    clip_norm: Rate | None = Field(None, description="gradients of a larger global L2 norm are scaled down to it")


class Sgd(Optimizer):
    name: Literal["sgd"] = Field("sgd", description="stochastic gradient descent")
    momentum: Decay = Field(0.9, description="share of the last update kept")
    nesterov: bool = Field(False, description="look ahead by the momentum")


class RmsProp(Optimizer):
    name: Literal["rmsprop"] = Field("rmsprop", description="Tieleman and Hinton, 2012, as TensorFlow has it")
    decay: Decay = Field(0.9, description="decay of the squared gradient's running mean, which starts at 1")
    momentum: Decay = Field(0.9, description="share of the last update kept")
    eps: Epsilon = Field(1e-3, description="added to the mean, under the root; PyTorch adds its root to the root")


class Adam(Optimizer):
    name: Literal["adam"] = Field("adam", description="Kingma and Ba, 2015")
    b1: Decay = Field(0.9, description="decay of the gradient's running mean")
    b2: Decay = Field(0.999, description="decay of the squared gradient's running mean")
    eps: Epsilon = Field(1e-7, description="added to the denominator; 1e-7 is Keras's, 1e-8 PyTorch's")


class AdamW(Optimizer):
    name: Literal["adamw"] = Field("adamw", description="Loshchilov and Hutter, 2019: decoupled weight decay")
    weight_decay: Weight = Field(1e-4, description="decay each step, times the rate, apart from the gradient")
    b1: Decay = Field(0.9, description="decay of the gradient's running mean")
    b2: Decay = Field(0.999, description="decay of the squared gradient's running mean")
    eps: Epsilon = Field(1e-8, description="added to the denominator")


OPTIMIZERS: dict[str, Entry[Optimizer]] = by_name(
    Entry(Sgd, "cnn_jax.train.optimizer:sgd"),
    Entry(RmsProp, "cnn_jax.train.optimizer:rmsprop"),
    Entry(Adam, "cnn_jax.train.optimizer:adam"),
    Entry(AdamW, "cnn_jax.train.optimizer:adamw"),
)
if TYPE_CHECKING:
    AnyOptimizer = Optimizer
else:
    AnyOptimizer = choice(OPTIMIZERS)


class _Schedule(Section):
    warmup_epochs: NonNegative = Field(0.0, description="epochs of linear growth from 0 before the schedule starts")


class Constant(_Schedule):
    name: Literal["constant"] = Field("constant", description="the learning rate itself")


class Cosine(_Schedule):
    name: Literal["cosine"] = Field("cosine", description="half a cosine down to final_fraction")
    final_fraction: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="last learning rate, as a fraction of the highest"
    )


class OneCycle(Section):
    name: Literal["one_cycle"] = Field("one_cycle", description="Smith, 2018: cosine up, then cosine down")
    peak: Annotated[float, Field(gt=0, lt=1)] = Field(0.3, description="share of the training at which it is highest")
    initial_fraction: Annotated[float, Field(ge=0, le=1)] = Field(
        0.04, description="first learning rate, as a fraction of the highest"
    )
    final_fraction: Annotated[float, Field(ge=0, le=1)] = Field(
        1e-4, description="last learning rate, as a fraction of the highest"
    )


class Step(_Schedule):
    name: Literal["step"] = Field("step", description="multiplied by factor at each boundary")
    boundaries: tuple[Positive, ...] = Field(
        (), max_length=10_000, description="epochs, rising, at which the rate drops"
    )
    factor: Annotated[float, Field(ge=1e-6, lt=1)] = Field(0.1, description="what the rate is multiplied by")

    def faults(self) -> Faults:
        if list(self.boundaries) != (rising := sorted(set(self.boundaries))):
            message = f"config.schedule.boundaries={self.boundaries} must rise; the nearest is {tuple(rising)}"
            yield ("boundaries",), message


Schedule = Annotated[Constant | Cosine | OneCycle | Step, Field(discriminator="name")]
