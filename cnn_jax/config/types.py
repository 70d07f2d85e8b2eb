"""Types of config fields with their legal ranges, and the base of all sections; a leaf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from cnn_jax.conv_lowering import Lowering as Lowering
from cnn_jax.padding_dialects import PaddingName, PoolPaddingName

Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
NonNegativeInt = Annotated[int, Field(ge=0, le=2**31 - 1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveShare = Annotated[float, Field(ge=1e-6, le=1, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
# Bounds within which float32 arithmetic holds: beyond them values become 0, 1, infinite or not a number.
Decay = Annotated[float, Field(ge=0, le=0.999999, allow_inf_nan=False)]
Epsilon = Annotated[float, Field(ge=1e-20, le=1e3, allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=1e-3, le=1e3, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]

LARGEST_PIXELS = 1024  # of a window, a stride, a dilation or a padding: above it nothing but mistakes is known
LARGEST_WIDTH = 2**24  # channels of a layer
LARGEST_DEPTH = 256  # layers or stages that one field lists
Pixels = Annotated[int, Field(ge=1, le=LARGEST_PIXELS)]
Pad = Annotated[int, Field(ge=0, le=LARGEST_PIXELS)]
Width = Annotated[int, Field(ge=1, le=LARGEST_WIDTH)]
Size = Pixels | tuple[Pixels, Pixels]
PadPair = tuple[Pad, Pad]
Padding = PaddingName | Pad | tuple[PadPair, PadPair]
PoolPadding = PoolPaddingName | Pad | tuple[PadPair, PadPair]
PoolKind = Literal["max", "avg", "min"]
# On the command line `none` is Python's None; where it is a legal word, it is that word.
NoneIsAWord = BeforeValidator(lambda value: "none" if value is None else value)
Pooling = Annotated[Literal["max", "avg", "min", "none"], NoneIsAWord]
Norm = Annotated[Literal["batch", "group", "layer", "none"], NoneIsAWord]
Shortcut = Annotated[Literal["projection", "padded", "none"], NoneIsAWord]
Order = Literal["conv-norm-activation", "conv-activation-norm", "norm-activation-conv"]
Activation = Literal[
    "relu",
    "relu6",
    "tanh",
    "scaled_tanh",
    "sigmoid",
    "hard_sigmoid",
    "gelu",
    "gelu_exact",
    "silu",
    "hard_swish",
    "leaky_relu",
    "elu",
    "identity",
]
KernelInit = Literal["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "he_fan_out", "lecun_normal"]

T = TypeVar("T")
PerStage: TypeAlias = T | tuple[T, ...]
Faults = Iterator[tuple[tuple[str, ...], str]]


class Section(BaseModel):
    """Base of all sections: frozen, and refusing unknown fields.

    A field that a section declares again, with another default, keeps its meaning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        for base in cls.__mro__[1:]:
            for name, field in getattr(base, "__pydantic_fields__", {}).items():
                cls.model_fields[name].description = cls.model_fields[name].description or field.description

    def faults(self) -> Faults:
        """Lists what is legal field by field and impossible together.

        Yields:
          One entry for each fault: the names of the fields in it, and the message.
        """
        yield from ()

    def _falling(self, section: str, *fields: str) -> Faults:
        """Lists ranges whose ends are the wrong way round."""
        for field in fields:
            low, high = getattr(self, field) or (0, 0)
            if low > high:
                message = f"config.{section}.{field}=({low:g}, {high:g}) must rise; the nearest is ({high:g}, {low:g})"
                yield (field,), message
