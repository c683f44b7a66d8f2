"""What a run shows while it runs, on stderr: a bar on a terminal, elsewhere lines or a heartbeat, JSON for machines."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from kling_batch.cli.output import Line, Tone, Toned, log, logs_json, painted, redraws, say, wanted
from kling_batch.clock import Clock, SystemClock, iso
from kling_batch.events import (
    Event,
    LimitChanged,
    Looking,
    RunStarted,
    Staffed,
    TakeChanged,
    TakeEnded,
    Unanswered,
    Waiting,
    Warned,
)
from kling_batch.model import Status, TakeKey
from kling_batch.text import counted

HEARTBEAT_S = 30.0
_TICK_S = 1.0
_BAR = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} done{postfix}, {remaining} left, {rate_fmt}"


@dataclass(slots=True)
class Tally:
    """Counts what happened, for one line."""

    sandbox: bool
    takes: int = 0
    ended: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(Status, 0))
    states: dict[TakeKey, str] = field(default_factory=dict)
    units: Decimal = Decimal(0)
    workers: int = 0

    def __call__(self, event: Event) -> None:
        """Count an event."""
        match event:
            case RunStarted(takes=takes, kept=kept, failed=failed):
                self.takes = takes
                self.ended[Status.SUCCEEDED] = kept
                self.ended[Status.FAILED] = failed
            case Staffed(workers=workers):
                self.workers = workers
            case TakeChanged(take=take, state=state):
                self.states[take] = state
            case TakeEnded(take=take, status=status, units=units):
                self.states.pop(take, None)
                self.ended[status] += 1
                self.units += units
            case _:
                pass

    def _count(self, *states: str) -> int:
        return sum(1 for state in self.states.values() if state in states)

    def line(self, before: str = "") -> Line:
        """Say what is under way, what failed, and what was spent."""
        in_flight = self._count("submitting", "in-flight", "settling")
        downloading = self._count("generated", "downloading")
        away = self._count("at-worker")
        waiting = max(0, self.takes - sum(self.ended.values()) - in_flight - downloading - away)
        failed = [f"{count} {status}" for status in (Status.FAILED, Status.UNKNOWN) if (count := self.ended[status])]
        parts = [f"{in_flight} in flight", f"{downloading} downloading", f"{waiting} waiting"]
        parts += [f"{away} at {counted(self.workers, 'worker')}"] if self.workers else []
        listed = f"{before}{', '.join(parts)}, "
        wrong: list[str | Toned] = [Toned(", ".join(failed), Tone.WRONG), ", "] if failed else []
        return [listed, *wrong, "nothing spent" if self.sandbox else f"{self.units:.2f} units"]


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What of a run is to be shown, and how: see the help of the options."""

    quiet: bool
    verbose: bool

    def show(self, *, sandbox: bool) -> Show:
        """Choose who shows it. What a sandbox pretends to charge is not shown."""
        if logs_json():
            return JsonLines()
        if self.quiet:
            return Show()
        if self.verbose:
            return Lines()
        return Bar(sandbox=sandbox) if redraws(sys.stderr) else Heartbeat(SystemClock(), sandbox=sandbox)


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
        if words := words_of(event):
            say(f"{iso(event.at)} {words}", err=True)


class JsonLines(Show):
    """An object a line for every event."""

    def __call__(self, event: Event) -> None:
        """Show an event."""
        facts = {name: _plain(value) for name, value in asdict(event).items() if name != "at"}
        log(type(event).__name__, at=event.at, **facts)


class Heartbeat(Show):
    """A line every 30 s, and one before a longer wait, so that a log shows that the run is alive."""

    def __init__(self, clock: Clock, *, sandbox: bool) -> None:
        self._tally = Tally(sandbox=sandbox)
        self._clock = clock
        self._looks_at = 0.0

    def __call__(self, event: Event) -> None:
        """Count an event, and show it where silence would puzzle."""
        self._tally(event)
        if isinstance(event, Warned | Unanswered) or (isinstance(event, Looking) and event.seconds):
            self.say(words_of(event))
        if isinstance(event, Looking):
            self._looks_at = self._clock.monotonic() + event.seconds

    def line(self, before: str = "") -> Line:
        """Say where the run stands, and how long it still waits before the account is looked through again."""
        left_s = self._looks_at - self._clock.monotonic()
        wait = f"looks again in {left_s:.0f} s, " if left_s > 0 else ""
        return self._tally.line(f"{before}{wait}")

    async def beat(self) -> None:
        """Beat until cancelled."""
        while True:
            await self._clock.sleep(HEARTBEAT_S)
            done, takes = self._tally.ended[Status.SUCCEEDED], self._tally.takes
            say(self.line(f"{done} of {counted(takes, 'take')} done, "), err=True)


class Bar(Heartbeat):
    """One line, drawn by tqdm, for as long as the run lasts."""

    def __init__(self, *, sandbox: bool) -> None:
        super().__init__(SystemClock(), sandbox=sandbox)
        self._bar: Any = None

    def __call__(self, event: Event) -> None:
        """Show an event."""
        super().__call__(event)
        words = painted(self.line(), sys.stderr)
        if isinstance(event, RunStarted):
            from tqdm import tqdm

            self._bar = tqdm(
                total=event.takes,
                initial=event.kept + event.failed,
                file=sys.stderr,
                dynamic_ncols=True,
                unit="take",
                miniters=0,
                bar_format=_BAR,
                postfix=words,
                colour="green" if wanted(sys.stderr) else None,
            )
        if self._bar is not None:
            self._bar.set_postfix_str(words, refresh=False)
            self._bar.update(isinstance(event, TakeEnded))

    def say(self, words: str) -> None:
        """Write a line above the bar."""
        if self._bar is None:
            super().say(words)
        else:
            with self._bar.external_write_mode(file=sys.stderr):
                super().say(words)

    async def beat(self) -> None:
        """Draw it anew every second: time goes on, also where nothing happens."""
        while True:
            await asyncio.sleep(_TICK_S)
            if self._bar is not None:
                self._bar.set_postfix_str(painted(self.line(), sys.stderr))

    def close(self) -> None:
        """Leave the bar as it is, and go on below it."""
        if self._bar is not None:
            self._bar.close()


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal | TakeKey) else value


def words_of(event: Event) -> str:
    """Word an event for people; empty for one that tells them nothing."""
    match event:
        case RunStarted(takes=takes, to_generate=to_generate):
            return f"{counted(takes, 'take')}, {to_generate} to generate"
        case Looking(takes=takes, seconds=seconds):
            waits = f" (twice, {seconds:g} s apart: --settle-time)" if seconds else ""
            return f"looking through the account for {counted(takes, 'take')} that it may already have{waits}"
        case Staffed(workers=workers):
            return f"{counted(workers, 'worker')} to fetch, verify and finish"
        case TakeChanged(take=take, state=state, detail=detail):
            return f"{take}: {state}" + (f" ({detail})" if detail else "")
        case TakeEnded(take=take, status=status, detail=detail):
            return f"{take}: {status.value}" + (f": {detail}" if detail else "")
        case LimitChanged(limit=limit, reason=reason):
            return f"at most {counted(limit, 'task')} in flight from now on: {reason}"
        case Unanswered(seconds=seconds, reason=reason):
            return f"{reason}; trying again, {seconds:.0f} s left"
        case Waiting(seconds=seconds, reason=reason):
            return f"nothing is sent for {seconds:.1f} s: {reason}"
        case Warned(message=message):
            return message
        case _:
            return ""
