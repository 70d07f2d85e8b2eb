"""Lowers the train and eval steps for devices that need not be attached, without creating arrays."""

from __future__ import annotations

import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import topologies

from cnn_jax.aot.job import Job
from cnn_jax.aot.topology import Topology
from cnn_jax.config import Experiment
from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.device import pipeline
from cnn_jax.data.sources.declared import pixel_type
from cnn_jax.geometry import preflight
from cnn_jax.train import sharding
from cnn_jax.train.step import StepConfig, eval_step, state_shape, train_step


def devices_of(topology: Topology) -> list[Any]:
    """Returns JAX's devices of a topology; named TPUs and GPUs need not be attached.

    Raises:
      ConfigError: If the compiler for absent TPUs or GPUs is not installed.
      RuntimeError: If JAX has no such devices.
    """
    if (description := topology.gpu_description) is not None:
        if importlib.util.find_spec("jax_cuda12_plugin") is None:
            raise ConfigError(
                [
                    f"--topology: {topology.text} needs the compiler in JAX's CUDA plugin, which is not installed: "
                    "pip install --no-deps -r requirements-gpu-compile.txt"
                ]
            )
        shape = f"1x1x{topology.chips}"
        text = description.read_text(encoding="utf-8")
        return list(topologies.get_topology_desc(platform="cuda", topology=shape, target_config=text).devices)
    if topology.platform != "tpu":
        return jax.devices(topology.platform)
    if importlib.util.find_spec("libtpu") is None:
        raise ConfigError(
            [
                f"--topology: {topology.text} needs the compiler in libtpu, which is not installed: "
                "pip install -r requirements-tpu.txt"
            ]
        )
    # A host has up to 2 x 2 chips of a slice.
    sides = (*topology.shape, 1)[:3]
    return list(
        topologies.get_topology_desc(
            topology.text,
            "tpu",
            chips_per_host_bounds=[min(side, most) for side, most in zip(sides, (2, 2, 1), strict=True)],
            # The two cores of a v4 chip form one device, as in Cloud TPU.
            chip_config_name="megacore" if topology.text.startswith("v4:") else "default",
        ).devices
    )


def batch_of(job: Job, devices: int, per_chip: int) -> int:
    """Returns the number of images per device, from --batch_per_chip or from the config's batch.

    Args:
      job: Program to compile.
      devices: Number of devices that share a batch.
      per_chip: Devices per chip.

    Raises:
      ConfigError: If the batch does not divide over the devices.
    """
    if (wanted := job.batch_per_chip) is not None:
        if wanted % per_chip:
            raise ConfigError(
                [f"--batch_per_chip={wanted}: a chip of {job.topology} has {per_chip} devices; use {wanted + 1}"]
            )
        return wanted // per_chip
    train = job.experiment.train
    if job.program == "eval":
        return preflight.whole_batch(train.eval_batch_size, devices) // devices
    if (fault := preflight.indivisible(train, devices)) is not None:
        raise ConfigError([f"{fault}; or set the images per chip with --batch_per_chip"])
    return train.batch_size // devices


def with_batch(experiment: Experiment, batch_size: int) -> Experiment:
    """Returns a copy of an experiment with another batch size."""
    return experiment.model_copy(update={"train": experiment.train.model_copy(update={"batch_size": batch_size})})


def lower(job: Job, batch: int, devices: list[Any]) -> jax.stages.Lowered:
    """Lowers one step as in training on streamed batches, with the batch sharded over all devices.

    Args:
      job: Program to compile.
      batch: Images per device.
      devices: Devices from `devices_of`.

    Returns:
      The lowered program.
    """
    mesh = sharding.data_mesh(devices)
    replicated, sharded = sharding.replicated(mesh), sharding.one_batch(mesh)
    experiment = job.experiment
    config = StepConfig.of(experiment, job.classes, mesh.abstract_mesh)
    state = state_shape(config, job.image_shape)
    of_state = sharding.of_state(state, mesh, experiment.train)
    batch_shape = _batch_shape(job, batch * len(devices))
    of_batch = pipeline.Batch(sharded, sharded, sharded, replicated)  # type: ignore[arg-type]
    if job.program == "eval":
        in_shardings: tuple[Any, ...] = (of_state.variables, of_batch)
        evaluate = jax.jit(eval_step, static_argnums=0, in_shardings=in_shardings, out_shardings=replicated)
        return evaluate.lower(config, state.variables, batch_shape)
    step = jax.jit(
        train_step,
        static_argnums=0,
        in_shardings=(of_state, of_batch, replicated, replicated),
        out_shardings=(of_state, replicated),
        donate_argnums=1,
    )
    learning_rate, key = jax.ShapeDtypeStruct((), jnp.float32), jax.eval_shape(jax.random.key, 0)
    return step.lower(config, state, batch_shape, learning_rate, key)


def _batch_shape(job: Job, images: int) -> pipeline.Batch:
    """Returns the shapes and types of a batch."""

    def array(*shape: int, dtype: Any = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype)

    channels, colours = job.image_shape[2], None
    if pipeline.wants_colours(job.experiment.augment):
        colours = pipeline.Colours(array(channels), array(channels), array(channels, channels))
    preprocessing = pipeline.Preprocessing(pipeline.Normalization(array(channels), array(channels)), colours)
    pixels, labels = (
        array(images, *job.image_shape, dtype=pixel_type(job.experiment.data)),
        array(images, dtype=jnp.int32),
    )
    return pipeline.Batch(pixels, labels, array(images), preprocessing)
