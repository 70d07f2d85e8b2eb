"""Threads that go one at a time, and make some calls together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

Order = tuple[int, int, int]  # of calls that stand next, the least is made first


class _Call(NamedTuple):
    order: Order
    argument: Any
    function: Callable[[Mapping[int, Any]], Mapping[int, Any]]


class Turns:
    """Members that share one thread's worth of time, and calls that are made once for all of them.

    One member goes until it calls or ends, so that members need no locks among themselves. When all wait with a call,
    those whose order is least have theirs made: one call of a function for all whose order is the same. A member
    that is behind the others so catches up, while they wait.
    """

    def __init__(self, members: int):
        """Counts members; each then runs in a thread of its own, numbered from 0."""
        self._turn = threading.Condition()
        self._going = set(range(members))
        self._calls: dict[int, _Call] = {}
        self._answers: dict[int, Any] = {}

    def run(self, member: int, function: Callable[[], T]) -> T:
        """Runs a member's function, its thread the only one that goes; whatever it raises, the others go on."""
        with self._turn:
            try:
                return function()
            finally:
                self._going.remove(member)
                self._make()

    def call(
        self,
        member: int,
        order: Order,
        argument: Any,
        function: Callable[[Mapping[int, Any]], Mapping[int, Any]],
    ) -> Any:
        """Makes a call together with the others of the same order.

        Args:
          member: that calls, from within its `run`.
          order: of the call.
          argument: of this member.
          function: from the members' arguments to their results, by their numbers; of a call's members, one's is used.

        Returns:
          This member's result.

        Raises:
          Exception: what the function raised, in every member of the call.
        """
        self._calls[member] = _Call(order, argument, function)
        self._make()
        while member not in self._answers:
            self._turn.wait()
        answer = self._answers.pop(member)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _make(self) -> None:
        """Makes the next call, if nobody is left that goes."""
        if not self._calls or self._calls.keys() != self._going:
            return
        least = min(call.order for call in self._calls.values())
        now = {member: call for member, call in self._calls.items() if call.order == least}
        function = next(iter(now.values())).function
        try:
            answers = function({member: call.argument for member, call in now.items()})
        except BaseException as error:
            answers = dict.fromkeys(now, error)
        for member in now:
            del self._calls[member]
            self._answers[member] = answers[member]
        self._turn.notify_all()
