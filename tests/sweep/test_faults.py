"""Faults told from what is left of a process."""

import signal

import pytest

from cnn_jax.sweep import faults


@pytest.mark.parametrize(
    ("code", "message", "tail", "fault"),
    [
        (2, "config.data: no such file", (), faults.REFUSED),
        (1, "diverged: the training loss is nan", (), faults.DIVERGED),
        (1, "XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory", (), faults.MEMORY),
        (1, "MemoryError: ", (), faults.MEMORY),
        (1, "KeyError: 'x'", ("Traceback", "KeyError: 'x'"), faults.CRASH),
    ],
)
def test_trials_that_end_by_themselves(code, message, tail, fault):
    assert faults.of_exit_code(code, message, tail)[0] == fault


@pytest.mark.parametrize(
    ("code", "tail", "fault", "name"),
    [
        (-signal.SIGSEGV, (), faults.CRASH, "SIGSEGV"),
        (
            -signal.SIGABRT,
            ("terminate called after throwing an instance of 'std::bad_alloc'",),
            faults.MEMORY,
            "SIGABRT",
        ),
        (-signal.SIGKILL, (), faults.KILLED, "SIGKILL"),
        (-signal.SIGTERM, (), faults.KILLED, "SIGTERM"),
        (3, (), faults.CRASH, None),
    ],
)
def test_trials_whose_process_ends(code, tail, fault, name):
    found, message, signal_name = faults.of_process_end(code, tail)
    assert (found, signal_name) == (fault, name)
    assert (name or "exit code 3") in message


def test_the_tail_of_a_log(tmp_path):
    log = tmp_path / "log.txt"
    assert faults.log_tail(log) == ()
    log.write_bytes(b"".join(b"line %d \xff\n" % number for number in range(10_000)) + b"x" * 900)
    tail = faults.log_tail(log)
    assert len(tail) == faults.TAIL
    assert tail[-2].startswith("line 9999")
    assert tail[-1] == "x" * 500
