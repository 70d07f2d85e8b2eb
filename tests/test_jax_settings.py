"""JAX's settings that would change figures are refused, and the others are recorded."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from cnn_jax import jax_settings
from cnn_jax.cli import main as launch
from cnn_jax.config.parsing import ConfigError

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("JAX_ENABLE_X64", value) for value in ("1", "true", "True", "YES", "maybe", "")],
        *[("JAX_THREEFRY_PARTITIONABLE", value) for value in ("0", "off", "False")],
        ("JAX_DEFAULT_PRNG_IMPL", "rbg"),
        ("JAX_RANDOM_SEED_OFFSET", "7"),
        ("JAX_DEFAULT_MATMUL_PRECISION", "bfloat16"),
        ("JAX_NUMPY_DTYPE_PROMOTION", "strict"),
        ("JAX_NUMPY_RANK_PROMOTION", "raise"),
        ("JAX_DISABLE_JIT", "1"),
        ("JAX_DEBUG_NANS", "t"),
        ("FLAX_FIX_RNG_SEPARATOR", "true"),
        ("FLAX_RETURN_FROZENDICT", "1"),
    ],
)
def test_a_variable_that_changes_figures(name, value):
    with pytest.raises(ConfigError, match=f"{name}={value}: expected .*leave it out"):
        jax_settings.check_environment({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("JAX_ENABLE_X64", value) for value in ("0", "off", "No")],
        ("JAX_THREEFRY_PARTITIONABLE", "1"),
        ("JAX_DEFAULT_PRNG_IMPL", "threefry2x32"),
        ("JAX_RANDOM_SEED_OFFSET", "0"),
        ("JAX_NUMPY_RANK_PROMOTION", "allow"),
        ("JAX_LOG_COMPILES", "1"),
    ],
)
def test_a_variable_that_says_what_holds_anyway(name, value):
    jax_settings.check_environment({name: value})


def test_every_required_value_is_jaxs_own_default():
    """This process has set none of them."""
    jax_settings.check_settings(lambda name: getattr(jax.config, name))


EXPERIMENT = "--config=experiments/fashion_mnist_lecture.py"


@pytest.mark.parametrize(
    "words",
    [
        ["train", EXPERIMENT],
        ["eval", "--workdir=none"],
        ["predict", "--workdir=none", "--images=none.png"],
        ["report", "--workdir=none"],
        ["summary", EXPERIMENT],
        ["compile", EXPERIMENT, "--topology=v5e:2x2"],
        ["sweep", "--config=experiments/pooling.py"],
    ],
)
def test_every_command_refuses_the_same(words, monkeypatch, capsys):
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    monkeypatch.setenv("JAX_DEFAULT_PRNG_IMPL", "rbg")
    assert launch.main(words) == 2
    told = capsys.readouterr().err
    assert "refused: " in told
    assert "JAX_ENABLE_X64=1: expected False, for arrays are float32 and int32; leave it out" in told
    assert "JAX_DEFAULT_PRNG_IMPL=rbg: expected threefry2x32" in told


def test_an_experiment_file_cannot_set_them(tmp_path, capsys):
    before = jax.config.jax_enable_x64
    file = tmp_path / "experiment.py"
    file.write_text("import jax\n\n\ndef get_config():\n    jax.config.update('jax_enable_x64', True)\n    return {}\n")
    try:
        assert launch.main(["summary", f"--config={file}"]) == 2
    finally:
        jax.config.update("jax_enable_x64", before)
    assert "jax_enable_x64=True: expected False" in capsys.readouterr().err


def test_help_and_preparation_need_no_jax(monkeypatch, capsys):
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    assert launch.main(["train", "--help"]) == 0
    assert launch.main(["prepare", "--source=none", "--target=none"]) == 2
    assert "--source: there is no folder" in capsys.readouterr().err


def test_a_variable_that_jax_cannot_read_is_no_traceback():
    words = [sys.executable, "launch.py", "eval", "--workdir=none"]
    environment = {**os.environ, "JAX_LOG_COMPILES": "perhaps"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "perhaps" in done.stderr
    assert "JAX_LOG_COMPILES" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_recorded():
    settings = {"jax_enable_x64": False, "jax_optimization_level": "O1", "jax_log_compiles": True}
    environment = {
        "JAX_ENABLE_X64": "0",
        "JAX_LOG_COMPILES": "1",
        "XLA_FLAGS": "--xla_x=1",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": ".5",
        "LIBTPU_INIT_ARGS": "--x",
        "NVIDIA_TF32_OVERRIDE": "0",
        "XLA_LIBRARY": os.fsdecode(b"/f\xff"),
        "HOME": "/root",
        "SECRET_TOKEN": "x",
    }
    found = jax_settings.recorded(settings.get, environment)
    assert found == {
        "jax_enable_x64": "False",
        "jax_optimization_level": "O1",
        "JAX_LOG_COMPILES": "1",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": ".5",
        "XLA_LIBRARY": "/f?",
        "LIBTPU_INIT_ARGS": "--x",
        "NVIDIA_TF32_OVERRIDE": "0",
    }
    counted = [name for name in found if jax_settings.changes_numbers(name)]
    assert counted == [
        "jax_enable_x64",
        "jax_optimization_level",
        "LIBTPU_INIT_ARGS",
        "NVIDIA_TF32_OVERRIDE",
        "XLA_LIBRARY",
    ]
