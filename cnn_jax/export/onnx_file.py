"""ONNX files with opset 17 and any batch size, converted from the traced network by `onnx_graph`."""

from __future__ import annotations

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

_BATCH = 3  # batch size of the trace
_KEY = "cnn_jax"
_OPSET = 17


def write(run: FinishedRun) -> bytes:
    """Exports a finished run's network.

    Args:
      run: Finished run.

    Returns:
      Content of the file.

    Raises:
      ConfigError: If the package onnx is missing, the network is too large, or ONNX has no counterpart of an operation.
    """
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError as error:
        raise ConfigError(["--format=onnx: needs the package onnx; pip install onnx"]) from error
    from cnn_jax.export import onnx_graph
    from cnn_jax.export.onnx_values import UnsupportedError

    refuse_too_large(run, "onnx")
    pixels = jax.ShapeDtypeStruct((_BATCH, *run.image_shape), jnp.dtype(run.dtype))
    with building_for("tpu"):
        closed = jax.make_jaxpr(forward(run))(pixels)
    try:
        graph, output = onnx_graph.convert(closed, "images")
    except UnsupportedError as error:
        raise ConfigError([f"--format=onnx: {error}; --format=stablehlo writes every network"]) from error
    pixel_type = TensorProto.UINT8 if run.dtype == "uint8" else TensorProto.FLOAT
    images = helper.make_tensor_value_info("images", pixel_type, ["batch", *run.image_shape])
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(run.class_names)])
    graph.nodes.append(helper.make_node("Identity", [output], ["probabilities"], name="probabilities"))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "network", [images], [probabilities], list(graph.initializers.values())),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=8,
        producer_name="cnn_jax",
    )
    helper.set_model_props(model, {_KEY: description.describe(run).model_dump_json()})
    onnx.checker.check_model(model, full_check=True)
    return seal.seal(model.SerializeToString(deterministic=True))


class Program:
    """An ONNX file in onnxruntime, ready to call."""

    def __init__(self, content: bytes, name: str):
        """Reads the content of a file.

        Raises:
          ConfigError: If onnxruntime is missing.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError([f"--model: {name} needs the package onnxruntime; pip install onnxruntime"]) from error
        self._session: Any = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.description: Description = description.read(metadata.get(_KEY, "{}"), name)

    def probabilities(self, images: Images) -> Float32[np.ndarray, "n k"]:
        """Computes the probabilities of images."""
        found: np.ndarray = self._session.run(None, {"images": images})[0]
        return found
