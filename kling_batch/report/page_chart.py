"""The history of a run's limit as a small chart: a line in steps, and a table with the reasons."""

from __future__ import annotations

from dataclasses import dataclass

from kling_batch.model import RunResult

_MOST_ROWS = 100
_TALLEST = 30.0
_BOTTOM = 34.0
_MINUTE_S = 60
_HOUR_S = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """An SVG path in a box of `width` by `height`, the area under it, and what it shows in words and rows."""

    width: int
    height: int
    line: str
    area: str
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
    width, height = 240, 36
    begin = min(result.started_at, points[0].at)
    span = max(result.finished_at - begin, points[-1].at - begin, 0.001)
    most = max(1, *(point.limit for point in points))
    steps = [(width * (point.at - begin) / span, _BOTTOM - _TALLEST * point.limit / most) for point in points]
    line = f"M0 {steps[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in steps) + f"H{width}"
    limits = [point.limit for point in points]
    return Chart(
        width=width,
        height=height,
        line=line,
        area=f"{line}V{height}H0Z",
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
