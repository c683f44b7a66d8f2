"""What a run shows while it runs, on stderr: a bar on a terminal, else lines or a heartbeat, or JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

import click

from kling_batch.clock import Clock, iso
from kling_batch.events import (
    Event,
    LimitChanged,
    Looking,
    RunEnded,
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
            case RunStarted(takes=takes):
                self.takes = takes
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

    def line(self) -> str:
        """Where the run stands, in a line."""
        parts = [
            f"{self.ended[Status.SUCCEEDED]} done",
            f"{self.in_state('submitting', 'in-flight', 'settling')} in flight",
            f"{self.in_state('downloading')} downloading",
        ]
        parts += [
            f"{self.ended[status]} {status.value}" for status in (Status.FAILED, Status.UNKNOWN) if self.ended[status]
        ]
        return ", ".join(parts) + f", of {self.takes} takes; {self.units:.2f} units"


Show = Callable[[Event], None]


class Bar:
    """A bar of tqdm, with what is in flight beside it."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._bar: Any = None

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, RunStarted):
            from tqdm import tqdm

            self._bar = tqdm(total=event.takes, unit="take", file=sys.stderr, disable=None, dynamic_ncols=True)
        elif self._bar is None:
            return
        elif isinstance(event, Warned) or (isinstance(event, Looking) and event.seconds):
            self._bar.write(_words(event), file=sys.stderr)
        elif isinstance(event, RunEnded):
            self._bar.close()
        elif isinstance(event, TakeEnded):
            self._bar.update(1)
        if self._bar is not None and not isinstance(event, RunEnded):
            in_flight = self._tally.in_state("submitting", "in-flight", "settling")
            failed = self._tally.ended[Status.FAILED]
            self._bar.set_postfix_str(f"{in_flight} in flight, {failed} failed", refresh=False)


class Lines:
    """A line per change of state."""

    def __call__(self, event: Event) -> None:
        """Show an event."""
        words = _words(event)
        if words:
            click.echo(f"{iso(event.at)} {words}", err=True)


class Heartbeat:
    """A line every 30 s, and one before a longer wait, so that a log shows that the run is alive."""

    def __init__(self, tally: Tally, clock: Clock) -> None:
        self._tally = tally
        self._clock = clock

    def __call__(self, event: Event) -> None:
        """Show an event where silence would puzzle."""
        if isinstance(event, Warned) or (isinstance(event, Looking) and event.seconds):
            click.echo(_words(event), err=True)

    async def beat(self) -> None:
        """Beat until cancelled."""
        while True:
            await self._clock.sleep(HEARTBEAT_S)
            click.echo(self._tally.line(), err=True)


class JsonLines:
    """An object a line for every event."""

    def __call__(self, event: Event) -> None:
        """Show an event."""
        facts = {name: _plain(value) for name, value in asdict(event).items() if name != "at"}
        click.echo(json.dumps({"at": iso(event.at), "event": type(event).__name__, **facts}), err=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return f"{value['job_id']}:{value['number']}"
    return value


def _words(event: Event) -> str:
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
