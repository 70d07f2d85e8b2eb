"""The real train and eval steps, lowered for devices that need not be here; no array is made."""

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
    """The devices that a program is compiled for.

    Args:
      topology: Topology of TPUs or of GPUs by name, which need not be here; or this machine's CPU or GPUs.

    Returns:
      JAX's devices.

    Raises:
      ConfigError: where the compiler of absent TPUs or GPUs is missing.
      RuntimeError: where JAX has no such devices.
    """
    if (description := topology.gpu_description) is not None:
        if importlib.util.find_spec("jax_cuda12_plugin") is None:
            raise ConfigError(
                [
                    f"--topology: {topology.text} is compiled for by JAX's CUDA plugin, which is not installed: "
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
                f"--topology: {topology.text} is compiled for by libtpu, which is not installed: "
                "pip install -r requirements-tpu.txt"
            ]
        )
    # A host has 2 x 2 chips of a slice, and of a smaller one all.
    sides = (*topology.shape, 1)[:3]
    return list(
        topologies.get_topology_desc(
            topology.text,
            "tpu",
            chips_per_host_bounds=[min(side, most) for side, most in zip(sides, (2, 2, 1), strict=True)],
            # The two cores of a v4 chip work as one device, as they do in Cloud TPU.
            chip_config_name="megacore" if topology.text.startswith("v4:") else "default",
        ).devices
    )


def batch_of(job: Job, devices: int, per_chip: int) -> int:
    """Images of one device.

    Args:
      job: Config, and which of its programs.
      devices: Number of devices that share a batch.
      per_chip: Devices of one chip.

    Returns:
      As many as --batch_per_chip asks for, else as the config's batch gives.

    Raises:
      ConfigError: where the devices cannot share the batch evenly.
    """
    if (wanted := job.batch_per_chip) is not None:
        if wanted % per_chip:
            raise ConfigError(
                [f"--batch_per_chip={wanted}: a chip of {job.topology} is {per_chip} devices; use {wanted + 1}"]
            )
        return wanted // per_chip
    train = job.experiment.train
    if job.program == "eval":
        return preflight.whole_batch(train.eval_batch_size, devices) // devices
    if (fault := preflight.indivisible(train, devices)) is not None:
        raise ConfigError([f"{fault}; or give the images of one chip by --batch_per_chip"])
    return train.batch_size // devices


def with_batch(experiment: Experiment, batch_size: int) -> Experiment:
    """Gives an experiment another batch size."""
    return experiment.model_copy(update={"train": experiment.train.model_copy(update={"batch_size": batch_size})})


def lower(job: Job, batch: int, devices: list[Any]) -> jax.stages.Lowered:
    """Lowers one step as training on streamed batches runs it: the batch spread over all devices.

    Args:
      job: Config, and which of its steps.
      batch: Images of one device.
      devices: As `devices_of` gives them.

    Returns:
      The lowered program.
    """
    mesh = sharding.data_mesh(devices)
    everywhere, spread = sharding.replicated(mesh), sharding.one_batch(mesh)
    experiment = job.experiment
    config = StepConfig.of(experiment, job.classes, mesh.abstract_mesh)
    state = state_shape(config, job.image_shape)
    where = sharding.of_state(state, mesh, experiment.train)
    batch_like = _batch_like(job, batch * len(devices))
    batch_where = pipeline.Batch(spread, spread, spread, everywhere)  # type: ignore[arg-type]
    if job.program == "eval":
        in_shardings: tuple[Any, ...] = (where.variables, batch_where)
        evaluate = jax.jit(eval_step, static_argnums=0, in_shardings=in_shardings, out_shardings=everywhere)
        return evaluate.lower(config, state.variables, batch_like)
    step = jax.jit(
        train_step,
        static_argnums=0,
        in_shardings=(where, batch_where, everywhere, everywhere),
        out_shardings=(where, everywhere),
        donate_argnums=1,
    )
    learning_rate, key = jax.ShapeDtypeStruct((), jnp.float32), jax.eval_shape(jax.random.key, 0)
    return step.lower(config, state, batch_like, learning_rate, key)


def _batch_like(job: Job, images: int) -> pipeline.Batch:
    """The shapes and types of a batch."""

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
