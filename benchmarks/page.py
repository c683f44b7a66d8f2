"""The results as a table in CSV, and what people read of it: eleven ratios and a chart."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Row = Mapping[str, str]

_TEMPLATE = Path(__file__).with_name("page.md")
_TOLD = {"part": "simulated", "client": "told", "generation": "2 s log-normal"}
_GRID = {"part": "simulated", "takes": "1000", "generation": "2 s log-normal"}
_LOOP = "each task every 1 s"
_PROGRAM = "kling-batch, --poll-interval 0.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """A figure of the row that agrees with `where`, over that of the row that agrees with `over`, if it is none yet."""

    words: str
    where: Row
    figure: str
    over: Row | None = None

    def of(self, rows: Sequence[Row]) -> float | None:
        """Work it out; None where it was not measured."""
        above = _figure(rows, self.where, self.figure)
        below = 1.0 if self.over is None else _figure(rows, self.over, self.figure)
        return None if above is None or below is None else above / below


RATIOS = (
    Ratio(words="Span of 100 takes on 10 slots", where=_TOLD | {"slots": "10"}, figure="span_over_oracle"),
    Ratio(words="Span of 1,000 takes on 100 slots", where=_TOLD | {"slots": "100"}, figure="span_over_oracle"),
    Ratio(
        words="Span of 100 takes where the limit, 7, has to be found out",
        where=_TOLD | {"client": "auto", "slots": "7"},
        figure="span_over_oracle",
    ),
    Ratio(
        words="Span of a loop that polls each task every second, 100 takes on 10 slots",
        where={"part": "span", "case": _LOOP},
        figure="span_over_oracle",
    ),
    Ratio(
        words="Span of a loop that polls each task every 5 seconds",
        where={"part": "span", "case": "each task every 5 s"},
        figure="span_over_oracle",
    ),
    Ratio(
        words="Requests over those of a loop every second, 1,000 takes on 20 slots",
        where=_GRID | {"client": _PROGRAM, "slots": "20"},
        over=_GRID | {"client": _LOOP, "slots": "20"},
        figure="requests_a_take",
    ),
    Ratio(
        words="Two runs at once on one limit, over one run of all takes",
        where={"part": "shared", "case": "200 takes and 200 takes, auto, 20 slots"},
        figure="over_one_run",
    ),
    Ratio(words="CPU a take, over the HTTP client alone", where={"part": "cpu"}, figure="over_floor"),
    Ratio(
        words="Fetching with checks and reports, over `curl --parallel`",
        where={"part": "downloads"},
        figure="over_curl",
    ),
    Ratio(
        words="A run with nothing to do, over reading the lock of 100,000 takes",
        where={"part": "locked", "takes": "100000", "case": "run, nothing to do"},
        figure="times_reading_the_lock",
    ),
    Ratio(
        words="CPU to finish a sound as OGG and FLAC, over `ffmpeg -af loudnorm` in two passes",
        where={"part": "finish", "case": "kling-batch"},
        figure="over_loudnorm",
    ),
)

_PANELS = (("span over the shortest possible", "span_over_oracle", 1.0), ("requests a take", "requests_a_take", 0.0))
_SLOTS = ("1", "5", "20", "100")
_LINES = (
    (_PROGRAM, "kling-batch", "#1668b8"),
    (_LOOP, "polls each task every 1 s", "#c2570c"),
    ("each task every 5 s", "polls each task every 5 s", "#6b7280"),
)
_WIDE, _HIGH, _LEFT, _TOP = 300, 170, 50, 40


def read(path: Path) -> list[dict[str, str]]:
    """Read the rows; none where nothing was measured yet."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows, with the columns of every part."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def page(rows: Sequence[Row]) -> str:
    """Write the page."""
    found = [(ratio.words, ratio.of(rows)) for ratio in RATIOS]
    lines = [f"| {words} | {'not measured' if value is None else f'{value:.3g}'} |" for words, value in found]
    table = "\n".join(["| ratio | |", "| --- | --- |", *lines])
    machine = next((row["case"] for row in rows if row["part"] == "machine"), "")
    text = _TEMPLATE.read_text(encoding="utf-8")
    return text.replace("<!-- ratios -->", table).replace("<!-- machine -->", machine)


def chart(rows: Sequence[Row]) -> str:
    """Draw span and requests by slots, a line for each client, as SVG."""
    drawn = [_panel(rows, number, *panel) for number, panel in enumerate(_PANELS)]
    names = [
        f'<text x="{_LEFT + 210 * number}" y="{_TOP + _HIGH + 55}" fill="{colour}">{words}</text>'
        for number, (_, words, colour) in enumerate(_LINES)
    ]
    size = f'viewBox="0 0 {2 * (_WIDE + _LEFT) + 20} {_TOP + _HIGH + 70}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *drawn, *names, "</svg>\n"])


def _panel(rows: Sequence[Row], number: int, title: str, figure: str, lowest: float) -> str:
    lines = {
        colour: [_figure(rows, _GRID | {"client": client, "slots": slots}, figure) for slots in _SLOTS]
        for client, _, colour in _LINES
    }
    highest = max((value for values in lines.values() for value in values if value is not None), default=lowest + 1)
    left, bottom = _LEFT + number * (_WIDE + _LEFT), _TOP + _HIGH

    def x(place: int) -> float:
        return left + _WIDE * (place + 0.5) / len(_SLOTS)

    def y(value: float) -> float:
        return bottom - _HIGH * (value - lowest) / (highest - lowest)

    parts = [
        f'<text x="{left}" y="{_TOP - 15}" font-weight="bold">{title}, by slots</text>',
        f'<path d="M{left} {_TOP}V{bottom}H{left + _WIDE}" fill="none" stroke="black"/>',
    ]
    parts += [f'<text x="{left - 8}" y="{y(v) + 4:.0f}" text-anchor="end">{v:.3g}</text>' for v in (lowest, highest)]
    parts += [
        f'<text x="{x(place):.0f}" y="{bottom + 20}" text-anchor="middle">{slots}</text>'
        for place, slots in enumerate(_SLOTS)
    ]
    for colour, values in lines.items():
        points = [(x(place), y(value)) for place, value in enumerate(values) if value is not None]
        way = " ".join(f"{across:.1f},{up:.1f}" for across, up in points)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3.5" fill="{colour}"/>' for across, up in points]
    return "\n".join(parts)


def _figure(rows: Sequence[Row], where: Row, name: str) -> float | None:
    """Find a figure in the first row that agrees with `where`."""
    found = next((row for row in rows if where.items() <= row.items()), {})
    return float(found[name]) if found.get(name) else None
