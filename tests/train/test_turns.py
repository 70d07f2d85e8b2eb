"""Threads that go in turns and meet in calls."""

import concurrent.futures

import pytest

from cnn_jax.train.turns import Turns


def run_all(*members):
    """Runs functions of (turns, own number) together; gives their results or what they raised."""
    turns = Turns(len(members))
    with concurrent.futures.ThreadPoolExecutor(len(members)) as threads:
        ends = [
            threads.submit(turns.run, number, lambda number=number, member=member: member(turns, number))
            for number, member in enumerate(members)
        ]
        return [end.exception(timeout=60) or end.result() for end in ends]


def summing(made):
    """A function of all members' arguments that notes with what it was called."""

    def function(arguments):
        made.append(dict(arguments))
        return dict.fromkeys(arguments, sum(arguments.values()))

    return function


def test_equal_orders_are_one_call():
    made = []

    def member(turns, number):
        return [turns.call(number, (step, 0, 0), 10 * step + number, summing(made)) for step in range(3)]

    assert run_all(member, member, member) == [[3, 33, 63]] * 3
    assert made == [{0: 10 * step, 1: 10 * step + 1, 2: 10 * step + 2} for step in range(3)]


def test_those_behind_catch_up():
    made = []

    def from_step(first):
        def member(turns, number):
            return [turns.call(number, (step, 0, 0), number, summing(made)) for step in range(first, 4)]

        return member

    run_all(from_step(0), from_step(2), from_step(3))
    assert [sorted(each) for each in made] == [[0], [0], [0, 1], [0, 1, 2]]


def test_one_that_ends_does_not_hold_up_the_others():
    made = []

    def short(turns, number):
        turns.call(number, (0, 0, 0), number, summing(made))
        raise KeyError("mine alone")

    def long(turns, number):
        return [turns.call(number, (step, 0, 0), number, summing(made)) for step in range(3)]

    def at_once(turns, number):
        return "nothing to call"

    failed, first, second, idle = run_all(short, long, long, at_once)
    assert isinstance(failed, KeyError)
    assert first == second == [3, 3, 3]
    assert idle == "nothing to call"


def test_a_call_that_fails_fails_for_its_members():
    def broken(arguments):
        raise ValueError(f"got {sorted(arguments)}")

    def member(turns, number):
        with pytest.raises(ValueError, match=r"got \[0, 1\]"):
            turns.call(number, (0, 0, 0), None, broken)
        return turns.call(number, (1, 0, 0), number, summing([]))

    assert run_all(member, member) == [1, 1]


def test_one_goes_at_a_time():
    going = []

    def member(turns, number):
        for step in range(50):
            going.append(number)
            assert going == [number], "another goes, too"
            going.remove(number)
            turns.call(number, (step, 0, 0), number, summing([]))

    assert run_all(*[member] * 4) == [None] * 4
