"""Determines the image shape and the number of classes, which a compiled step needs, without the data."""

from __future__ import annotations

from cnn_jax import config as cfg
from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.sources.declared import ImageShape, declared
from cnn_jax.words import by


def describe(data: cfg.Data, image_shape: ImageShape | None, classes: int | None) -> tuple[ImageShape, int]:
    """Returns the image shape and number of classes from the config, or from the flags if the config lacks them.

    Args:
      data: Data section of the config.
      image_shape: (height, width, channels) of --image_shape, if given.
      classes: Value of --classes, if given.

    Raises:
      ConfigError: If neither config nor flag defines a value, or they disagree.
    """
    known_shape, known_classes = declared(data)
    faults = []
    for flag, given, known in (("image_shape", image_shape, known_shape), ("classes", classes, known_classes)):
        if given is None and known is None:
            faults.append(
                f"--{flag}: not defined by config.data.name={data.name} without reading the images; {_HELP[flag]}"
            )
        elif None not in (given, known) and given != known:
            faults.append(
                f"--{flag}: got {_text(given)}, and the config's data have {_text(known)}; leave out the flag"
            )
    if faults:
        raise ConfigError(faults)
    shape, count = known_shape or image_shape, known_classes or classes
    assert shape is not None
    assert count is not None
    return shape, count


_HELP = {
    "image_shape": "give it as --image_shape=HEIGHTxWIDTHxCHANNELS, such as 28x28x1",
    "classes": "give their number as --classes=N",
}


def _text(value: object) -> str:
    return by(value) if isinstance(value, tuple) else str(value)
