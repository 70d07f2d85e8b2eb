"""Description of an exported network, stored in its file: classes, images, preprocessing, versions."""

from __future__ import annotations

import json
from typing import Any

import jax
from pydantic import BaseModel, ConfigDict, ValidationError

import cnn_jax
from cnn_jax.config import Experiment
from cnn_jax.config.parsing import ConfigError
from cnn_jax.export import seal
from cnn_jax.train.restore import FinishedRun

FORMAT = 1


# More than ten fields: those of the description in every exported file.
class Description(BaseModel):
    """Description of an exported network."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int
    """Version of this description."""
    cnn_jax: str
    """Version of the project that wrote the file."""
    jax: str
    """Version of JAX that wrote the file."""
    class_names: tuple[str, ...]
    """Names of the classes in the order of the probabilities."""
    image_shape: tuple[int, int, int]
    """(height, width, channels) of the images in pixels."""
    dtype: str = "uint8"
    """Type of the pixels, "uint8" or "float32"."""
    input: str
    """Meaning of the input."""
    output: str
    """Meaning of the output."""
    mean: tuple[float, ...]
    """Mean that the program subtracts from pixels of 0 to 255, by channel."""
    std: tuple[float, ...]
    """Standard deviation that it divides by."""
    test_accuracy: float
    """Accuracy of the run on its test images, 0 to 1."""
    config: dict[str, Any]
    """Resolved config of the run."""
    checksum: str
    """SHA-256 of the file with zeros in place of this checksum."""

    @property
    def experiment(self) -> Experiment:
        """Config of the run."""
        return Experiment.model_validate_json(json.dumps(self.config))


def describe(run: FinishedRun) -> Description:
    """Describes a finished run's network, with a placeholder for the checksum."""
    mean, std = (tuple(float(value) for value in values) for values in run.normalization)
    return Description(
        format=FORMAT,
        cnn_jax=cnn_jax.__version__,
        jax=jax.__version__,
        class_names=run.class_names,
        image_shape=run.image_shape,
        dtype=run.dtype,
        input=f"images: {run.dtype} [batch, height, width, channels], pixels of 0 to 255, which the program normalizes",
        output="probabilities: float32 [batch, classes]",
        mean=mean,
        std=std,
        test_accuracy=float(run.result.test_accuracy),
        config=run.experiment.model_dump(mode="json"),
        checksum=seal.PLACE,
    )


def read(text: str | bytes, name: str) -> Description:
    """Parses a description.

    Args:
      text: JSON text.
      name: Name of the file, for errors.

    Raises:
      ConfigError: If it is of another version.
    """
    try:
        raw = json.loads(text)
        number, writer = raw["format"], raw["cnn_jax"]
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError([f"--model: {name} has no description of a network; export the run again"]) from error
    reader = f"cnn_jax {writer}, which wrote it, reads it"
    if number != FORMAT:
        raise ConfigError([f"--model: {name} has format {number}, and this version reads {FORMAT}; {reader}"])
    try:
        found = Description.model_validate(raw)
        _ = found.experiment
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, each["loc"])) for each in error.errors()}))
        this = f"cnn_jax {cnn_jax.__version__}"
        raise ConfigError(
            [f"--model: {name} has fields that {this} does not know or misses: {fields}; {reader}"]
        ) from error
    return found
