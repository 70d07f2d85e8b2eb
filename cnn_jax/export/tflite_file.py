"""TFLite files for phones and small devices, with batch size 1, converted from StableHLO by litert-converter."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import jax
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

IDENTIFIER = b"TFL3"
"""Bytes 4 to 7 of every TFLite file."""
_DESCRIPTION = "description.json"


def write(run: FinishedRun) -> bytes:
    """Exports a finished run's network.

    The description is appended as a zip archive, like TFLite's associated files; `unzip` can read it.

    Args:
      run: Finished run.

    Returns:
      Content of the file.

    Raises:
      ConfigError: If litert-converter is missing or does not support an operation, or the network is too large.
    """
    try:
        from litert_converter import converter_api_ext as converter
        from litert_converter.mlir import ir, passmanager
    except ImportError as error:
        raise ConfigError(
            ["--format=tflite: needs the package litert-converter; docs/export.md explains how to install it"]
        ) from error
    refuse_too_large(run, "tflite")
    pixels = jax.ShapeDtypeStruct((1, *run.image_shape), jnp.dtype(run.dtype))
    with building_for("tpu"):
        module: Any = jax.jit(forward(run)).lower(pixels).compiler_ir("stablehlo")
    bytecode = io.BytesIO()
    module.operation.write_bytecode(bytecode)
    context = ir.Context()
    converter.prepare_mlir_context(context)
    try:
        with context:
            parsed, passes = ir.Module.parse(bytecode.getvalue()), passmanager.PassManager()
            converter.run_convert_to_tfl_passes(parsed, passes, converter.ConvertToTFLConfig())
            passes.run(parsed.operation)
            program = converter.export_flatbuffer_to_bytes(parsed.operation)
    except (ir.MLIRError, RuntimeError) as error:
        raise ConfigError(
            [f"--format=tflite: litert-converter refuses the network ({error}); --format=onnx writes every network"]
        ) from error
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        described = description.describe(run).model_dump_json(indent=2).replace(seal.PLACE, "the archive's comment")
        archive.writestr(zipfile.ZipInfo(_DESCRIPTION), described)
        archive.comment = seal.PLACE.encode()
    return seal.seal(program + buffer.getvalue())


class Program:
    """A TFLite file in LiteRT, ready to call."""

    def __init__(self, content: bytes, name: str):
        """Reads the content of a file.

        Raises:
          ConfigError: If ai-edge-litert is missing.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ConfigError(
                [f"--model: {name} needs the package ai-edge-litert; pip install ai-edge-litert"]
            ) from error
        self.description: Description = description.read(zipfile.ZipFile(io.BytesIO(content)).read(_DESCRIPTION), name)
        self._interpreter: Any = Interpreter(model_content=content)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def probabilities(self, images: Images) -> Float32[np.ndarray, "n k"]:
        """Computes the probabilities of images, one after another."""
        found = []
        for image in images:
            self._interpreter.set_tensor(self._input, image[None])
            self._interpreter.invoke()
            found.append(self._interpreter.get_tensor(self._output)[0])
        return np.asarray(found)
