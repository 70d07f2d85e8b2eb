"""Outcome of an input: a result, or one message."""

import contextlib
import io
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from cnn_jax.cli import main as launch
from cnn_jax.data import errors
from cnn_jax.geometry.preflight import REFUSALS
from cnn_jax.sweep.status import CHANGED, UNREADABLE

# What `launch.py` answers by one message: refusals, and what is found in data while they are read.
ANSWERED = (*REFUSALS, *(each for each in vars(errors).values() if isinstance(each, type)))


class Refused(NamedTuple):
    """One message in place of a result."""

    message: str


class Answer(NamedTuple):
    """Output of a command, and its exit code."""

    code: int
    out: str
    err: str


def called(function: Callable[[], Any]) -> Any:
    """Calls a function of the library: its result, or `Refused` where it raises a refusal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings are no refusal
        try:
            return function()
        except ANSWERED as error:
            assert_one_message(str(error))
            return Refused(str(error))


def command(*words: str) -> Answer:
    """Runs a command line in this process; checks that a failure is one message."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = launch.main(list(words))
    answer = Answer(code, out.getvalue(), err.getvalue())
    assert code in (0, 1, 2), f"exit code {code}"
    assert "Traceback (most recent call last)" not in answer.err + answer.out, answer.err
    if code:
        # The faults of a sweep's trials stand in its output, by their kind.
        kinds = ("refused: ", "failed: ", f"{CHANGED}: ", f"{UNREADABLE}: ")
        messages = [line for line in (answer.err + answer.out).splitlines() if line.startswith(kinds)]
        assert len(messages) == 1, f"{len(messages)} messages: {answer.err}{answer.out}"
        assert_one_message(answer.err or messages[0])
    return answer


def assert_one_message(text: str) -> None:
    """A message says something, in few lines that a terminal shows as they are."""
    assert text.strip(), "an empty message"
    assert len(text) < 6000, f"a message of {len(text)} characters: {text[:500]}"
    assert all(letter.isprintable() or letter in "\n\t" for letter in text), f"control characters: {text[:500]!r}"
