"""`report.md`: short, for a pull request or a CI's summary page (GitHub's takes 1 MiB at most)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kling_batch.catalog import LENGTH, WORDS, kind_of
from kling_batch.model import RunResult, TakeResult
from kling_batch.report.facts import headline, money, problems, reason, repair, summary, units_text
from kling_batch.text import one_line

MOST_ROWS = 100
"""Rows a table has at most: all of them at their longest stay under 1 MiB."""

_LONGEST_CELL = 300
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
    yield f"# {escaped(result.project)}: {headline(result)}\n\n"
    if result.note:
        yield f"**{escaped(result.note)}**\n\n"
    yield from _totals(result)
    yield from _problems(problems(result))
    yield from _warnings([take for take in result.takes if take.warnings])
    yield from _takes(result.takes)


def escaped(text: str) -> str:
    """Make a text stand as it is in Markdown, also in a table's cell: one line, no markup, no mentions."""
    return _RUNS.sub("&#58;", one_line(text, _LONGEST_CELL).translate(_ESCAPES))


def _totals(result: RunResult) -> Iterator[str]:
    totals = summary(result)
    yield _row("jobs", "takes", "succeeded", "failed", "unknown", "pending", "units", "seconds", "API requests")
    yield _rule(9)
    yield _row(
        *(str(totals[name]) for name in ("jobs", "takes", "succeeded", "failed", "unknown", "pending")),
        totals["units"],
        f"{totals['seconds']:.1f}",
        str(totals["api_requests"]),
    )
    yield f"\nManifest {escaped(result.manifest)}, exit status {result.exit_status}; {money(result)}.\n"


def _problems(takes: Sequence[TakeResult]) -> Iterator[str]:
    if not takes:
        return
    yield "\n## What needs you\n\n"
    yield _row("take", "status", "why", "what to do", "task")
    yield _rule(5)
    for take in takes[:MOST_ROWS]:
        task = take.task_id or take.external_id
        yield _row(_name(take), take.status, escaped(reason(take)), escaped(repair(take)), escaped(task))
    yield from _more(len(takes))


def _warnings(takes: Sequence[TakeResult]) -> Iterator[str]:
    if not takes:
        return
    yield "\n## Warnings\n\n"
    yield _row("take", "listen to it, since")
    yield _rule(2)
    for take in takes[:MOST_ROWS]:
        yield _row(_name(take), escaped("; ".join(take.warnings)))
    yield from _more(len(takes))


def _takes(takes: Sequence[TakeResult]) -> Iterator[str]:
    if not takes:
        return
    yield "\n## Takes\n\n"
    yield _row("take", "status", "origin", WORDS, LENGTH, "units", "files")
    yield _rule(7)
    for take in takes[:MOST_ROWS]:
        job = take.take.job
        files = ", ".join(file.path for file in take.files)
        yield _row(
            _name(take),
            take.status,
            take.origin or "",
            escaped(kind_of(job).words_of(job)),
            "" if (length := kind_of(job).length_of(job)) is None else f"{length} s",
            units_text(take.units),
            escaped(files),
        )
    yield from _more(len(takes))


def _name(take: TakeResult) -> str:
    return escaped(str(take.take.key))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _rule(columns: int) -> str:
    return "|" + " --- |" * columns + "\n"


def _more(takes: int) -> Iterator[str]:
    if takes > MOST_ROWS:
        yield f"\n… and {takes - MOST_ROWS} more: see report.html or report.csv.\n"
