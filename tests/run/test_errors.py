"""Refusals of the machine are told in a line, and are failures of a run that has started."""

import errno
from pathlib import Path

import pytest

from cnn_jax.run.errors import RunFailed, explain, os_error, started

SPEC = """ [tensorstore_spec='{"note": ": Permission denied"}'] [source locations='zarr.cc:1']"""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/a"), ("/x/a: No space left on device; ", "free some")),
        (OSError(errno.ENOSPC, "No space left on device", "/x/.b", None, "/x/a"), ("/x/a: No space left",)),
        (OSError(errno.EROFS, "Read-only file system", b"/x/a"), ("/x/a: Read-only file system; ", "name a folder")),
        (
            PermissionError(errno.EACCES, "Permission denied", Path("/x/a")),
            ("/x/a: Permission denied; ", "permissions"),
        ),
        (OSError(errno.EMFILE, "Too many open files"), ("Too many open files; ", "ulimit -n")),
        (OSError(errno.EIO, "Input/output error", 3), ("Input/output error; ", "disk")),
        (OSError(errno.ENOTTY, "Not a typewriter", "/x"), ("/x: Not a typewriter",)),
        (OSError("of a library"), ("of a library",)),
        (MemoryError(), ("Out of memory; lower config.train.batch_size",)),
        (MemoryError("Unable to allocate 9 GiB"), ("Out of memory (Unable to allocate 9 GiB); ",)),
        (RuntimeError("RESOURCE_EXHAUSTED: 5 bytes\nat line 1"), ("Out of memory (RESOURCE_EXHAUSTED: 5 bytes); ",)),
    ],
)
def test_what_the_machine_refuses_is_told(error, expected):
    text = explain(error)
    assert text.startswith(expected[0])
    assert [part for part in expected if part not in text] == []
    assert "\n" not in text
    with pytest.raises(RunFailed, match="the last checkpoint is kept"), started():
        raise error


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("INTERNAL: x"), KeyError("x"), TypeError("x")])
def test_other_errors_stay_what_they_are(error):
    assert explain(error) is None
    with pytest.raises(type(error)), started():
        raise error
    with pytest.raises(RunFailed, match="x"), started(type(error)):
        raise error


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (ValueError('UNKNOWN: Error reading "x": Failed to open: "/a": Input/output error' + SPEC), errno.EIO),
        (ValueError('Error writing "/a": No space left on device' + SPEC), errno.ENOSPC),
        (ValueError("RESOURCE_EXHAUSTED: Failed to open [OS error 24: EMFILE Too many open files]"), errno.EMFILE),
        (ValueError("DATA_LOSS: CRC-32C mismatch" + SPEC), None),
        (OSError("without a number"), None),
        (None, None),
    ],
)
def test_the_systems_error_is_found_in_a_text(error, number):
    found = os_error(error, Path("/runs/x"))
    assert (found and found.errno) == number
    if found:
        assert found.filename == "/runs/x"


def test_the_systems_error_is_found_behind_others():
    try:
        try:
            raise OSError(errno.ESTALE, "Stale file handle", "/a")
        except OSError as error:
            raise ValueError("cannot read") from error
    except ValueError as error:
        found = os_error(error, Path("/runs/x"))
    assert (found.errno, found.filename) == (errno.ESTALE, "/a")
