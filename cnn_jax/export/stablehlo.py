"""StableHLO by jax.export: one file for CPU, CUDA and TPU, with any batch size."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.split import Images
from cnn_jax.export import description, seal
from cnn_jax.export.description import Description
from cnn_jax.export.program import forward, refuse_too_large
from cnn_jax.ops.platform import building_for
from cnn_jax.train.restore import FinishedRun

PLATFORMS = ("cpu", "cuda", "tpu")
_PROGRAM, _DESCRIPTION = "program.jax_export", "description.json"


def write(run: FinishedRun) -> bytes:
    """Exports a finished run's network.

    The file is a zip archive with the program serialized by `jax.export`, and its description. It can be read with jax
    and flatbuffers:

        program = jax.export.deserialize(bytearray(zipfile.ZipFile(file).read("program.jax_export")))
        probabilities = program.call(pixels)

    Args:
      run: Finished run.

    Returns:
      Content of the file.

    Raises:
      ConfigError: If the package flatbuffers is missing, or the network is too large.
    """
    _need_flatbuffers("--format=stablehlo:")
    refuse_too_large(run, "stablehlo")
    (batch,) = jax.export.symbolic_shape("b")
    pixels = jax.ShapeDtypeStruct((batch, *run.image_shape), jnp.dtype(run.dtype))
    # A program traced for an accelerator suits every platform; lowerings for CPUs would be frozen into it.
    with building_for("tpu"):
        exported = jax.export.export(jax.jit(forward(run)), platforms=PLATFORMS)(pixels)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_PROGRAM), bytes(exported.serialize()))
        described = description.describe(run).model_dump_json(indent=2).replace(seal.PLACE, "the archive's comment")
        archive.writestr(zipfile.ZipInfo(_DESCRIPTION), described)
        archive.comment = seal.PLACE.encode()
    return seal.seal(buffer.getvalue())


def _need_flatbuffers(what: str) -> None:
    """Refuses if flatbuffers, which JAX needs for its files, is missing."""
    if importlib.util.find_spec("flatbuffers") is None:
        raise ConfigError([f"{what} needs the package flatbuffers; pip install flatbuffers"])


class Program:
    """An exported program, ready to call."""

    def __init__(self, content: bytes, name: str):
        """Reads the content of a file.

        Raises:
          ConfigError: If the package flatbuffers is missing, or this version of JAX cannot read the file.
        """
        _need_flatbuffers(f"--model: {name}")
        archive = zipfile.ZipFile(io.BytesIO(content))
        self.description: Description = description.read(archive.read(_DESCRIPTION), name)
        try:
            exported: Any = jax.export.deserialize(bytearray(archive.read(_PROGRAM)))
        except Exception as error:
            raise ConfigError(
                [
                    f"--model: JAX {jax.__version__} does not read {name}, which JAX {self.description.jax} wrote; "
                    f"install jax=={self.description.jax}, or export the run again"
                ]
            ) from error
        self._call = exported.call

    def probabilities(self, images: Images) -> Float32[np.ndarray, "n k"]:
        """Computes the probabilities of images."""
        return np.asarray(self._call(images))
