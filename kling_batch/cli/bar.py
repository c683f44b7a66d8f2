"""The bar of a run on a terminal, by tqdm: as much as fits beside it, what matters most first."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

import click

from kling_batch.cli.colour import wanted
from kling_batch.cli.progress import Show, Tally, words_of
from kling_batch.clock import Clock
from kling_batch.events import Event, Looking, RunEnded, RunStarted, TakeChanged, TakeEnded, Warned
from kling_batch.model import Status
from kling_batch.report.facts import units_text

_TICK_S = 1.0
_LEAST_GAP_S = 0.1
_NOT_YET_S = 1e-9
"""Any delay keeps tqdm from drawing a bar of its own form before ours is worked out."""
_LEAST_BAR = 6
"""Columns: a shorter bar tells nothing, and its place is better used for words."""
_PERCENT = "{percentage:3.0f}% "
_MINUTE_S = 60
_HOUR_S = 3600


class Bar(Show):
    """Done, in flight, waiting, failed, units, time left and rate, on one line that is drawn anew."""

    def __init__(self, tally: Tally, clock: Clock) -> None:
        self._tally = tally
        self._clock = clock
        self._bar: Any = None
        self._begun: float | None = None
        self._due = 0.0

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, RunStarted):
            self._open(event)
        elif isinstance(event, Warned) or (isinstance(event, Looking) and event.seconds):
            self.say(words_of(event))
        elif isinstance(event, RunEnded):
            self.close()
        elif self._bar is not None:
            if isinstance(event, TakeChanged) and self._begun is None:
                self._begun = self._clock.monotonic()
            self._bar.n += isinstance(event, TakeEnded)
            if self._clock.monotonic() >= self._due:
                self._draw()

    def say(self, words: str) -> None:
        """Write a line above the bar."""
        if self._bar is None:
            super().say(words)
        else:
            self._bar.bar_format = self._format()
            self._bar.write(textwrap.fill(words, self._columns(), break_on_hyphens=False), file=sys.stderr)

    async def beat(self) -> None:
        """Draw it anew every second: time goes on, also where nothing happens."""
        while True:
            await self._clock.sleep(_TICK_S)
            self._draw()

    def close(self) -> None:
        """Leave the bar as it is, and go on below it."""
        if self._bar is not None:
            self._draw()
            self._bar.close()
            self._bar = None

    def _open(self, event: RunStarted) -> None:
        from tqdm import tqdm

        done = event.kept + event.failed
        colour = "green" if wanted(sys.stderr) else None
        self._bar = tqdm(
            total=event.takes, initial=done, file=sys.stderr, dynamic_ncols=True, colour=colour, delay=_NOT_YET_S
        )
        self._draw()

    def _draw(self) -> None:
        if self._bar is not None:
            self._bar.bar_format = self._format()
            self._bar.refresh()
            self._due = self._clock.monotonic() + _LEAST_GAP_S

    def _columns(self) -> int:
        return max(1, self._bar.format_dict["ncols"] or 80)

    def _format(self) -> str:
        """Fill the line: the percentage, the bar where there is room for one, and the words."""
        columns = self._columns()
        ended = self._bar.n - self._bar.initial
        spent_s = 0.0 if self._begun is None else self._clock.monotonic() - self._begun
        shown = fields(self._tally, ended=ended, spent_s=spent_s)
        with_bar = fitting(shown, columns - len("100% ") - _LEAST_BAR - 1)
        if with_bar:
            return f"{_PERCENT}{{bar}} {with_bar}"
        return _PERCENT + fitting(shown, columns - len("100% ")) if columns > len("100% ") else ""


def fields(tally: Tally, *, ended: int, spent_s: float) -> list[tuple[int, str]]:
    """Word where a run stands, each field with a number: the lower, the longer it is kept where room is short.

    Args:
        tally: What was counted.
        ended: The takes that ended in this run; those that were in place before tell nothing of its pace.
        spent_s: How long it has run, the look through the account before left out.
    """
    failed = tally.ended[Status.FAILED] + tally.ended[Status.UNKNOWN]
    told = click.style(f"{failed} failed", fg="red") if failed and wanted(sys.stderr) else f"{failed} failed"
    shown = [
        (0, f"{tally.ended[Status.SUCCEEDED]}/{tally.takes} done"),
        (1, f"{tally.in_flight} in flight"),
        (4, f"{tally.waiting} waiting"),
        (2 if failed else 5, told),
        (6, f"{units_text(tally.units)} units"),
    ]
    if tally.downloading:
        shown.insert(2, (8, f"{tally.downloading} downloading"))
    if ended and spent_s > 0:
        rate = ended / spent_s
        if left := tally.takes - sum(tally.ended.values()):
            shown.append((3, f"{_span(left / rate)} left"))
        shown.append((7, f"{rate:.1f}/s" if rate >= 1 else f"{rate * _MINUTE_S:.1f}/min"))
    return shown


def fitting(shown: list[tuple[int, str]], columns: int) -> str:
    """Join the fields that fit into so many columns; empty where not even the most important two do."""
    kept = sorted(number for number, _ in shown)
    while len(kept) > 1:
        line = ", ".join(text for number, text in shown if number in kept)
        if len(click.unstyle(line)) <= columns:
            return line
        kept.pop()
    return ""


def _span(seconds: float) -> str:
    """Write a time as `1:05:00`, `5:00` or `12 s`."""
    whole = round(seconds)
    if whole >= _HOUR_S:
        return f"{whole // _HOUR_S}:{whole // _MINUTE_S % _MINUTE_S:02}:{whole % _MINUTE_S:02}"
    return f"{whole // _MINUTE_S}:{whole % _MINUTE_S:02}" if whole >= _MINUTE_S else f"{whole} s"
