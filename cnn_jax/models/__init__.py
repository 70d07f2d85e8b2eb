"""Creates networks by name, and gives access to them as pure functions: `init`, `apply` and access to layers."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from cnn_jax import ops
from cnn_jax.blocks import Policy
from cnn_jax.blocks.flax_layers import emitting_flax_layers
from cnn_jax.blocks.kernels import KernelSpec, initial_kernels_from, split_kernels, standard_numbers
from cnn_jax.config import Model as ModelConfig
from cnn_jax.config import registry
from cnn_jax.config.model import NETWORKS
from cnn_jax.layer_rows import LayerRow, LayerTrace, Stopped, trace_layers
from cnn_jax.models.layer_graph import LayerNode, trace_graph
from cnn_jax.models.row_checks import check_rows
from cnn_jax.ops.platform import building_for
from cnn_jax.words import unknown_layer

Variables = Mapping[str, Any]


def _tracing_quickly() -> AbstractContextManager[None]:
    """Traces for a TPU, whose operations are traced four times as fast as those for a CPU.

    For results that are the same on every platform: layers and variables.
    """
    return building_for("tpu")


def _initialize(module: nn.Module, image_shape: tuple[int, int, int], key: PRNGKeyArray) -> Variables:
    """Initializes the variables with Flax's `init`."""
    with _tracing_quickly():
        variables: Variables = module.init({"params": key, "dropout": key}, jnp.zeros((1, *image_shape)), train=False)
    return variables


class _Outline(NamedTuple):
    """Layers and initial kernels of a traced network, in order, and the shapes of its variables."""

    rows: tuple[LayerRow, ...]
    kernels: tuple[KernelSpec, ...]
    variables: Variables


@functools.lru_cache(maxsize=16)  # takes 0.2 s for ResNet-50, and a run calls it several times
def _outline(module: nn.Module, image_shape: tuple[int, int, int]) -> _Outline:
    """Traces a network's initialization."""
    kernels: list[KernelSpec] = []

    def collect(spec: KernelSpec) -> Array:
        kernels.append(spec)
        return jnp.zeros(spec.shape)

    key = jax.eval_shape(jax.random.key, 0)  # a key itself would be computed, on a device
    with trace_layers() as trace, emitting_flax_layers(), initial_kernels_from(collect):
        variables = jax.eval_shape(functools.partial(_initialize, module, image_shape), key)
    return _Outline(tuple(trace.rows), tuple(kernels), variables)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _initialize_from(
    module: nn.Module,
    image_shape: tuple[int, int, int],
    specs: tuple[KernelSpec, ...],
    key: PRNGKeyArray,
    numbers: Array,
) -> Variables:
    """Initializes with kernels made from the given numbers.

    Without `jit`, op by op, this would take seconds and half a gigabyte for a ResNet-50.
    """
    kernels = iter(split_kernels(numbers, specs))
    with initial_kernels_from(lambda _: next(kernels)):
        return _initialize(module, image_shape, key)


@dataclasses.dataclass(frozen=True)
class Model:
    """Pure functions of a network's variables."""

    module: nn.Module

    def init(self, key: PRNGKeyArray, image_shape: tuple[int, int, int]) -> Variables:
        """Draws initial variables.

        Args:
          key: Random key of the initial weights.
          image_shape: (height, width, channels) of an image in pixels.

        Returns:
          {"params": ...}, with "batch_stats" if the network has batch norm.

        Raises:
          GeometryError: If the image is too small for a layer; the message names the layer.
        """
        specs = _outline(self.module, image_shape).kernels
        # All kernels come from one draw, from the distribution of the first kernel.
        scheme, count = specs[0].scheme if specs else "lecun_normal", sum(spec.size for spec in specs)
        numbers = standard_numbers(scheme, key, count)
        return _initialize_from(self.module, image_shape, specs, key, numbers)

    def variable_shapes(self, image_shape: tuple[int, int, int]) -> Variables:
        """Returns the shapes and types of the variables that `init` draws, without computing them.

        Args:
          image_shape: (height, width, channels) of an image in pixels.

        Returns:
          The variables of `init`, each a `jax.ShapeDtypeStruct`.

        Raises:
          GeometryError: As for `init`.
        """
        return _outline(self.module, image_shape).variables

    def apply(
        self, variables: Variables, images: Float[Array, "b h w c"], train: bool, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "b k"], tuple[Float[Array, "b k"], ...], Variables]:
        """Classifies images.

        Args:
          variables: Variables as returned by `init`.
          images: Normalized pixels.
          train: Whether to apply dropout, use batch statistics and run auxiliary classifiers.
          key: Random key for dropout, required in training.

        Returns:
          (logits, auxiliary logits, new batch statistics).
        """
        rngs = {} if key is None else {"dropout": key}
        (logits, aux_logits), updates = self.module.apply(variables, images, train, rngs=rngs, mutable=["batch_stats"])
        return logits, aux_logits, updates.get("batch_stats", {})

    def apply_with_layers(
        self,
        variables: Variables,
        images: Float[Array, "b h w c"],
        capture: Iterable[str] | Literal["all"] = (),
        perturb: Mapping[str, Array] | None = None,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Float[Array, "b k"], tuple[Float[Array, "b k"], ...], Variables, dict[str, Array]]:
        """Classifies images, and reads or perturbs the outputs of layers.

        Layers have their names in the layer table. The output of a convolution or dense layer includes its bias; the
        output of any layer is taken before the norm or activation that follows it. The output of an activation directly
        after a layer has the layer's name followed by "/activation" (see `activations`). The gradient with respect to a
        perturbation of zeros is the gradient at that layer. Reading or perturbing a layer's output prevents its fusion
        with the next layer, so results may differ from those of `apply` by rounding.

        Inside `ops.relu_backward`, ReLUs use its backward pass.

        Args:
          variables: Variables as returned by `init`.
          images: Normalized pixels.
          capture: Names of the layers to read, or "all" for every layer that runs.
          perturb: Arrays to add to layers' outputs, by layer name; each broadcasts to the output [b, ...].
          train: Whether to apply dropout, use batch statistics and run auxiliary classifiers.
          key: Random key for dropout, required in training.

        Returns:
          (logits, auxiliary logits, new batch statistics, outputs of the captured layers by name, including
          perturbations).

        Raises:
          ValueError: If a name is not a layer's (the message lists the nearest and all names), if a layer runs only in
            training, or if a perturbation does not broadcast.
        """
        names: frozenset[str] | Literal["all"] = "all"
        if capture != "all":
            names = frozenset((capture,) if isinstance(capture, str) else capture)
        with trace_layers(names, perturb) as trace, emitting_flax_layers():
            logits, aux_logits, batch_stats = self.apply(variables, images, train, key)
        for name in (*(() if names == "all" else sorted(names)), *(perturb or ())):
            if not any(row.name == name for row in trace.rows) and name not in trace.activations:
                image_shape = (images.shape[1], images.shape[2], images.shape[3])
                raise ValueError(_unknown_layer(name, trace.rows, self.layers(image_shape)))
        return logits, aux_logits, batch_stats, trace.outputs

    def apply_part(
        self,
        variables: Variables,
        images: Float[Array, "b h w c"],
        replace: Mapping[str, Array] | None = None,
        stop: str | None = None,
    ) -> Float[Array, "b ..."]:
        """Evaluates part of the network: from given layer outputs, up to a layer.

        Compiled, it computes nothing that only the replaced outputs depend on. Up to layer `stop` the images may have
        any size that these layers accept, even if the network's dense layers do not.

        Args:
          variables: Variables as returned by `init`.
          images: Normalized pixels; if every layer that reads them is replaced, only their shape matters.
          replace: Arrays that replace layers' outputs, by layer name.
          stop: Name of the layer whose output is returned; None returns the logits.

        Returns:
          Output of the layer, before the norm or activation that follows it, or the logits.

        Raises:
          GeometryError: If the images are too small for a layer.
          ValueError: If `stop` or a replaced layer does not run, or a replacement's shape is not the output's.
        """
        return self._part(variables, images, replace, stop)[0]

    def part_rows(self, variables: Variables, image_shape: tuple[int, int, int], stop: str) -> tuple[LayerRow, ...]:
        """Lists the rows of the layers that `apply_part` runs up to a layer, by tracing only.

        Args:
          variables: Variables, or their shapes.
          image_shape: (height, width, channels) of an image in pixels.
          stop: As for `apply_part`.

        Returns:
          The rows in the order of computation.

        Raises:
          GeometryError, ValueError: As for `apply_part`.
        """
        traces: list[LayerTrace] = []

        def run(variables: Variables, images: Array) -> Array:
            output, trace = self._part(variables, images, None, stop)
            traces.append(trace)
            return output

        with _tracing_quickly():
            jax.eval_shape(run, variables, jax.ShapeDtypeStruct((1, *image_shape), jnp.float32))
        return tuple(traces[0].rows)

    def _part(
        self, variables: Variables, images: Array, replace: Mapping[str, Array] | None, stop: str | None
    ) -> tuple[Array, LayerTrace]:
        """Returns the result of `apply_part` and the layers that ran."""
        with trace_layers(replace=replace, stop=stop) as trace, emitting_flax_layers():
            try:
                output = self.apply(variables, images, train=False)[0]
            except Stopped as stopped:
                output = stopped.output
        ran = [row.name for row in trace.rows]
        for name in (*(() if stop is None else (stop,)), *(replace or ())):
            if name not in ran:
                raise ValueError(f"layer {name!r} does not run here; the layers are: {', '.join(ran)}")
        return output, trace

    def layers(self, image_shape: tuple[int, int, int]) -> tuple[LayerRow, ...]:
        """Lists the rows of the layer table in the order of computation, by tracing only.

        Args:
          image_shape: (height, width, channels) of an image in pixels.

        Returns:
          The rows, including auxiliary classifiers.

        Raises:
          GeometryError: As for `init`.
          LayerTableError: If the rows do not account for all parameters; the message names the layers.
        """
        outline = _outline(self.module, image_shape)
        check_rows(outline.rows, outline.variables.get("params", {}))
        return outline.rows

    def activations(self, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
        """Lists the names of the activations that run in evaluation, as `apply_with_layers` takes them.

        Args:
          image_shape: (height, width, channels) of an image in pixels.

        Returns:
          Names in the order of computation: "<layer>/activation", or "image/activation" for the input's.

        Raises:
          GeometryError: As for `init`.
        """
        return _activations(self, image_shape)

    def layer_graph(self, image_shape: tuple[int, int, int]) -> tuple[LayerNode, ...]:
        """Returns the graph of the layers and activations that run in evaluation, by tracing only.

        Args:
          image_shape: (height, width, channels) of an image in pixels.

        Returns:
          The nodes in the order of computation; the last one's output is the logits.

        Raises:
          GeometryError: As for `init`.
        """
        names = [row.name for row in self.layers(image_shape)] + list(self.activations(image_shape))
        shapes = self.variable_shapes(image_shape)
        with _tracing_quickly():
            return trace_graph(lambda v, x: self.apply(v, x, train=False)[0], shapes, image_shape, frozenset(names))


@functools.lru_cache(maxsize=16)
def _activations(model: Model, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    variables = _outline(model.module, image_shape).variables
    # Inside `relu_backward` no activation is fused with a pooling.
    with trace_layers() as trace, emitting_flax_layers(), ops.relu_backward("gradient"), _tracing_quickly():
        jax.eval_shape(lambda v, x: model.apply(v, x, train=False)[0], variables, images)
    return tuple(trace.activations)


def _unknown_layer(name: str, ran: Iterable[LayerRow], rows: Iterable[LayerRow]) -> str:
    """Returns the message for a layer that did not run."""
    if any(row.name == name for row in rows):
        return f"layer {name!r} runs only in training; use train=True"
    return unknown_layer(name, (row.name for row in ran))


def create(config: ModelConfig, num_classes: int, frozen: tuple[str, ...] = ()) -> Model:
    """Creates the network that a config names.

    Args:
      config: Config of one architecture; `config.name` is a key of `NETWORKS`.
      num_classes: Width of the logits.
      frozen: Paths of layers whose running statistics do not change in training.

    Returns:
      The network.

    Raises:
      ValueError: If no network has this name.
    """
    module = registry.builder(NETWORKS, config.name)
    return Model(module(config=config, num_classes=num_classes, policy=Policy.of(config, frozen)))
