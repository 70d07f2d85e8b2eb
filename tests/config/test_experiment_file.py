"""Whatever an experiment file does, the command ends with a message that names the file and the line."""

import os
import re
import sys
from pathlib import Path

import pytest

from cnn_jax.config.experiment_file import load_config, load_sweep
from cnn_jax.config.parsing import ConfigError

FAILING = {
    "sys_exit": ("import sys\n\nsys.exit(3)\n", r"called sys\.exit\(3\).*\(sys_exit.py:3\)"),
    "sys_exit_later": ("import sys\ndef get_config():\n    sys.exit('bye')\n",
        r"sys\.exit\(bye\).*\(sys_exit_later.py:3\)"),
    "quit_": ("def get_config():\n    raise SystemExit\n", r"called sys\.exit.*\(quit_.py:2\)"),
    "os_exit": ("import os\ndef get_config():\n    try:\n        os._exit(5)\n    except Exception:\n        pass\n",
                r"called os\._exit\(5\).*\(os_exit.py:4\)"),
    "raises": ("def get_config():\n    raise ValueError('no')\n", r"ValueError: no \(raises.py:2\)"),
    "own": ("class Own(BaseException): pass\ndef get_config():\n    raise Own('a')\n", r"Own: a \(own.py:3\)"),
    "mute": ("class Mute(Exception):\n    def __str__(self):\n        raise RuntimeError\nraise Mute\n",
        r"Mute \(mute.py:4\)"),
    "syntax": ("x = 1\ny = = 2\n", r"SyntaxError: invalid syntax \(syntax.py:2\)"),
    "indent": ("def f():\n    return 1\n  return 2\n", r"IndentationError: .*\(indent.py:3\)"),
    "null": ("x = 1\0\n", r"null bytes \(null.py\)|null bytes \(null.py:1\)"),
    "endless": ("def f(n):\n    return f(n + 1)\ndef get_config():\n    return f(0)\n",
        r"RecursionError: .*\(endless.py:4\)"),
    "memory": ("def get_config():\n    raise MemoryError\n", r"MemoryError \(memory.py:2\)"),
    "missing": ("import no_such_module_here\n", r"ModuleNotFoundError: .*no_such_module_here.*\(missing.py:1\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILING)
def test_failures_are_refusals(tmp_path, name):
    text, message = FAILING[name]
    file = tmp_path / f"{name}.py"
    file.write_text(text)
    leave = os._exit
    with pytest.raises(ConfigError, match=f"^--config: {re.escape(str(file))} failed: .*{message}"):
        load_config(file)
    assert os._exit is leave


def test_a_relative_path_has_its_line_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("here.py").write_text("import os\nos._exit(3)\n")
    with pytest.raises(ConfigError, match=r"^--config: here.py failed: .*os\._exit\(3\).*\(here.py:2\)"):
        load_config(Path("here.py"))


def test_a_sweep_that_leaves_is_refused(tmp_path):
    file = tmp_path / "leaves.py"
    file.write_text("import sys\ndef get_sweep():\n    sys.exit(0)\n")
    with pytest.raises(ConfigError, match=r"sys\.exit\(0\).*\(leaves.py:3\)"):
        load_sweep(file)


def test_an_interrupt_stays_one(tmp_path):
    file = tmp_path / "interrupted.py"
    file.write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_config(file)


def test_a_dataclass_with_postponed_annotations(tmp_path):
    file = tmp_path / "typed.py"
    file.write_text(
        "from __future__ import annotations\nimport dataclasses\n\n@dataclasses.dataclass\nclass Mine:\n"
        "    seed: int = 2\n\ndef get_config():\n    return {'seed': Mine().seed}\n"
    )
    assert load_config(file) == {"seed": 2}
    assert "experiment_file" in sys.modules


@pytest.mark.parametrize("name", ["exp[1] $x$.py", "été.py", "中文.py", "caf\udce9.py", "-.py", "a\nb.py"])
def test_files_of_any_name(tmp_path, name):
    (tmp_path / name).write_text("def get_config():\n    return {'seed': 4}\n")
    assert load_config(tmp_path / name) == {"seed": 4}


def test_json_that_is_nested_without_end(tmp_path):
    file = tmp_path / "deep.json"
    file.write_text("[" * 100_000)
    with pytest.raises(ConfigError, match=r"^--config: .*deep.json cannot be read"):
        load_config(file)


def test_a_result_that_cannot_be_shown(tmp_path):
    file = tmp_path / "odd.py"
    file.write_text(
        "class Odd:\n    def __repr__(self):\n        raise RuntimeError\ndef get_config():\n    return Odd()\n"
    )
    with pytest.raises(ConfigError, match=r"get_config\(\) of .*odd.py gave <Odd instance.*>, expected a dictionary"):
        load_config(file)
