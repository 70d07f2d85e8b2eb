"""Output that nobody reads, or that cannot be written, ends no program; and what is printed is safe."""

import io
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from cnn_jax.run import standard_streams

ROOT = Path(__file__).parent.parent.parent
# Prints in pieces, as a training does, then tells a file that it has come to its end.
PROGRAM = """
import sys
from pathlib import Path
from cnn_jax.run import standard_streams
standard_streams.protect()
for number in range({lines}):
    print("line", number, flush=True)
    print("error", number, file=sys.stderr)
Path(sys.argv[1]).touch()
sys.exit(standard_streams.exit_code({code}))
"""


def run(tmp_path, shell, lines=2000, code=0):
    (tmp_path / "program.py").write_text(PROGRAM.format(lines=lines, code=code))
    words = f"{sys.executable} {tmp_path}/program.py {tmp_path}/end"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell.format(words)}"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("shell", ["{} 2>/dev/null | head -1", "{} 2>&1 | head -1", "{} 2>/dev/null | true"])
@pytest.mark.parametrize("code", [0, 75])
def test_a_reader_that_goes_away_is_no_fault(tmp_path, shell, code):
    done = run(tmp_path, shell, code=code)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout in ("line 0\n", "error 0\n", "")
    assert (tmp_path / "end").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
@pytest.mark.parametrize(("code", "expected"), [(0, 1), (2, 2), (75, 75)])
def test_output_that_cannot_be_written_is_told(tmp_path, code, expected):
    done = run(tmp_path, "{} >/dev/full", lines=3, code=code)
    assert done.returncode == expected
    assert done.stderr.splitlines()[3:] == ["failed: standard output cannot be written: No space left on device"]
    assert (tmp_path / "end").exists()


@pytest.mark.parametrize("shell", ["{} >&-", "{} 2>&-", "{} >&- 2>&-", "{} 2>/dev/full"])
def test_streams_that_are_closed_from_the_start_are_no_fault(tmp_path, shell):
    done = run(tmp_path, shell, lines=3)
    assert done.returncode == 0
    assert "Traceback" not in done.stdout + done.stderr
    assert (tmp_path / "end").exists()


def test_nothing_is_lost(tmp_path):
    done = run(tmp_path, "{}", lines=3)
    assert (done.returncode, done.stdout) == (0, "line 0\nline 1\nline 2\n")
    assert done.stderr == "error 0\nerror 1\nerror 2\n"


# A file and a process that are opened after the start, as a lock and a worker are.
STARTS_ANOTHER = """
import os, subprocess, sys
from cnn_jax.run import standard_streams
standard_streams.open_closed()
standard_streams.protect()
with open(sys.argv[1], "w") as kept:
    assert kept.fileno() > 2
    print("spoken", flush=True)
    other = [sys.executable, "-c", "import sys; print('too', file=sys.stderr); print(sys.stdin.read())"]
    done = subprocess.run(other, input="given", stdout=subprocess.PIPE, text=True)
    kept.write(done.stdout)
"""


@pytest.mark.parametrize("shell", ["{} <&- >&- 2>&-", "{} <&-", "{} >&-", "{} <&- 2>&-"])
def test_nothing_takes_the_place_of_a_closed_stream(tmp_path, monkeypatch, shell):
    monkeypatch.setitem(globals(), "PROGRAM", STARTS_ANOTHER.replace("{", "{{").replace("}", "}}"))
    done = run(tmp_path, shell)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "end").read_text() == "given\n"


@pytest.fixture
def protected(monkeypatch):
    """A function that protects streams as a terminal that knows ASCII alone has them, and gives what was written."""

    def protect():
        raw = {name: io.BytesIO() for name in ("stdout", "stderr")}
        for name, buffer in raw.items():
            monkeypatch.setattr(sys, name, io.TextIOWrapper(buffer, encoding="ascii", write_through=True))
        monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        monkeypatch.setattr(logging.lastResort, "formatter", None)
        standard_streams.make_text_safe()
        return raw

    return protect


def test_what_the_encoding_lacks(protected):
    written = protected()
    print("中 \udce9")
    assert written["stdout"].getvalue() == b"\\u4e2d \\udce9\n"


def test_warnings_of_this_package_are_one_line(protected):
    protected()
    text = warnings.formatwarning(UserWarning("7 files of a\x1b[31m"), UserWarning, standard_streams.__file__, 3)
    assert text == "warning: 7 files of a\\x1b[31m\n"
    others = warnings.formatwarning(UserWarning("\x1b"), UserWarning, "other.py", 3)
    assert others.startswith("other.py:3: UserWarning: \\x1b")


def test_log_lines_and_tracebacks(protected):
    streams_written = protected()
    record = logging.LogRecord("cnn_jax", logging.WARNING, "x.py", 1, "%s is damaged", ("a\x1b[2J",), None)
    logging.lastResort.emit(record)
    try:
        raise ValueError("b\x1b[2J")
    except ValueError:
        sys.excepthook(*sys.exc_info())
    written = streams_written["stderr"].getvalue()
    assert b"a\\x1b[2J is damaged\n" in written
    assert b"ValueError: b\\x1b[2J\n" in written
    assert b"\x1b" not in written
