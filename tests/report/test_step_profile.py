"""Where a step's time goes: moments shared by hand, and traces as each platform writes them."""

import shutil

import jax
import pytest

from cnn_jax.report import program, step_profile
from cnn_jax.report.step_profile import Span, share_time, spans_of
from cnn_jax.run.errors import RunFolderError

PROGRAM = program.read(
    "HloModule jit_steps\n\n"
    "ENTRY %main (p: f32[8]) -> f32[8] {\n"
    '  %dot.1 = f32[8]{0} dot(%p, %p), metadata={op_name="jit(steps)/while/body/jvp(Net)/conv1/dot_general"}\n'
    '  %add.2 = f32[8]{0} add(%p, %p), metadata={op_name="jit(steps)/while/body/jvp(Net)/conv1/add"}\n'
    "  ROOT %while.3 = f32[8]{0} while(%p), condition=%c, body=%b\n"
    "}\n"
)


def test_moments_are_shared():
    spans = [Span("a", 0, 10), Span("b", 4, 8), Span("a", 20, 26), Span("c", 22, 26), Span("b", 22, 24)]
    # 0-4 a; 4-8 a and b; 8-10 a; 10-20 none; 20-22 a; 22-24 a, c and b; 24-26 a and c
    taken, idle = share_time(spans)
    thirds = 2 / 3
    assert taken == pytest.approx({"a": 4 + 2 + 2 + 2 + thirds + 1, "b": 2 + thirds, "c": thirds + 1})
    assert idle == 10
    assert sum(taken.values()) + idle == pytest.approx(26)


def test_no_time_at_all():
    assert share_time([]) == ({}, 0.0)
    assert share_time([Span("a", 5, 5)]) == ({}, 0.0)
    assert share_time([Span("a", 5, 5), Span("b", 0, 8), Span("a", 8, 8)]) == ({"b": 8.0}, 0.0)


def test_a_profile_is_of_one_step():
    spans = [Span("dot.1", 0, 3e6), Span("add.2", 3e6, 4e6), Span("dot.1", 5e6, 8e6), Span("add.2", 8e6, 9e6)]
    found = step_profile.profile(10, 2, "CPU", spans, PROGRAM)
    assert (found.milliseconds, found.idle_milliseconds) == pytest.approx((4.5, 0.5))
    dot, add = found.operations
    assert (dot.name, dot.source, dot.layer, dot.calls) == ("dot.1", "jvp(Net)/conv1/dot_general", "conv1", 1)
    assert dot._replace(source="transpose(jvp(Net))/block2/conv1/add").layer == "block2"
    assert dot._replace(source="transpose(jvp())/mul").layer == ""
    assert (dot.milliseconds, dot.share) == pytest.approx((3, 6 / 9))
    assert (add.milliseconds, add.share) == pytest.approx((1, 2 / 9))
    names, spent, shares = zip(*found.kinds, strict=True)
    assert names == ("convolutions and matrix products", "elementwise and sums", "idle")
    assert spent == pytest.approx((3, 1, 0.5))
    assert shares == pytest.approx((6 / 9, 2 / 9, 1 / 9))


def trace(plane, lines, stats=("hlo_op", "hlo_module", "_p", "_c", "device_ordinal")):
    """An XProf trace of one plane, as text: for each line (name, [(event, start ns, duration ns, {stat: value})])."""
    numbers = {name: place + 1 for place, name in enumerate(stats)}
    events = sorted({event for _, entries in lines for event, *_ in entries})
    text = [f'planes {{ name: "{plane}"']
    for name, number in numbers.items():
        text.append(f'stat_metadata {{ key: {number} value {{ id: {number} name: "{name}" }} }}')
    for number, name in enumerate(events, start=1):
        text.append(f'event_metadata {{ key: {number} value {{ id: {number} name: "{name}" }} }}')
    for name, entries in lines:
        text.append(f'lines {{ name: "{name}" timestamp_ns: 0')
        for event, start, duration, values in entries:
            times = f"offset_ps: {1000 * start} duration_ps: {1000 * duration}"
            text.append(f"events {{ metadata_id: {events.index(event) + 1} {times}")
            for stat, value in values.items():
                kind = f'str_value: "{value}"' if isinstance(value, str) else f"uint64_value: {value}"
                text.append(f"stats {{ metadata_id: {numbers[stat]} {kind} }}")
            text.append("}")
        text.append("}")
    return "\n".join([*text, "}"])


def spans_in(text):
    return spans_of(jax.profiler.ProfileData.from_text_proto(text), PROGRAM)


def of(operation, **more):
    return {"hlo_op": operation, "hlo_module": "jit_steps"} | more


def test_a_cpu_tells_by_its_threads():
    threads = [
        ("thread 1", [("while.3", 0, 90, of("while.3")), ("dot.1", 0, 10, of("dot.1", _p=7)), ("Wait", 0, 50, {})]),
        ("thread 2", [("end: dot.1", 30, 2, {"_c": 7}), ("add.2", 40, 5, of("add.2", _p=8))]),
        (
            "thread 3",
            [("add.2", 60, 5, of("add.2", device_ordinal=1)), ("add.2", 70, 5, of("add.2") | {"hlo_module": "x"})],
        ),
    ]
    device, spans = spans_in(trace("/host:CPU", threads))
    # The product goes on elsewhere until 32; the second device and another program are not counted.
    assert (device, spans) == ("CPU", [Span("dot.1", 0, 32), Span("add.2", 40, 45)])


def test_a_gpu_tells_by_its_streams():
    streams = [("Stream #1", [("gemm_kernel", 0, 10, of("dot.1"))]), ("Stream #2", [("fusion_2", 5, 10, of("add.2"))])]
    device, spans = spans_in(trace("/device:GPU:0", streams))
    assert (device, spans) == ("GPU:0", [Span("dot.1", 0, 10), Span("add.2", 5, 15)])


def test_a_tpu_tells_by_its_line_of_operations():
    lines = [
        ("XLA Modules", [("jit_steps(1)", 0, 100, {})]),
        (
            "XLA Ops",
            [("%while.3 = while()", 0, 90, {}), ("%dot.1 = f32[8]{0} dot(%p)", 0, 30, {}), ("add.2", 30, 5, {})],
        ),
        ("Async XLA Ops", [("add.2", 50, 5, {})]),
    ]
    device, spans = spans_in(trace("/device:TPU:0", lines))
    assert (device, spans) == ("TPU:0", [Span("dot.1", 0, 30), Span("add.2", 30, 35)])


def test_a_trace_of_something_else(tmp_path):
    assert step_profile.read(tmp_path) is None
    at = tmp_path / "profile" / "plugins" / "profile" / "2026_01_01"
    at.mkdir(parents=True)
    text = trace("/host:CPU", [("python", [("call", 0, 9, {})])])
    (at / "host.xplane.pb").write_bytes(jax.profiler.ProfileData.text_proto_to_serialized_xspace(text))
    (tmp_path / "profile" / "program.txt").write_text("HloModule jit_steps\n")
    assert step_profile.read(tmp_path) is None  # not written to its end
    (tmp_path / "profile" / "profile.json").write_text('{"first_step": 10, "steps": 4}')
    assert step_profile.read(tmp_path) == step_profile.StepProfile(10, 4, "CPU", 0.0, 0.0, ())


@pytest.mark.parametrize("name", ["profile.json", "program.txt", "plugins/profile/2026_01_01/host.xplane.pb"])
@pytest.mark.parametrize(
    "content", [None, b"\xff{", b"[" * 100_000, b'{"first_step": "10", "steps": 4}', b'{"steps": -1}']
)
def test_a_damaged_trace_is_refused(tmp_path, name, content):
    test_a_trace_of_something_else(tmp_path)
    path = tmp_path / "profile" / name
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    if name == "program.txt" and content is not None and b"\xff" not in content:
        assert step_profile.read(tmp_path).operations == ()  # the text of another program
        return
    with pytest.raises(RunFolderError, match=r"profile.* cannot be read: .*; move the folder aside"):
        step_profile.read(tmp_path)
    shutil.rmtree(tmp_path / "profile")
    assert step_profile.read(tmp_path) is None
