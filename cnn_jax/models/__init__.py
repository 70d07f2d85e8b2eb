"""The registry of networks, and all that training knows of one: `init` and `apply`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
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


def _initialize(module: nn.Module, image_shape: tuple[int, int, int], key: PRNGKeyArray) -> Variables:
    """Initialises by Flax alone.

    Layers and variables are the same for every platform, and nothing else is computed; the operations for a
    TPU are traced in a quarter of the time that those for a CPU take.
    """
    with building_for("tpu"):
        variables: Variables = module.init({"params": key, "dropout": key}, jnp.zeros((1, *image_shape)), train=False)
    return variables


class _Outline(NamedTuple):
    """A network as it is traced: its layers and initial kernels in order, and the shapes of its variables."""

    rows: tuple[LayerRow, ...]
    kernels: tuple[KernelSpec, ...]
    variables: Variables


@functools.lru_cache(maxsize=16)  # of ResNet-50 it takes a fifth of a second, and a run asks for it several times
def _outline(module: nn.Module, image_shape: tuple[int, int, int]) -> _Outline:
    """Initialises a network without computing anything."""
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
    """Initialises with kernels made of given numbers, in one program.

    Operation by operation it would cost seconds and half a gigabyte for a ResNet-50.
    """
    kernels = iter(split_kernels(numbers, specs))
    with initial_kernels_from(lambda _: next(kernels)):
        return _initialize(module, image_shape, key)


@dataclasses.dataclass(frozen=True)
class Model:
    """A network as pure functions of its variables."""

    module: nn.Module

    def init(self, key: PRNGKeyArray, image_shape: tuple[int, int, int]) -> Variables:
        """Draws initial variables.

        Args:
          key: Random key of the initial weights.
          image_shape: (height, width, channels) of an image in pixels.

        Returns:
          {"params": ..., and "batch_stats": ... where the network normalises by batch}.

        Raises:
          GeometryError: Where the image is too small for a layer; the message names it.
        """
        specs = _outline(self.module, image_shape).kernels
        # All kernels are made of one draw, by the distribution of the first.
        scheme, count = specs[0].scheme if specs else "lecun_normal", sum(spec.size for spec in specs)
        numbers = standard_numbers(scheme, key, count)
        return _initialize_from(self.module, image_shape, specs, key, numbers)

    def variable_shapes(self, image_shape: tuple[int, int, int]) -> Variables:
        """Gives the shapes and types of the variables that `init` draws; nothing is computed.

        Args:
          image_shape: (height, width, channels) of an image in pixels.

        Returns:
          As `init` gives them, with a `jax.ShapeDtypeStruct` in place of each array.

        Raises:
          GeometryError: As for `init`.
        """
        return _outline(self.module, image_shape).variables

    def apply(
        self, variables: Variables, images: Float[Array, "b h w c"], train: bool, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "b k"], tuple[Float[Array, "b k"], ...], Variables]:
        """Classifies images.

        Args:
          variables: Variables as `init` gives them.
          images: Normalised pixels.
          train: Whether dropout and batch statistics are those of training.
          key: Random key for dropout; needed in training.

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
        """Classifies images, reading and perturbing the outputs of layers.

        Called inside `ops.relu_backward`, the rectifiers have that backward pass.

        Layers are named as in the layer table. A layer's output is what the layer by itself computes: of a convolution
        or a dense layer the products and the bias, before a norm or an activation that follows; of a norm, a pooling or
        an addition likewise before the activation. The output of an activation that follows a layer directly has the
        layer's name with "/activation" after it (`activations` lists them). The gradient with respect to a perturbation
        of zeros is the gradient at that layer. Layers that are fused otherwise are computed apart where their outputs
        are read or perturbed, so that results may differ from those of `apply` by rounding.

        Args:
          variables: Variables as `init` gives them.
          images: Normalised pixels.
          capture: Names of the layers to read, or "all" for every layer that runs.
          perturb: Arrays to add to layers' outputs, by the layers' names; each broadcasts to the output [b, ...].
          train: Whether dropout and batch statistics are those of training, and auxiliary classifiers run.
          key: Random key for dropout; needed in training.

        Returns:
          (logits, auxiliary logits, new batch statistics, outputs of the captured layers by name, perturbations
          included).

        Raises:
          ValueError: For a name that is no layer's, with the nearest and all names; for a layer that runs in training
            alone; for a perturbation that does not broadcast.
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
        """Computes a part of the network in evaluation: from given outputs of layers, up to a layer.

        What only the replaced outputs depend on is not computed, once compiled. Up to a layer the images may have any
        size that these layers take, even one that the network's dense layers are not made for.

        Args:
          variables: Variables as `init` gives them.
          images: Normalised pixels; where all that reads them is replaced, their size alone counts.
          replace: Arrays in place of layers' outputs, by the layers' names in the layer table.
          stop: Name of the layer whose output is the result. Defaults to the logits.

        Returns:
          Output of the layer, before a norm or an activation that follows, or the logits.

        Raises:
          GeometryError: Where the images are too small for a layer.
          ValueError: Where `stop` or a replaced layer is not among those that run, or a replacement has another shape
            than the output.
        """
        return self._part(variables, images, replace, stop)[0]

    def part_rows(self, variables: Variables, image_shape: tuple[int, int, int], stop: str) -> tuple[LayerRow, ...]:
        """Lists the rows of the layers that `apply_part` runs up to a layer; nothing is computed.

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

        jax.eval_shape(run, variables, jax.ShapeDtypeStruct((1, *image_shape), jnp.float32))
        return tuple(traces[0].rows)

    def _part(
        self, variables: Variables, images: Array, replace: Mapping[str, Array] | None, stop: str | None
    ) -> tuple[Array, LayerTrace]:
        """The result of `apply_part`, and the layers that ran."""
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
        """Lists the rows of the layer table in the order of computation; nothing is computed.

        Args:
          image_shape: (height, width, channels) of an image in pixels.

        Returns:
          The rows, auxiliary classifiers included.

        Raises:
          GeometryError: As for `init`.
          LayerTableError: Where the rows do not account for all parameters, the layers named.
        """
        outline = _outline(self.module, image_shape)
        check_rows(outline.rows, outline.variables.get("params", {}))
        return outline.rows

    def activations(self, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
        """Lists the activations that run in evaluation, by the names under which their outputs are read and perturbed.

        Args:
          image_shape: (height, width, channels) of an image in pixels.

        Returns:
          Names in the order of computation: each a layer's with "/activation" after it, or "image/activation".

        Raises:
          GeometryError: As for `init`.
        """
        return _activations(self, image_shape)

    def layer_graph(self, image_shape: tuple[int, int, int]) -> tuple[LayerNode, ...]:
        """Gives the layers and activations that run in evaluation, and what each reads; nothing is computed.

        Args:
          image_shape: (height, width, channels) of an image in pixels.

        Returns:
          The nodes in the order of computation; the last one's output is the logits.

        Raises:
          GeometryError: As for `init`.
        """
        names = [row.name for row in self.layers(image_shape)] + list(self.activations(image_shape))
        shapes = self.variable_shapes(image_shape)
        return trace_graph(lambda v, x: self.apply(v, x, train=False)[0], shapes, image_shape, frozenset(names))


@functools.lru_cache(maxsize=16)
def _activations(model: Model, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    variables = _outline(model.module, image_shape).variables
    # With a backward pass of rectifiers no activation is fused with a pooling.
    with trace_layers() as trace, emitting_flax_layers(), ops.relu_backward("gradient"):
        jax.eval_shape(lambda v, x: model.apply(v, x, train=False)[0], variables, images)
    return tuple(trace.activations)


def _unknown_layer(name: str, ran: Iterable[LayerRow], rows: Iterable[LayerRow]) -> str:
    """The error for a layer that did not run."""
    if any(row.name == name for row in rows):
        return f"layer {name!r} runs in training alone; use train=True"
    return unknown_layer(name, (row.name for row in ran))


def create(config: ModelConfig, num_classes: int, frozen: tuple[str, ...] = ()) -> Model:
    """Builds the network that a config names, by its entry in `NETWORKS`.

    Args:
      config: Config of one architecture, told by its `name`.
      num_classes: Width of the logits.
      frozen: Paths of layers whose batch statistics stand still in training.

    Returns:
      The network.

    Raises:
      ValueError: Where no network has this name.
    """
    module = registry.builder(NETWORKS, config.name)
    return Model(module(config=config, num_classes=num_classes, policy=Policy.of(config, frozen)))
