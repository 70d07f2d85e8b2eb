"""The kind of device, and which processors multiply bfloat16 numbers."""

import pytest

from cnn_jax.ops import platform


@pytest.fixture(autouse=True)
def forgotten():
    platform.multiplies_bfloat16.cache_clear()
    yield
    platform.multiplies_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 clzero\n", True),  # AMD Zen 5
        ("flags\t\t: avx512f amx_bf16 amx_tile\n", True),  # Intel Sapphire Rapids
        ("flags\t\t: fpu avx2 fma\n", False),  # AMD Zen 3
        ("model name\t: avx512_bf16 by name\nflags\t\t: fpu\n", False),
        ("Features\t: fp asimd bf16\n", False),  # ARM was not measured
        (None, False),  # other systems
    ],
)
def test_processors_that_multiply_bfloat16(tmp_path, monkeypatch, text, expected):
    file = tmp_path / "cpuinfo"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(platform, "_CPU_INFO", file)
    assert platform.multiplies_bfloat16() is expected
