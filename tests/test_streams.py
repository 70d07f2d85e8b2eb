"""Whatever a process prints to its standard streams is safe."""

import io
import logging
import sys
import warnings

import pytest

from cnn_jax import streams


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
        streams.protect()
        return raw

    return protect


def test_what_the_encoding_lacks(protected):
    written = protected()
    print("中 \udce9")
    assert written["stdout"].getvalue() == b"\\u4e2d \\udce9\n"


def test_warnings_of_this_package_are_one_line(protected):
    protected()
    text = warnings.formatwarning(UserWarning("7 files of a\x1b[31m"), UserWarning, streams.__file__, 3)
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
