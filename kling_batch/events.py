"""What happened in a run, for those who watch: progress, logs, tests. The engine emits; observers render."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from kling_batch.model import Status, TakeKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One fact, with its Unix time in seconds."""

    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted(Event):
    """The work begins: `takes` are selected, `to_generate` of them are not known to exist anywhere.

    Nothing is done for those that are `kept`, in place already, and for those that `failed` for good before.
    """

    takes: int
    to_generate: int
    kept: int
    failed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Looking(Event):
    """The account is looked through for takes that it may already have; `seconds` is the wait that follows."""

    takes: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeChanged(Event):
    """A take moved on.

    `state` is one word: submitting, in-flight, settling, retrying, generated, downloading, at-worker.
    """

    take: TakeKey
    external_id: str
    state: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeEnded(Event):
    """A take has its final status in this run. `units` is what it cost, where this run sent it."""

    take: TakeKey
    status: Status
    units: Decimal
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Staffed(Event):
    """There are workers elsewhere that do what is heavy."""

    workers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitChanged(Event):
    """How many tasks may be in flight from now on, and why it changed."""

    limit: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting(Event):
    """Nothing is sent for `seconds`, and why."""

    seconds: float
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unanswered(Event):
    """The service has not answered for a while, and why; it is tried again for `seconds` more."""

    seconds: float
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Warned(Event):
    """Something is wrong that does not keep the run from its end."""

    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnded(Event):
    """The work is over, or stopped; `note` says why when it stopped before its end, or what did not work."""

    note: str | None


Observer = Callable[[Event], None]
"""Is called for every event, in order, on the event loop's thread. Must not block."""


def best_effort(observe: Observer) -> Observer:
    """Have a run go on in silence where nobody can be told of it, as when the reader of a pipe has left."""

    def tell(event: Event) -> None:
        try:
            observe(event)
        except Exception:
            logging.getLogger("kling_batch").debug("Nobody could be told of %s", event, exc_info=True)

    return tell
