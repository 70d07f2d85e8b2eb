"""Exchanges between devices, read from a program written by hand."""

from cnn_jax.aot import collectives
from cnn_jax.aot.collectives import GRADIENTS, NUMBERS, STATISTICS, Collective
from cnn_jax.hlo import Module

# A step in small: a statistic of the forward pass (%mean) and one of the backward pass (%sums) on which products
# depend; two gradients in one exchange with the loss, one of them started and done apart; gathered weights.
PROGRAM = """HloModule jit_step, is_scheduled=true, entry_computation_layout={(f32[8,64]{1,0}, f32[64,10]{1,0})->f32[]}

%add.clone (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

%fused_product (p: f32[8,64], q: f32[64,10]) -> f32[8,10] {
  %p = f32[8,64]{1,0} parameter(0)
  %q = f32[64,10]{1,0} parameter(1)
  ROOT %dot.1 = f32[8,10]{1,0} dot(%p, %q), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%fused_update (p: f32[64,10], q: bf16[64,10]) -> f32[64,10] {
  %p = f32[64,10]{1,0} parameter(0)
  %q = bf16[64,10]{1,0} parameter(1)
  %wide = f32[64,10]{1,0} convert(%q)
  ROOT %new = f32[64,10]{1,0} subtract(%p, %wide)
}

ENTRY %main.9_spmd (images: f32[8,64], weights: f32[64,10]) -> (f32[64,10], f32[64]) {
  %images = f32[8,64]{1,0:T(8,128)} parameter(0)
  %weights = f32[64,10]{1,0:T(8,128)} parameter(1)
  %partial = f32[64]{0:T(128)S(1)} reduce(%images), dimensions={0}, to_apply=%add.clone
  %mean = f32[64]{0:T(128)S(1)} all-reduce(%partial), channel_id=1, replica_groups={{0,1}}, to_apply=%add.clone, \
metadata={op_name="jit(f)/jvp(Net)/norm/reduce_sum"}
  %whole = (f32[32,10]{1,0}, f32[64,10]{1,0}) all-gather-start(%weights), channel_id=5, dimensions={0}
  %weights.1 = f32[64,10]{1,0} all-gather-done(%whole)
  %normal = f32[8,64]{1,0} subtract(%images, %mean)
  %logits = f32[8,10]{1,0} fusion(%normal, %weights.1), kind=kOutput, calls=%fused_product
  %sums = f32[64]{0} all-reduce(%partial), channel_id=2, to_apply=%add.clone, \
metadata={op_name="jit(f)/transpose(jvp(Net))/norm/reduce_sum"}
  %toward = f32[8,64]{1,0} multiply(%normal, %sums)
  %small = bf16[64,10]{1,0} convolution(%toward, %logits), dim_labels=fb_io->bf
  %of_bias = f32[64]{0} reduce(%toward), dimensions={0}, to_apply=%add.clone
  %loss = f32[] constant(1)
  %together = (bf16[64,10]{1,0:T(8,128)(2,1)}, f32[], /*index=2*/f32[64]{0}) all-reduce-start(%small, %loss, \
%of_bias), channel_id=3, to_apply=%add.clone, metadata={op_name="jit(f)/transpose(jvp(Net))/conv_general_dilated"}
  %done = (bf16[64,10]{1,0}, f32[], f32[64]{0}) all-reduce-done(%together)
  %of_weights = bf16[64,10]{1,0} get-tuple-element(%done), index=0
  %new_bias = f32[64]{0} get-tuple-element(%done), index=2
  %new = f32[64,10]{1,0} fusion(%weights, %of_weights), kind=kLoop, calls=%fused_update
  ROOT %out = (f32[64,10]{1,0}, f32[64]{0}) tuple(%new, %new_bias)
}
"""


def test_what_each_exchange_carries():
    assert collectives.read(Module(PROGRAM)) == (
        Collective("all-reduce", 64 * 4, (STATISTICS,)),
        Collective("all-gather", 64 * 10 * 4, (STATISTICS,), 0.0),
        Collective("all-reduce", 64 * 4, (STATISTICS,)),
        Collective("all-reduce", 64 * 10 * 2 + 4 + 64 * 4, (GRADIENTS, NUMBERS), 0.0),
    )


def test_products_between_start_and_end():
    # the product of 8x64 and 64x10 moves between the start of the last exchange and its end
    line = next(line for line in PROGRAM.splitlines(True) if "%logits =" in line)
    later = PROGRAM.replace(line, "").replace("  %done =", line + "  %done =")
    assert collectives.read(Module(later))[-1].work == 2 * 8 * 10 * 64


def test_totals():
    assert collectives.totals(collectives.read(Module(PROGRAM))) == {
        ("all-reduce", "statistics"): (2, 512),
        ("all-gather", "statistics"): (1, 2560),
        ("all-reduce", "gradients + numbers"): (1, 1540),
    }


def test_a_result_on_which_two_things_depend_differently():
    # One exchange of the sums of a norm, which a product needs, and of a gradient: both are told.
    program = PROGRAM.replace("%sums = f32[64]{0} all-reduce(%partial)", "%sums.2 = f32[64]{0} negate(%partial)")
    program = program.replace(
        "%toward = f32[8,64]{1,0} multiply(%normal, %sums)", "%toward = f32[8,64]{1,0} negate(%normal)"
    )
    program = program.replace(
        "ROOT %out", "%late = f32[8,10]{1,0} fusion(%new_bias, %weights), calls=%fused_product\n  ROOT %out"
    )
    assert collectives.read(Module(program))[-1].carries == (GRADIENTS, NUMBERS, STATISTICS)


def test_a_librarys_product_counts_as_one():
    program = PROGRAM.replace(
        "fusion(%normal, %weights.1), kind=kOutput, calls=%fused_product",
        'custom-call(%normal, %weights.1), custom_call_target="__cublas$gemm"',
    ).replace("jvp(Net)/norm", "Net/norm")
    assert collectives.read(Module(program))[0].carries == (STATISTICS,)
