"""The folder of compiled programs stays below its limit, whoever else reads and writes there."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cnn_jax.config.parsing import ConfigError
from cnn_jax.run.compile_cache import limit, trim


def program(folder, name, size, used, written=None):
    """A program of so many bytes, used and written so many seconds ago."""
    path = folder / f"jit_{name}-cache"
    path.write_bytes(bytes(size))
    now = time.time()
    os.utime(path, (now - used, now - (used if written is None else written)))
    return path


def test_what_was_used_longest_ago_goes(tmp_path):
    old_but_read = program(tmp_path, "a", 400, used=10, written=9000)
    new = program(tmp_path, "b", 400, used=5)
    never_read = program(tmp_path, "c", 100, used=99999, written=20)  # as where reading leaves no time
    oldest = program(tmp_path, "d", 100, used=8000)
    older = program(tmp_path, "e", 100, used=7000)
    (tmp_path / "jit_d-atime").touch()
    (tmp_path / "notes.txt").write_bytes(bytes(5000))
    assert trim(tmp_path, 1100) == 0, "1100 bytes of programs are allowed"
    assert trim(tmp_path, 1000, every=0) == 2, "until 900 are left"
    assert not oldest.exists()
    assert not older.exists()
    assert not (tmp_path / "jit_d-atime").exists()
    assert all(path.exists() for path in (old_but_read, new, never_read, tmp_path / "notes.txt"))
    assert trim(tmp_path, 0, every=0) == 3


def test_all_files_are_looked_at_once_in_a_while(tmp_path):
    assert trim(tmp_path, 1000) == 0
    program(tmp_path, "a", 2000, used=5)
    assert trim(tmp_path, 1000) == 0, "they were just looked at"
    os.utime(tmp_path / ".trimmed", (0, time.time() - 601))
    assert trim(tmp_path, 1000) == 1
    assert trim(tmp_path / "missing", 1000) == 0


TRIMMING = """
import sys
from pathlib import Path
from cnn_jax.run.compile_cache import trim
folder = Path(sys.argv[1])
sys.stdin.read(1)
for number in range(200):
    (folder / f"{sys.argv[2]}-{number}-cache").write_bytes(bytes(1000))
    trim(folder, 20_000, every=0)
"""


def test_several_processes_at_once(tmp_path):
    command = [sys.executable, "-c", TRIMMING, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    started = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        for number in range(3)
    ]
    for process in started:
        process.stdin.write(b".")
        process.stdin.flush()
    for process in started:
        assert process.communicate()[1] == b""
        assert process.returncode == 0
    trim(tmp_path, 20_000, every=0)
    left = list(tmp_path.glob("*-cache"))
    assert 15 <= len(left) <= 20


@pytest.mark.parametrize(("given", "expected"), [("", 2), ("0.5", 0.5), (" 8 ", 8), ("0", 0)])
def test_the_limit(given, expected):
    assert limit({"CNN_JAX_CACHE_GIB": given}) == expected * 2**30
    assert limit({}) == 2 * 2**30


@pytest.mark.parametrize("given", ["much", "-1", "nan", "2GiB"])
def test_no_limit(given):
    with pytest.raises(ConfigError, match=f"CNN_JAX_CACHE_GIB={given}: expected the most GiB"):
        limit({"CNN_JAX_CACHE_GIB": given})
