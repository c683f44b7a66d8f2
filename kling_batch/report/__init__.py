"""From a run's result to what people and machines read.

    facts      what every report says in the same words: totals, reasons, what to do
    disk       whole files only
    json_      for programs, to `schemas/report.schema.json`
    csv_       for spreadsheets
    markdown   for a pull request or a CI's summary page
    junit      for a CI's test view
    compare    what is new, gone, changed and louder than in an earlier report
    html       for ears, with page_data (the takes, as JSON) and page_chart (the history of the limit)

Each reporter is a plain function from a `RunResult` to pieces of text, so that 100,000 takes need not stand in
memory as one page. jinja2, junitparser and SQLite are imported when a report is written, not before.

    stats      many runs in one table, by pandas
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG

from kling_batch import __version__
from kling_batch.disk import look
from kling_batch.model import RunResult, Shape
from kling_batch.report.disk import write_whole
from kling_batch.report.facts import money, summary

__all__ = ["PAGES", "summary", "write_reports"]


PAGES = ("report.csv", "report.md", "junit.xml", "report.html")
"""What stands beside `report.json`, and is left alone where it says the same already."""


def write_reports(result: RunResult, out: Path, *, last: str | None = None) -> str:
    """Write `report.json`, `.csv`, `.md`, `.html` and `junit.xml` into `out`, each replacing the one before whole.

    Where the reports there say already how every take stands and what was paid, `report.json` alone is written: it has
    the times of this run, and the pages for people stay those of the run that last changed something.

    Args:
        result: The run.
        out: The output folder.
        last: What this function gave when it wrote the reports that are there.

    Returns:
        What tells these reports from others.

    Raises:
        DiskUnusable: A report cannot be written. Those before it are new, it and those after it are as before.
    """
    from kling_batch.records.snapshot import read_shapes
    from kling_batch.report import json_

    digest = hashlib.sha256(_beside(result).encode("utf-8", "backslashreplace"))
    shapes = read_shapes(out) if any(take.sources for take in result.takes) else {}
    write_whole(out, "report.json", _hashed(json_.pieces(result, shapes), digest))
    states = _states(out)
    if None in states or last != f"{digest.hexdigest()} {states}":
        _write_pages(result, out, shapes or read_shapes(out))
    return f"{digest.hexdigest()} {_states(out)}"


def _beside(result: RunResult) -> str:
    """Give what the pages say and the takes of `report.json` do not, without what is another in every run."""
    lasting = replace(result, takes=(), started_at=0.0, finished_at=0.0, api_requests=0, limits=())
    return f"{__version__} {money(result)} {lasting}"


def _hashed(pieces: Iterator[str], digest: hashlib._Hash) -> Iterator[str]:
    """Pass pieces on, and hash all but the first, which holds the times of the run."""
    yield next(pieces)
    for piece in pieces:
        digest.update(piece.encode("utf-8", "backslashreplace"))
        yield piece


def _states(out: Path) -> list[tuple[int, int] | None]:
    """Tell by size and time whether the pages are those that were written."""
    found = (look(out, name) for name in PAGES)
    return [(state.st_mtime_ns, state.st_size) if state and S_ISREG(state.st_mode) else None for state in found]


def _write_pages(result: RunResult, out: Path, shapes: Mapping[str, Shape]) -> None:
    from kling_batch.report import csv_, html, junit, markdown

    pages = csv_.pieces(result, shapes), markdown.pieces(result), junit.pieces(result), html.pieces(result, shapes)
    for name, pieces in zip(PAGES, pages, strict=True):
        write_whole(out, name, pieces)
