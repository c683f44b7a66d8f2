"""What a run shows while it runs, on stderr: lines or a heartbeat, or JSON for machines; on a terminal see `bar`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from kling_batch.cli.colour import say
from kling_batch.clock import Clock, iso
from kling_batch.events import (
    Event,
    LimitChanged,
    Looking,
    RunStarted,
    TakeChanged,
    TakeEnded,
    Waiting,
    Warned,
)
from kling_batch.model import Status, TakeKey

HEARTBEAT_S = 30.0


@dataclass(slots=True)
class Tally:
    """Counts what happened, for one line."""

    takes: int = 0
    ended: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(Status, 0))
    states: dict[TakeKey, str] = field(default_factory=dict)
    units: Decimal = Decimal(0)

    def __call__(self, event: Event) -> None:
        """Count an event."""
        match event:
            case RunStarted(takes=takes, kept=kept, failed=failed):
                self.takes = takes
                self.ended[Status.SUCCEEDED] = kept
                self.ended[Status.FAILED] = failed
            case TakeChanged(take=take, state=state):
                self.states[take] = state
            case TakeEnded(take=take, status=status, units=units):
                self.states.pop(take, None)
                self.ended[status] += 1
                self.units += units
            case _:
                pass

    def in_state(self, *states: str) -> int:
        """How many takes are in one of these states."""
        return sum(1 for state in self.states.values() if state in states)

    @property
    def in_flight(self) -> int:
        """How many takes hold a slot."""
        return self.in_state("submitting", "in-flight", "settling")

    @property
    def downloading(self) -> int:
        """How many takes are made, and are being fetched."""
        return self.in_state("generated", "downloading")

    @property
    def waiting(self) -> int:
        """How many takes nothing is done for at the moment."""
        return max(0, self.takes - sum(self.ended.values()) - self.in_flight - self.downloading)

    def line(self) -> str:
        """Where the run stands, in a line."""
        parts = [
            f"{self.ended[Status.SUCCEEDED]} done",
            f"{self.in_flight} in flight",
            f"{self.downloading} downloading",
            f"{self.waiting} waiting",
        ]
        parts += [
            f"{self.ended[status]} {status.value}" for status in (Status.FAILED, Status.UNKNOWN) if self.ended[status]
        ]
        return ", ".join(parts) + f", of {self.takes} takes; {self.units:.2f} units"


class Show:
    """Shows a run to whoever watches; this one shows nothing."""

    def __call__(self, event: Event) -> None:
        """Show an event."""

    def say(self, words: str) -> None:
        """Write a line, whatever else is shown."""
        say(words, err=True)

    async def beat(self) -> None:
        """Do what has to be done from time to time, until cancelled."""

    def close(self) -> None:
        """Come to an end, however the run did."""


class Lines(Show):
    """A line per change of state."""

    def __call__(self, event: Event) -> None:
        """Show an event."""
        words = words_of(event)
        if words:
            say(f"{iso(event.at)} {words}", err=True)


class Heartbeat(Show):
    """A line every 30 s, and one before a longer wait, so that a log shows that the run is alive."""

    def __init__(self, tally: Tally, clock: Clock) -> None:
        self._tally = tally
        self._clock = clock

    def __call__(self, event: Event) -> None:
        """Show an event where silence would puzzle."""
        if isinstance(event, Warned) or (isinstance(event, Looking) and event.seconds):
            say(words_of(event), err=True)

    async def beat(self) -> None:
        """Beat until cancelled."""
        while True:
            await self._clock.sleep(HEARTBEAT_S)
            say(self._tally.line(), err=True)


class JsonLines(Show):
    """An object a line for every event."""

    def __call__(self, event: Event) -> None:
        """Show an event."""
        facts = {name: _plain(value) for name, value in asdict(event).items() if name != "at"}
        say(json.dumps({"at": iso(event.at), "event": type(event).__name__, **facts}), err=True)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal | TakeKey) else value


def words_of(event: Event) -> str:
    """Word an event for people; empty for one that tells them nothing."""
    match event:
        case RunStarted(takes=takes, to_generate=to_generate):
            return f"{takes} takes, {to_generate} to generate"
        case Looking(takes=takes, seconds=seconds):
            waits = f" (twice, {seconds:g} s apart: --settle-time)" if seconds else ""
            return f"looking through the account for {takes} takes that it may already have{waits}"
        case TakeChanged(take=take, state=state, detail=detail):
            return f"{take}: {state}" + (f" ({detail})" if detail else "")
        case TakeEnded(take=take, status=status, detail=detail):
            return f"{take}: {status.value}" + (f": {detail}" if detail else "")
        case LimitChanged(limit=limit, reason=reason):
            return f"at most {limit} tasks in flight from now on: {reason}"
        case Waiting(seconds=seconds, reason=reason):
            return f"nothing is sent for {seconds:.1f} s: {reason}"
        case Warned(message=message):
            return message
        case _:
            return ""
