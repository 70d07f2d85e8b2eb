"""Kinds of operations, read from programs as XLA writes them."""

import pytest

from cnn_jax import hlo
from cnn_jax.report import program

TEXT = """\
HloModule jit__advance, is_scheduled=true, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

%fused_product (param_0: f32[8,8], param_1: f32[8,8]) -> f32[8,8] {
  %param_0 = f32[8,8]{1,0} parameter(0)
  %param_1 = f32[8,8]{1,0:T(8,128)} parameter(1)
  %dot.1 = f32[8,8]{1,0} dot(%param_0, %param_1), metadata={op_name="@jvp(Net)/conv1/dot_general"}
  ROOT %maximum.1 = f32[8,8]{1,0} maximum(%dot.1, %param_0), metadata={op_name="@jvp(Net)/max"}
}

%fused_move (param_2: f32[8,8]) -> f32[8,8] {
  %param_2 = f32[8,8]{1,0} parameter(0)
  ROOT %concatenate.1 = f32[16,8]{1,0} concatenate(%param_2, %param_2), dimensions={0}
}

%fused_band (param_3: f32[8,8]) -> f32[8,8] {
  %param_3 = f32[8,8]{1,0} parameter(0)
  ROOT %dot.2 = f32[8,8]{1,0} dot(%param_3, %param_3), metadata={op_name="@jvp(Net)/normalisation/dot_general"}
}

%body (arg: (s32[], f32[8])) -> (s32[], f32[8]) {
  %arg = (s32[], /*index=1*/f32[8,8]{1,0:T(8,128)S(1)}) parameter(0)
  %product_fusion = f32[8,8]{1,0} fusion(%a, %b), calls=%fused_product, metadata={op_name="@jvp(Net)/max"}
  %band_fusion = f32[8,8]{1,0} fusion(%a), kind=kCustom, calls=%fused_band
  %move_fusion = f32[16,8]{1,0} fusion(%a), kind=kLoop, calls=%fused_move
  %cudnn-conv.3 = (f32[8,8]{1,0}, u8[0]{0}) custom-call(%a, %b), custom_call_target="__cudnn$convForward"
  %pooled = f32[8,8]{1,0} maximum(%a, %b), metadata={op_name="@transpose(jvp(Net))/conv1/pooling/max"}
  %scaled.5 = f32[8,8]{1,0} multiply(%a, %b), metadata={op_name="@jvp(Net)/block1/norm/normalisation/mul"}
  %added = f32[8,8]{1,0} add(%a, %b), metadata={op_name="@jvp(Net)/conv1/add"}
  %copy.7 = f32[8,8]{0,1} copy(%a)
  %update = f32[8,8]{1,0} subtract(%a, %b), metadata={op_name="@sub"}
  %all-reduce.1 = f32[8,8]{1,0} all-reduce(%a), to_apply=%sum, metadata={op_name="@transpose(jvp(Net))/add"}
  ROOT %tuple.9 = (s32[], f32[8,8]{1,0}) tuple(%c, %added)
}

ENTRY %main.42 (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  ROOT %while.1 = (s32[], f32[8,8]{1,0}) while(%p), condition=%cond, body=%body
}
""".replace("@", "jit(_advance)/while/body/")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("product_fusion", "convolutions and matrix products"),
        ("cudnn-conv.3", "convolutions and matrix products"),
        ("band_fusion", "normalisation"),  # a product that local response normalisation makes
        ("move_fusion", "copies and layout"),
        ("copy.7", "copies and layout"),
        ("pooled", "pooling"),
        ("scaled.5", "normalisation"),
        ("added", "elementwise and sums"),
        ("update", "batches, metrics and optimizer"),
        ("all-reduce.1", "communication"),
        ("nowhere", "unknown"),
    ],
)
def test_kinds(name, kind):
    assert program.read(TEXT).kind(name) == kind


def test_what_is_read():
    found = program.read(TEXT)
    assert found.name == "jit__advance"
    computations = hlo.Module(TEXT).computations
    assert [each.name for each in computations["fused_product"]] == ["param_0", "param_1", "dot.1", "maximum.1"]
    assert [each.name for each in computations["main.42"]] == ["p", "while.1"]
    assert found.instructions["while.1"].opcode == "while"
    assert found.instructions["arg"].opcode == "parameter"
    assert found.source("pooled") == "transpose(jvp(Net))/conv1/pooling/max"
    assert (found.source("copy.7"), found.source("nowhere")) == ("", "")
