"""Dispatches: cut where steps are traced, and timed by when their figures came."""

import numpy as np
import pytest

from cnn_jax.train import profiling
from cnn_jax.train.profiling import Chunk, Dispatcher


class Tape:
    """A trace that writes down what it is told, beside the steps that are taken."""

    def __init__(self, start, stop):
        self.steps, self.running, self.told = range(start, stop), False, []

    def start(self):
        self.running = True
        self.told.append("start")

    def stop(self, taken):
        self.running = False
        self.told.append(f"stop after {taken}")

    def train_steps(self, state, order, rates, first, last):
        self.told.append((first, last))
        return state, ("epoch", last)


@pytest.fixture(autouse=True)
def quick_steps(monkeypatch):
    """Any number of steps is quick enough for one dispatch."""
    monkeypatch.setattr(Dispatcher, "seconds_per_step", 1e-6)


def go_through(dispatcher, size, per_epoch, epochs):
    rates = np.zeros(per_epoch)
    for _ in range(epochs):
        first = 0
        while first < per_epoch:
            chunk = Chunk(first, min(first - first % size + size, per_epoch, first + dispatcher.affordable_steps()))
            assert dispatcher.dispatch(0, None, rates, chunk) == 0
            assert next(dispatcher.read()) == (chunk, ("epoch", chunk.last))
            first = chunk.last


def test_traced_steps_are_dispatches_of_their_own():
    tape = Tape(10, 20)
    go_through(Dispatcher(tape.train_steps, tape), 25, 50, 1)
    assert tape.told == [(0, 10), "start", (10, 20), "stop after 20", (20, 25), (25, 50)]


def test_a_trace_goes_over_short_dispatches_and_ends_with_the_epoch():
    tape = Tape(10, 20)
    go_through(Dispatcher(tape.train_steps, tape), 6, 16, 2)
    first = [(0, 6), (6, 10), "start", (10, 12), (12, 16), "stop after 16"]
    assert tape.told == [*first, (0, 6), (6, 12), (12, 16)]


def test_steps_are_counted_over_epochs_and_from_where_a_run_goes_on():
    tape = Tape(10, 20)
    dispatcher = Dispatcher(tape.train_steps, tape)
    dispatcher.dispatch(0, None, np.zeros(8), Chunk(5, 8))  # resumed at step 5 of an epoch of 8
    next(dispatcher.read())
    go_through(dispatcher, 8, 8, 2)
    # The run's step 10 is step 7 of its second epoch, which then ends.
    assert tape.told == [(5, 8), (0, 7), "start", (7, 8), "stop after 11", (0, 8)]


def test_a_run_that_stops_ends_its_trace():
    tape = Tape(0, 10)
    dispatcher = Dispatcher(tape.train_steps, tape)
    dispatcher.dispatch(0, None, np.zeros(20), Chunk(0, 4))
    dispatcher.close()
    dispatcher.close()
    assert tape.told == ["start", (0, 4), "stop after 4"]


@pytest.fixture
def clock(monkeypatch):
    """Sets the time."""
    now = [0.0]
    monkeypatch.setattr(profiling.time, "monotonic", lambda: now[0])
    return lambda moment: now.__setitem__(0, moment)


def test_a_dispatch_begins_when_the_one_before_is_done(clock):
    dispatcher, rates = Dispatcher(Tape(0, 0).train_steps), np.zeros(1000)

    def call(moment, first, last):
        clock(moment)
        dispatcher.dispatch(0, None, rates, Chunk(first, last))

    def arrive(moment):
        clock(moment)
        next(dispatcher.read())

    assert dispatcher.percentiles() is None
    call(1.0, 0, 100)
    call(1.1, 100, 200)
    arrive(2.0)  # 1 s for 100 steps: 10 ms
    call(2.1, 200, 300)
    arrive(4.0)  # 2 s, since the one before: 20 ms
    arrive(5.0)  # 1 s: 10 ms
    call(9.0, 300, 310)  # after a pause, which is not its time
    arrive(10.0)  # 1 s for 10 steps: 100 ms
    # Of 310 steps 200 took 10 ms, 100 took 20 ms, 10 took 100 ms: the 155th, the 279th and the 307th are these.
    assert dispatcher.percentiles().to_json() == pytest.approx({"p50": 0.01, "p90": 0.02, "p99": 0.1})


def test_what_the_trace_holds_up_is_not_timed(clock):
    tape = Tape(10, 20)
    dispatcher, rates = Dispatcher(tape.train_steps, tape), np.zeros(1000)
    for number, (first, last) in enumerate([(0, 5), (5, 10), (10, 20)]):
        clock(float(number))
        dispatcher.dispatch(0, None, rates, Chunk(first, last))
    clock(50.0)
    assert len(list(dispatcher.read())) == 3
    assert dispatcher.percentiles() is None
    dispatcher.dispatch(0, None, rates, Chunk(20, 30))
    clock(51.0)
    next(dispatcher.read())
    assert dispatcher.percentiles().to_json() == pytest.approx({"p50": 0.1, "p90": 0.1, "p99": 0.1})
