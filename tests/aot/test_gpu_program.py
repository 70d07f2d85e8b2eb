"""Figures of GPU programs: by hand from written text, then of small networks that are compiled for absent GPUs.

The compiled ones need `requirements-gpu-compile.txt`, which `make test-gpu-programs` installs; no GPU.
"""

import functools
import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from cnn_jax import compilation, ops
from cnn_jax.aot import compiler, gpu_program, lowering, topology, traffic
from cnn_jax.aot.job import Compiled, Job
from cnn_jax.config.parsing import parse
from cnn_jax.hlo import Module
from cnn_jax.ops.platform import building_for
from cnn_jax.train import sharding
from cnn_jax.train.step import StepConfig, state_shape, train_step

WITH_PLUGIN = pytest.mark.skipif(
    importlib.util.find_spec("jax_cuda12_plugin") is None, reason="needs requirements-gpu-compile.txt"
)
GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"
BOTTLENECKS = {"name": "resnet", "depth": 50, "width": 8, "bottleneck_width": 1, "compute": "bfloat16"}

# A convolution of 8x8 maps of 3 channels with 16 kernels of 3x3, its two gradients, and the product after it.
PROGRAM = """HloModule jit_step, is_scheduled=true

%product (p: f32[2,16], q: f32[16,10]) -> f32[2,10] {
  %p = f32[2,16]{1,0} parameter(0)
  %q = f32[16,10]{1,0} parameter(1)
  ROOT %dot.1 = f32[2,10]{1,0} dot(%p, %q), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

ENTRY %main (x: bf16[2,8,8,3], w: bf16[16,3,3,3], dy: bf16[2,8,8,16], a: f32[2,16], b: f32[16,10]) -> f32[2,10] {
  %x = bf16[2,8,8,3]{3,2,1,0} parameter(0)
  %w = bf16[16,3,3,3]{3,2,1,0} parameter(1)
  %dy = bf16[2,8,8,16]{3,2,1,0} parameter(2)
  %a = f32[2,16]{1,0} parameter(3)
  %b = f32[16,10]{1,0} parameter(4)
  %y = (bf16[2,8,8,16]{3,2,1,0}, u8[0]{0}) custom-call(%x, %w), window={size=3x3 pad=1_1x1_1}, \
dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward"
  %dx = (bf16[2,8,8,3]{3,2,1,0}, u8[0]{0}) custom-call(%dy, %w), window={size=3x3 pad=1_1x1_1}, \
dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBackwardInput"
  %dw = (bf16[16,3,3,3]{3,2,1,0}, u8[0]{0}) custom-call(%x, %dy), window={size=3x3 pad=1_1x1_1}, \
dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBackwardFilter"
  %turned = f32[2,16]{0,1} copy(%a)
  ROOT %logits = f32[2,10]{1,0} fusion(%turned, %b), kind=kCustom, calls=%product
}
"""

LAUNCHES = """001: kCustomKernel  [source] loop_convert_fusion grid: [10, 1, 1]
000: kCommandBuffer [prev=003 (1)  | next=012 (1) ]
    004: kCustomKernel [source] input_reduce_fusion
    005: kCopy [prev=004 (1)] copy
003: kConvolution   [prev=000 (1)] kConvolution
000: kWhile [prev=003 (1)]
    006: kConvolution [source] kConvolution
"""


def test_a_program_written_by_hand():
    found = gpu_program.read(Module(PROGRAM))
    # 2 x 8 x 8 x 16 results of 3 x 3 x 3 products for each of the three convolutions; 2 x 10 of 16
    assert found.flops == 3 * 2 * (2 * 8 * 8 * 16) * 27 + 2 * 20 * 16
    assert found.convolutions == (("bf16 NHWC", 3),)
    assert (found.narrow, found.grouped, found.rearranged, found.rearranged_bytes) == (3, 0, 1, 2 * 16 * 4)


def test_other_layouts_are_told():
    channels_first = PROGRAM.replace("%x = bf16[2,8,8,3]{3,2,1,0}", "%x = bf16[2,8,8,3]{2,1,3,0}")
    assert gpu_program.read(Module(channels_first)).convolutions == (("bf16 NCHW", 2), ("bf16 NHWC", 1))


def test_launches():
    assert gpu_program.count_launches(LAUNCHES) == gpu_program.Launches(kernels=5, graphs=1, alone=3)


def compiled(model, topology="h100", batch=8, size=32, **sections) -> Compiled:
    fields = {"model": model, "train": {"batch_size": 64}, "optimizer": {"name": "sgd"}, **sections}
    answer = compiler.compile_program(Job(parse(fields), (size, size, 3), 10, topology, "train", batch), print).answer
    assert isinstance(answer, Compiled), answer
    return answer


@pytest.fixture(scope="module")
def alone():
    return compiled(BOTTLENECKS)


@WITH_PLUGIN
def test_convolutions_keep_channels_last(alone):
    # 53 convolutions: forward, the kernel's gradient, and the input's for all but the first
    assert alone.gpu.convolutions == (("bf16 NHWC", 3 * 53 - 1),)
    # The program's arithmetic is counted from its text, the network's from the layer table.
    assert alone.flops == pytest.approx(alone.model_flops, rel=0.05)


@WITH_PLUGIN
def test_no_product_of_the_backward_pass_waits_for_an_exchange_of_gradients():
    found = compiled({**BOTTLENECKS, "norm_images": 8}, "h100:8").collectives
    assert 1 < len(found) <= 5  # 38 where updates are fused with the casts of kernels
    assert all("statistics" not in each.carries for each in found)


@WITH_PLUGIN
def test_statistics_take_one_pass(alone):
    # With a pass for the mean and another for the variance it is 925 kernels, which leaves fewer than two a norm.
    assert alone.gpu.launches.kernels <= 925 - 53


@WITH_PLUGIN
def test_the_stem_reads_four_channels(alone):
    assert alone.gpu.narrow == 0  # 2 by XLA alone, which adds a channel in float16 and not in bfloat16


@WITH_PLUGIN
def test_parameters_layouts_cost_little(alone):
    # Copies and transposes, most of them of kernels for cuDNN, write no more than the state twice, whatever the batch.
    assert alone.gpu.grouped == 0
    assert alone.gpu.rearranged_bytes <= 2 * alone.memory.arguments


@WITH_PLUGIN
def test_a_step_is_one_graph_by_the_flag_of_the_guide(monkeypatch, alone):
    assert alone.gpu.launches.graphs > 1
    flag = next(line for line in GUIDE.read_text().splitlines() if "--xla_gpu_enable_command_buffer=" in line)
    monkeypatch.setenv("XLA_FLAGS", flag.partition("XLA_FLAGS=")[2].partition(" ")[0])
    whole = compiled(BOTTLENECKS).gpu.launches
    assert (whole.graphs, whole.alone) == (1, 0)


@WITH_PLUGIN
@pytest.mark.parametrize("card", ["a100", "h200", "l4", "t4"])
def test_every_card_has_a_compiler(card):
    found = compiled({"name": "cnn", "features": [8], "pooling": ["max"]}, card, size=8)
    assert found.gpu.launches.kernels > 0
    assert found.flops == pytest.approx(found.model_flops, rel=0.1)


def module_for_h100(function, *arguments):
    """Compiles a function of shapes; the step's own compilation takes many times as long."""
    with building_for("gpu"):
        where = sharding.replicated(sharding.data_mesh(lowering.devices_of(topology.parse("h100"))))
        lowered = jax.jit(function, in_shardings=where, out_shardings=where).lower(*arguments)
        return Module(lowered.compile(compilation.options()).as_text())


def bottlenecks(parts, params, x):
    """Loss of two blocks of 1x1, 3x3 and 1x1 convolutions with norms."""
    for kernels, scales, biases in params:
        y = x
        for number, (kernel, scale, bias) in enumerate(zip(kernels, scales, biases, strict=True)):
            y = ops.conv2d(jax.nn.relu(y) if number else y, kernel.astype(y.dtype))
            y = ops.batch_norm_train(y, scale, bias, shift=jnp.zeros(bias.shape), parts=parts)[0]
        x = jax.nn.relu(y + x)
    return jnp.mean(jnp.square(x.astype(jnp.float32)))


@WITH_PLUGIN
@pytest.mark.parametrize(("size", "channels"), [(56, 256), (28, 512), (14, 1024)])
def test_norms_by_parts_move_no_more_than_those_of_a_whole_batch(size, channels):
    array, narrow = jax.ShapeDtypeStruct, channels // 4
    shapes = (1, 1, channels, narrow), (3, 3, narrow, narrow), (1, 1, narrow, channels)
    kernels = [array(shape, jnp.float32) for shape in shapes]
    vectors = [array(shape[-1:], jnp.float32) for shape in shapes]
    blocks, maps = [(kernels, vectors, vectors)] * 2, array((256, size, size, channels), jnp.bfloat16)

    def maps_moved(parts):
        gradient = jax.grad(functools.partial(bottlenecks, parts), argnums=(0, 1))
        moved = traffic.off_chip(module_for_h100(gradient, blocks, maps), slices_in_fusions=True)
        return moved / (2 * maps.size)  # feature maps of the blocks' outputs that are read or written

    whole, parts = maps_moved(1), maps_moved(8)
    assert 40 < whole <= 50  # 48.0, 51.1 and 51.5 with the norm as (x - mean) * factor + bias
    assert parts <= 1.01 * whole  # 53.2, 51.3 and 52.0 with the parts as a fifth dimension


@WITH_PLUGIN
def test_an_ensemble_moves_as_much_as_its_members_alone():
    members, job = 8, Job(parse({"model": {"name": "cnn"}}), (28, 28, 1), 10, "h100", "train")
    config = StepConfig.of(job.experiment, 10)
    one = state_shape(config, job.image_shape), lowering._batch_shape(job, 32), jax.eval_shape(jax.random.key, 0)
    many = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype), one)

    def step(state, batch, key):
        return train_step(config, state, batch, jnp.float32(0.1), key)

    alone, ensemble = module_for_h100(step, *one), module_for_h100(jax.vmap(step), *many)
    moved = [traffic.off_chip(module, slices_in_fusions=True) for module in (alone, ensemble)]
    assert moved[1] <= 1.02 * members * moved[0]  # 1.25 with kernels' gradients by forward convolutions
    assert gpu_program.read(ensemble).grouped == gpu_program.read(alone).convolutions[0][1]
