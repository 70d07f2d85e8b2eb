"""Settings of a network that are legal one by one and impossible together."""

from __future__ import annotations

from collections.abc import Iterator

from cnn_jax.config.model import Cnn, LeNet5, Model, ResNet, SqueezeNet10, SqueezeNet11

_PER_STAGE = (
    "kernel_size",
    "strides",
    "padding",
    "dilation",
    "groups",
    "pooling",
    "pool_window",
    "pool_strides",
    "pool_padding",
)


Faults = Iterator[tuple[tuple[str, ...], str]]


def impossible_combinations(model: Model) -> Faults:
    """Lists what is legal field by field and impossible together.

    Args:
      model: Any network whose fields are legal one by one.

    Yields:
      One entry per fault: the names of the fields in it, and the message.
    """
    match model:
        case Cnn():
            yield from _cnn_faults(model)
        case LeNet5():
            yield from _lenet5_faults(model)
        case SqueezeNet10() | SqueezeNet11() if len(set(model.pool_after)) < len(model.pool_after):
            yield (
                ("pool_after",),
                f"config.model.pool_after={model.pool_after} names a layer twice; "
                f"the nearest is {tuple(sorted(set(model.pool_after)))}",
            )
        case ResNet() if model.depth < 50:
            yield from _basic_resnet_faults(model)


def _basic_resnet_faults(model: ResNet) -> Faults:
    none = f"and config.model.depth={model.depth} has none; use depth=50, 101 or 152"
    if model.bottleneck_width != 1:
        yield (
            ("bottleneck_width", "depth"),
            f"config.model.bottleneck_width={model.bottleneck_width} widens bottlenecks, {none}, or another "
            "config.model.width",
        )
    if model.bottleneck_groups != 1:
        yield (
            ("bottleneck_groups", "depth"),
            f"config.model.bottleneck_groups={model.bottleneck_groups} splits bottlenecks, {none}",
        )


def _cnn_faults(model: Cnn) -> Faults:
    stages = len(model.features)
    for field in _PER_STAGE:
        value = getattr(model, field)
        if is_per_stage(field, value) and len(value) not in (1, stages):
            yield (
                (field, "features"),
                f"config.model.{field} has {len(value)} entries, one for each stage, and config.model.features has "
                f"{stages}; give {stages} entries, or one value for all stages"
                + (f" (a {value[0]}x{value[1]} one is written (({value[0]}, {value[1]}),))" if _is_pair(value) else ""),
            )


def _lenet5_faults(model: LeNet5) -> Faults:
    if model.connection == "table" and model.features[:2] != (6, 16):
        yield (
            ("connection", "features"),
            f"config.model.connection=table joins 6 maps to 16, and config.model.features begins with "
            f"{model.features[:2]}; use features=(6,16,{model.features[2]}), or connection=full",
        )
    width = model.dense[-1] if model.dense else model.features[2]
    if model.output == "rbf" and model.prototypes == "digits" and width != 84:
        yield (
            ("output", "prototypes", "dense"),
            f"config.model.prototypes=digits are pictures of 7x12 = 84 pixels, and the last hidden layer has {width} "
            "units; use dense=(84,), or prototypes=random",
        )


def _is_pair(value: tuple[object, ...]) -> bool:
    return len(value) == 2 and all(isinstance(entry, int) for entry in value)


def is_per_stage(field: str, value: object) -> bool:
    """Tells whether a field of the network `cnn` lists one entry per stage, rather than one value for all.

    A tuple lists stages, but for the explicit pads of one padding, ((low, high), (low, high)).
    """
    if not isinstance(value, tuple):
        return False
    explicit_pads = len(value) == 2 and all(
        isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(pad, int) for pad in pair) for pair in value
    )
    return not (explicit_pads and field in ("padding", "pool_padding"))
