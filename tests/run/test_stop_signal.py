"""Signals are noted, and handlers given back; outside of a training they end the program at once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cnn_jax.run.stop_signal import StopSignal


@pytest.fixture
def heard_hangups():
    """SIGHUP as it is without nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_noted(number, heard_hangups):
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert stop.received is None
        os.kill(os.getpid(), number)
        assert stop.received == number.name
    assert signal.getsignal(number) is before


def test_a_second_interrupt_ends_at_once():
    with StopSignal():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


ROOT = Path(__file__).parent.parent.parent
START = (
    "import os, signal, sys, threading, time\nfrom cnn_jax.run import stop_signal\n"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # whether or not the tests run under nohup
)
SEND = "os.kill(os.getpid(), signal.{})\n"
AT_ONCE = START + "stop_signal.exit_on_signals()\n"


def run(program):
    words = [sys.executable, "-c", program]
    return subprocess.run(
        words, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.parametrize(
    "program",
    [
        "print('begun')\n" + SEND,
        "print('begun')\ntry:\n  " + SEND + "except BaseException: sys.exit(3)\n",  # as imports of libraries do
        # A thread that never ends would hinder Python's own end.
        "print('begun')\nthreading.Thread(target=time.sleep, args=(600,)).start()\n" + SEND,
        "print('begun')\nwith stop_signal.StopSignal(): pass\n" + SEND,
    ],
)
def test_a_signal_ends_the_program_at_once(name, program):
    done = run(AT_ONCE + program.format(name))
    assert (done.returncode, done.stdout) == (75, "begun\n")
    assert done.stderr == f"stopped by {name}; what is saved is kept, and the same command continues\n"


def test_a_third_interrupt_ends_what_the_second_began_to_end():
    program = "with stop_signal.StopSignal():\n  " + 2 * (SEND.format("SIGINT") + "  ")
    caught = "try:\n  " + program.replace("\n", "\n  ") + "pass\nexcept KeyboardInterrupt:\n  " + SEND.format("SIGINT")
    done = run(AT_ONCE + caught + "sys.exit(3)\n")
    assert (done.returncode, done.stderr.count("\n")) == (75, 1)


def test_a_hangup_that_is_turned_off_stays_so():
    done = run(
        START
        + "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nstop_signal.exit_on_signals()\n"
        + "with stop_signal.StopSignal() as stop:\n  "
        + SEND.format("SIGHUP")
        + "  print(stop.received)\n"
    )
    assert (done.returncode, done.stdout) == (0, "None\n")
