"""Bytes to and from the memory, read from a program written by hand."""

from cnn_jax.aot import traffic
from cnn_jax.hlo import Module

# Memory space 1 is a TPU's vector memory; f32[8,64] has 2048 bytes, bf16[64,64] 8192.
PROGRAM = """HloModule jit_step, is_scheduled=true

%fused (p: f32[8,64], q: bf16[64,64]) -> f32[8,64] {
  %p = f32[8,64]{1,0} parameter(0)
  %q = bf16[64,64]{1,0:S(1)} parameter(1)
  ROOT %dot.1 = f32[8,64]{1,0} dot(%p, %q), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%body (state: (s32[], f32[8,64])) -> (s32[], f32[8,64]) {
  %state = (s32[]{:T(128)S(6)}, f32[8,64]{1,0:T(8,128)}) parameter(0)
  %count = s32[]{:T(128)S(6)} get-tuple-element(%state), index=0
  %maps = f32[8,64]{1,0:T(8,128)} get-tuple-element(%state), index=1
  %more = f32[8,64]{1,0:T(8,128)} negate(%maps)
  ROOT %next = (s32[]{:T(128)S(6)}, f32[8,64]{1,0:T(8,128)}) tuple(%count, %more)
}

%condition (state: (s32[], f32[8,64])) -> pred[] {
  %state.1 = (s32[]{:T(128)S(6)}, f32[8,64]{1,0:T(8,128)}) parameter(0)
  %count.1 = s32[]{:T(128)S(6)} get-tuple-element(%state.1), index=0
  ROOT %goes_on = pred[]{:T(512)S(6)} compare(%count.1, %count.1), direction=LT
}

ENTRY %main.9_spmd (images: f32[8,64], weights: bf16[64,64]) -> f32[8,64] {
  %images = f32[8,64]{1,0:T(8,128)} parameter(0)
  %weights = bf16[64,64]{1,0:T(8,128)(2,1)} parameter(1)
  %ahead = (bf16[64,64]{1,0:T(8,128)(2,1)S(1)}, bf16[64,64]{1,0:T(8,128)(2,1)}, u32[]{:S(2)}) copy-start(%weights)
  %here = bf16[64,64]{1,0:T(8,128)(2,1)S(1)} copy-done(%ahead)
  %part = ((f32[8,64]{1,0:T(8,128)}), f32[2,64]{1,0:T(8,128)S(1)}, s32[]{:S(2)}) slice-start(%images), \
slice={[0:2], [0:64]}
  %some = f32[2,64]{1,0:T(8,128)S(1)} slice-done(%part)
  %rows = f32[4,64]{1,0:T(8,128)} slice(%images), slice={[0:4], [0:64]}
  %maps.1 = f32[8,64]{1,0:T(8,128)} fusion(%images, %here), kind=kOutput, calls=%fused
  %zero = s32[]{:T(128)S(6)} constant(0)
  %start = (s32[]{:T(128)S(6)}, f32[8,64]{1,0:T(8,128)}) tuple(%zero, %maps.1)
  %looped = (s32[]{:T(128)S(6)}, f32[8,64]{1,0:T(8,128)}) while(%start), condition=%condition, body=%body
  %last = f32[8,64]{1,0:T(8,128)} get-tuple-element(%looped), index=1
  %summed = (f32[8,64]{1,0:T(8,128)}, f32[8,64]{1,0:T(8,128)}) all-gather-start(%last), dimensions={0}
  ROOT %out = f32[8,64]{1,0:T(8,128)} all-gather-done(%summed)
}
"""


def test_what_stays_on_the_chip_does_not_count():
    fetched = 64 * 64 * 2 + 2 * 64 * 4  # the weights ahead of time, and a part of the images
    sliced = 2 * 4 * 64 * 4  # as much read as written, not all of the images
    fused = 2 * 8 * 64 * 4  # images in, maps out; the weights are there
    loop = 2 * 8 * 64 * 4  # once
    gathered = 2 * 8 * 64 * 4
    assert traffic.off_chip(Module(PROGRAM)) == fetched + sliced + fused + loop + gathered
