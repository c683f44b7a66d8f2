"""How many tasks may be in flight, and when calls wait. Plain state: no clock, no I/O, times are arguments."""

from __future__ import annotations

from dataclasses import dataclass

MOST_SUBMITTING = 8
"""Calls to create that may be under way at once; so many can meet a full account together."""
_START = 4
_SHORTEST_COOLDOWN_S = 5.0
_LONGEST_COOLDOWN_S = 60.0
_NEXT_STEP_S = 1.0
"""After growth that was taken: there may be more room."""
_LEISURE_S = 1.5
"""How long room of others stands empty before it is taken: they refill what is theirs faster than that."""
_SECOND_STEP = 2
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0


def wait_s(
    failures: int, jitter: float, *, first_s: float = _FIRST_WAIT_S, longest_s: float = _LONGEST_WAIT_S
) -> float:
    """How long to wait after the n-th failure in a row (from 1): doubling, plus up to a quarter by `jitter` in 0..1.

    The first wait is never below `first_s`: the service asks for at least a second [official pages].
    """
    return min(longest_s, first_s * 2.0 ** (min(failures, 16) - 1)) * (1 + jitter / 4)


@dataclass(slots=True)
class Limit:
    """How many tasks may be in flight.

    `cap` None means *auto*: begin small, grow while the service takes what it is given. A refusal for want of room
    (1303) tells the room: what is in flight by then. Growth goes on after a cooldown, by one at first and quickly
    where that is taken, since the account's limit may change. A number is a hard cap and full from the start; the
    service may still have less room, which is obeyed in the same way.

    The account may have other users. With their tasks, which its list shows, a refusal tells the account's limit; room
    that they leave empty for a while is taken without a try.
    """

    cap: int | None = None
    current: int = 0
    refusals: int = 0
    _growing: bool = True
    _step: int = 1
    _cooldown_s: float = _SHORTEST_COOLDOWN_S
    _grow_at: float = 0.0
    _others: int = 0
    _account: int | None = None
    _free_since: float | None = None
    _least_free: int = 0

    def __post_init__(self) -> None:
        self.current = _START if self.cap is None else self.cap
        self._growing = self.cap is None

    def __repr__(self) -> str:
        return f"Limit({self.current} of {'auto' if self.cap is None else self.cap})"

    def room(self, in_flight: int) -> int:
        """How many more may be sent."""
        return max(0, self.current - in_flight)

    def accepted(self, in_flight: int) -> None:
        """Learn from a task that was taken, with which `in_flight` tasks are there."""
        self.refusals = 0
        more = min(MOST_SUBMITTING, max(_START, in_flight) // 2) if self._growing else 0
        self._set(max(self.current, in_flight + more))

    def refused(self, in_flight: int, now: float) -> None:
        """Learn from a refusal for want of room, while `in_flight` tasks of ours are known to be there."""
        self.refusals += 1
        first_step_refused = self._step == _SECOND_STEP
        self._growing = False
        self._step = 1
        self._set(max(1, in_flight))
        self._account = in_flight + self._others
        self._free_since = None
        longer = min(_LONGEST_COOLDOWN_S, self._cooldown_s * 2)
        self._cooldown_s = longer if first_step_refused else _SHORTEST_COOLDOWN_S
        self._grow_at = now + self._cooldown_s

    def saw(self, in_flight: int, others: int, now: float) -> bool:
        """Learn from a look at the account: so many tasks are ours, and so many those of others. True when it grew."""
        self._others = others
        if self._account is None:
            return False
        self._account = max(self._account, in_flight + others)
        free = self._account - in_flight - others
        if free <= 0 or in_flight < self.current or (self.cap is not None and self.current >= self.cap):
            self._free_since = None
            return False
        if self._free_since is None:
            self._free_since, self._least_free = now, free
        self._least_free = min(self._least_free, free)
        if now - self._free_since < _LEISURE_S:
            return False
        self._free_since = None
        self._set(self.current + self._least_free)
        return True

    def grow(self, in_flight: int, now: float) -> bool:
        """Grow by a step where the limit is really used and the cooldown has passed. True when it grew."""
        if self._growing or in_flight < self.current or now < self._grow_at:
            return False
        if self.cap is not None and self.current >= self.cap:
            return False
        self._set(self.current + self._step)
        self._step *= 2
        self._grow_at = now + _NEXT_STEP_S
        return True

    def grows_at(self) -> float | None:
        """When `grow` may next succeed, or None where it cannot."""
        if self._growing or (self.cap is not None and self.current >= self.cap):
            return None
        return self._grow_at

    def _set(self, limit: int) -> None:
        self.current = limit if self.cap is None else min(self.cap, limit)


@dataclass(slots=True)
class Backoff:
    """Waits of all calls, `until` a moment of the monotonic clock, after `troubles` in a row."""

    until: float = 0.0
    troubles: int = 0
    _lesson_at: float = 0.0

    def is_lesson(self, began: float, now: float) -> bool:
        """Whether a call that failed was made after the last lesson: calls that fail together are one."""
        if began < self._lesson_at:
            return False
        self._lesson_at = now
        return True
