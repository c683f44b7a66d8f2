"""`report.md`: short, for a pull request or a CI's summary page (GitHub's takes 1 MiB at most)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from kling_batch.catalog import LENGTH, WORDS, kind_of
from kling_batch.model import RunResult, TakeKey, TakeResult
from kling_batch.report.facts import as_paid, headline, money, problems, reason, remarked, repair, summary, units_text
from kling_batch.text import one_line, some

T = TypeVar("T")

MOST_ROWS = 100
"""Rows a table has at most: all of them at their longest stay under 1 MiB."""

_LONGEST_CELL = 300
_MOST_NAMED = 8
_BREAK = "&#8203;"  # an invisible space: keeps @name and #12 from becoming a mention or a link
_RUNS = re.compile(r"(?i)(?<=script):|(?<=data):")  # the colon of a link that runs something
_ESCAPES = str.maketrans(
    {
        **{mark: f"\\{mark}" for mark in "\\*_[]~!"},
        **{mark: f"&#{ord(mark)};" for mark in "|`$"},
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        "@": f"@{_BREAK}",
        "#": f"#{_BREAK}",
    }
)


def pieces(result: RunResult) -> Iterator[str]:
    """Write the totals, then what needs a person, then what to listen to, then the takes."""
    result = as_paid(result)
    yield f"# {escaped(result.project)}: {headline(result)}\n\n"
    if result.note:
        yield f"**{escaped(result.note)}**\n\n"
    yield from _totals(result)
    yield from table("What needs you", ("take", "status", "why", "what to do", "task"), problems(result), _problem)
    warned = [take for take in result.takes if take.warnings]
    yield from table("Warnings", ("take", "listen to it, since"), warned, _warning)
    columns = ("check", "then", "takes", "which")
    yield from table("What checks found", columns, remarked(result), _remarked)
    yield from table("Takes", ("take", "status", "origin", WORDS, LENGTH, "units", "files"), result.takes, _facts)


def escaped(text: str) -> str:
    """Make a text stand as it is in Markdown, also in a table's cell: one line, no markup, no mentions."""
    return _RUNS.sub("&#58;", one_line(text, _LONGEST_CELL).translate(_ESCAPES))


def _totals(result: RunResult) -> Iterator[str]:
    totals = summary(result)
    totals |= {"seconds": f"{totals['seconds']:.1f}", "API requests": totals["api_requests"]}
    names = ("jobs", "takes", "succeeded", "failed", "unknown", "pending", "units", "seconds", "API requests")
    yield _row(*names) + _rule(len(names)) + _row(*(str(totals[name]) for name in names))
    yield f"\nManifest {escaped(result.manifest)}, exit status {result.exit_status}; {money(result)}.\n"


def table(
    heading: str,
    columns: Sequence[str],
    items: Sequence[T],
    cells: Callable[[T], Iterable[str]],
    *,
    rest: str = "see report.html or report.csv",
) -> Iterator[str]:
    """Write a chapter with a row an item, whatever its cells hold; nothing where there are none."""
    if not items:
        return
    yield f"\n## {heading}\n\n"
    yield _row(*columns)
    yield _rule(len(columns))
    for item in items[:MOST_ROWS]:
        yield _row(*map(escaped, cells(item)))
    if len(items) > MOST_ROWS:
        yield f"\n… and {len(items) - MOST_ROWS} more: {rest}.\n"


def _problem(take: TakeResult) -> Iterable[str]:
    return str(take.take.key), take.status, reason(take), repair(take), take.task_id or take.external_id


def _warning(take: TakeResult) -> Iterable[str]:
    return str(take.take.key), "; ".join(take.warnings)


def _remarked(found: tuple[str, str, list[TakeKey]]) -> Iterable[str]:
    check, then, takes = found
    return check, then, str(len(takes)), some(takes, _MOST_NAMED)


def _facts(take: TakeResult) -> Iterable[str]:
    job, kind = take.take.job, kind_of(take.take.job)
    length = kind.length_of(job)
    seconds = "" if length is None else f"{length} s"
    files = ", ".join(file.path for file in take.files)
    words = kind.words_of(job)
    return str(take.take.key), take.status, take.origin or "", words, seconds, units_text(take.units), files


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _rule(columns: int) -> str:
    return "|" + " --- |" * columns + "\n"
