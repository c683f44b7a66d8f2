"""Small charts at the head of the page, each with a table: the history of a run's limit, and the loudness of a set."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kling_batch.model import RunResult, Shape
from kling_batch.report.facts import levels
from kling_batch.text import counted

_WIDTH, _HEIGHT = 240, 36
"""Of the box that the page draws a chart in."""
_MOST_ROWS = 100
_TALLEST = 30.0
_BOTTOM = 34.0
_MINUTE_S = 60
_HOUR_S = 3600
_MOST_BARS = 30
_NEAR_LU = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """An SVG path, and what it shows in words and rows."""

    line: str
    first: int
    last: int
    words: str
    rows: list[tuple[str, int, str]]
    left_out: int


def chart(result: RunResult) -> Chart | None:
    """Draw how many tasks might be in flight over a run; None where nothing is known of it."""
    points = result.limits
    if not points:
        return None
    begin = min(result.started_at, points[0].at)
    span = max(result.finished_at - begin, points[-1].at - begin, 0.001)
    most = max(1, *(point.limit for point in points))
    steps = [(_WIDTH * (point.at - begin) / span, _BOTTOM - _TALLEST * point.limit / most) for point in points]
    line = f"M0 {steps[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in steps) + f"H{_WIDTH}"
    limits = [point.limit for point in points]
    return Chart(
        line=line,
        first=limits[0],
        last=limits[-1],
        words=(
            f"The limit on tasks at once began at {limits[0]}, was between {min(limits)} and {most}, "
            f"and ended at {limits[-1]}."
        ),
        rows=[(time_text(point.at - begin), point.limit, point.reason) for point in points[-_MOST_ROWS:]],
        left_out=max(0, len(points) - _MOST_ROWS),
    )


def time_text(seconds: float) -> str:
    """Write a length of time for people: `9.3 s`, `4 min 07 s`, `2 h 05 min`."""
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // _HOUR_S} h {whole % _HOUR_S // 60:02} min"


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """How loud the finished takes of a set are, and were: SVG paths, words and rows.

    A row is the middle of a bar, in LUFS, and how many takes it stands for as they were delivered and finished.
    """

    before: str
    after: str
    target: str
    targets: str
    first: str
    last: str
    words: str
    rows: list[tuple[str, int, int]]


def histogram(result: RunResult, shapes: Mapping[str, Shape]) -> Histogram | None:
    """Draw the loudness of what was finished; None where nothing was, or nothing is known of it."""
    before, after, targets, off = [], [], set(), []
    for take in result.takes:
        told, target = levels(take, shapes), take.take.job.finish.get("loudness")
        was, now = told["source_loudness"], told["loudness"]
        if was is None or now is None:
            continue
        before.append(was)
        after.append(now)
        if target is not None:
            targets.add(target)
            off.append(abs(now - target))
    if not after:
        return None
    all_levels = [*before, *after, *targets]
    least, most = math.floor(min(all_levels)) - 1, math.ceil(max(all_levels)) + 1
    bars = range(least, most + 1, math.ceil((most - least) / _MOST_BARS))
    bar = _WIDTH / len(bars)
    old_bars, new_bars = _bars(before, bars), _bars(after, bars)
    words = f"{counted(len(after), 'finished take')}: {_span(before)} as delivered, {_span(after)} finished."
    if targets:
        words += f" {sum(1 for lu in off if lu <= _NEAR_LU)} of {len(off)} are within {_NEAR_LU} LU of the target."
    return Histogram(
        before=_drawn(old_bars, bar, bar),
        after=_drawn(new_bars, bar, bar * 0.6),
        target="".join(f"M{bar * ((target - least) / bars.step + 0.5):.1f} 0V{_HEIGHT}" for target in targets),
        targets=", ".join(_lufs(f"{target:g}") for target in sorted(targets)),
        first=_lufs(str(least)),
        last=_lufs(str(bars[-1])),
        words=words,
        rows=[
            (_lufs(str(level)), old, new)
            for level, old, new in zip(bars, old_bars, new_bars, strict=True)
            if old or new
        ],
    )


def _bars(loudness: Iterable[float], bars: range) -> list[int]:
    """Count what is nearest to the middle of each bar."""
    counts = Counter(math.floor((level - bars.start) / bars.step + 0.5) for level in loudness)
    return [counts[place] for place in range(len(bars))]


def _drawn(bars: Sequence[int], bar: float, wide: float) -> str:
    """Draw bars on the bottom of the box, the tallest as tall as that. The lowest can still be seen."""
    tall = [max(2.0, _BOTTOM * count / max(bars)) if count else 0.0 for count in bars]
    begins = [place * bar + (bar - wide) / 2 for place in range(len(bars))]
    return "".join(
        f"M{x:.1f} {_BOTTOM + 2:g}v{-y:.1f}h{wide:.1f}v{y:.1f}z" for x, y in zip(begins, tall, strict=True) if y
    )


def _span(loudness: Sequence[float]) -> str:
    low, high = (_lufs(f"{level:.1f}") for level in (min(loudness), max(loudness)))
    return f"{low} LUFS" if low == high else f"{low} to {high} LUFS"


def _lufs(level: str) -> str:
    """Write a level with a minus that is as wide as a digit."""
    return level.replace("-", "\u2212")
