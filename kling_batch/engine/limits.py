"""How many tasks may be in flight, and how much may be spent. Plain state: no clock, no I/O, times are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

MOST_SUBMITTING = 8
"""Calls to create that may be under way at once; so many can meet a full account together."""
_START = 4
_SHORTEST_COOLDOWN_S = 5.0
_LONGEST_COOLDOWN_S = 60.0
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
    (1303) tells the room: what is in flight by then. Growth goes on after a cooldown, one at a time at first, since
    the account may have other users and its limit may change. A number is a hard cap and full from the start; the
    service may still have less room, which is obeyed in the same way.
    """

    cap: int | None = None
    current: int = 0
    refusals: int = 0
    _growing: bool = True
    _step: int = 1
    _cooldown_s: float = _SHORTEST_COOLDOWN_S
    _grow_at: float = 0.0

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
        probing = self._step > 1
        self._growing = False
        self._step = 1
        self._set(max(1, in_flight))
        self._cooldown_s = min(_LONGEST_COOLDOWN_S, self._cooldown_s * 2) if probing else _SHORTEST_COOLDOWN_S
        self._grow_at = now + self._cooldown_s

    def grow(self, in_flight: int, now: float) -> bool:
        """Grow by a step where the limit is really used and the cooldown has passed. True when it grew."""
        if self._growing or in_flight < self.current or now < self._grow_at:
            return False
        if self.cap is not None and self.current >= self.cap:
            return False
        self._set(self.current + self._step)
        self._step *= 2
        self._grow_at = now + self._cooldown_s
        return True

    def grows_at(self) -> float | None:
        """When `grow` may next succeed, or None where it cannot."""
        if self._growing or (self.cap is not None and self.current >= self.cap):
            return None
        return self._grow_at

    def _set(self, limit: int) -> None:
        self.current = limit if self.cap is None else min(self.cap, limit)


@dataclass(slots=True)
class Budget:
    """What may be spent, in units. `spent` counts what was charged and what is reserved, in every run of a journal."""

    most: Decimal | None = None
    spent: Decimal = Decimal(0)

    def affords(self, units: Decimal) -> bool:
        """Whether the budget allows to spend `units` more."""
        return self.most is None or self.spent + units <= self.most
