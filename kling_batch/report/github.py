"""What GitHub Actions reads: annotations as workflow commands, a step's outputs, and a page for its summary.

A workflow command is one line, `::error file=...,line=...::message`. GitHub shows the first 10 errors and the first 10
warnings of a step, and refuses a summary of more than 1 MiB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kling_batch.errors import ExitStatus, KlingBatchError, ManifestInvalid, Problem
from kling_batch.model import RunResult, Source, Status, TakeResult
from kling_batch.report.facts import problems, reason, repair
from kling_batch.text import counted, one_line, runner_command, some

MOST_OF_A_LEVEL = 10
"""Errors, and warnings, that GitHub shows of a step."""
SUMMARY_BYTES = 1024 * 1024
"""What a step's summary may hold, in bytes."""

_NAMED = 10
_LONGEST_MESSAGE = 4000
_CUT = "\n… The summary ends here: a step's may hold 1 MiB. The rest is in report.md and report.html.\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """An annotation: at a line of a file where `source` says so, else of the whole step."""

    level: Literal["error", "warning"]
    message: str
    title: str | None = None
    source: Source | None = None


def command(note: Note) -> str:
    """Write an annotation as a workflow command: one line, whatever stands in it."""
    properties: dict[str, str] = {}
    if note.source is not None:
        properties = {"file": note.source.path, "line": str(note.source.line)}
        properties |= {"col": str(note.source.column)} if note.source.column > 1 else {}
    if note.title:
        properties["title"] = one_line(note.title, _LONGEST_MESSAGE)
    return runner_command(note.level, properties, note.message)


def notes_of(result: RunResult) -> Iterator[Note]:
    """Say what needs a person, the worst first: each failed take, each unknown one, each sound to listen to.

    What is pending comes last, in one.
    """
    for take in problems(result):
        if take.status is not Status.PENDING:
            yield Note(
                level="error",
                message=_shown(f"{reason(take)} {repair(take)}"),
                title=f"{take.take.key} {take.status}",
                source=take.take.job.source,
            )
    for take in result.takes:
        if take.warnings:
            yield Note(
                level="warning",
                message=_shown("; ".join(take.warnings)),
                title=f"{take.take.key}: listen to it",
                source=take.take.job.source,
            )
    pending = [take for take in result.takes if take.status is Status.PENDING]
    if pending or result.note:
        yield _pending(pending, result)


def error_notes(error: KlingBatchError) -> list[Note]:
    """Annotate what ended a command, with what to do; a manifest's problems each at its line."""
    if isinstance(error, ManifestInvalid):
        return [problem_note(problem) for problem in error.problems]
    return [Note(level="error", message=f"{error.message} {error.hint or ''}".rstrip(), title="kling-batch")]


def problem_note(problem: Problem) -> Note:
    """Annotate a problem of a manifest at its line and column; one in a workbook, which has no lines, says its cell."""
    source = Source(path=problem.path, line=problem.line, column=problem.column)
    return Note(level="error", message=str(problem) if problem.sheet else problem.message, source=source)


def within_limit(notes: Iterable[Note]) -> list[Note]:
    """Keep what GitHub shows of each level. Where that is not all, the last one says how many more there are."""
    listed = list(notes)
    kept: list[Note] = []
    for level in ("error", "warning"):
        of_level = [note for note in listed if note.level == level]
        if len(of_level) > MOST_OF_A_LEVEL:
            more = len(of_level) - MOST_OF_A_LEVEL + 1
            words = (
                f"{more} more {level}s are not shown here: GitHub shows {MOST_OF_A_LEVEL} of a step. See the summary."
            )
            last = Note(level=of_level[0].level, message=words, title=f"{more} more {level}s")
            of_level = [*of_level[: MOST_OF_A_LEVEL - 1], last]
        kept += of_level
    return kept


def outputs_of(totals: Mapping[str, Any], exit_status: int, out: Path) -> dict[str, str]:
    """Name what later steps may want to know of a run."""
    counts = {name: str(totals[name]) for name in ("takes", "succeeded", "failed", "pending", "unknown")}
    units = {"units": totals["units"], "units-this-run": totals["units_this_run"]}
    places = {"report": str(out / "report.html"), "out": str(out)}
    return status_outputs(exit_status) | counts | units | places


def status_outputs(exit_status: int) -> dict[str, str]:
    """Name how a command ended: as a word, such as `some-failed`, and as a number."""
    word = ExitStatus(exit_status).name.lower().replace("_", "-")
    return {"status": word, "exit-status": str(exit_status)}


def output_lines(values: Mapping[str, str]) -> str:
    """Write outputs for `$GITHUB_OUTPUT`. A value of several lines ends at a mark that cannot stand in it."""
    return "".join(_output(name, value) for name, value in values.items())


def summary_text(text: str, room: int) -> str:
    """Cut a page to so many bytes, at the end of a line, and say so. Empty where not even that fits."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= room:
        return text
    left = room - len(_CUT.encode())
    if left <= 0:
        return ""
    return data[: data.rfind(b"\n", 0, left) + 1].decode("utf-8") + _CUT


def _pending(takes: Sequence[TakeResult], result: RunResult) -> Note:
    names = some((take.take.key for take in takes), _NAMED)
    words = [result.note, takes and f"Pending: {names}.", takes and repair(takes[0])]
    return Note(
        level="warning",
        message=_shown(" ".join(word for word in words if word)),
        title=f"{counted(len(takes), 'take')} pending" if takes else _title(result.exit_status),
        source=takes[0].take.job.source if takes else None,
    )


def _title(exit_status: int) -> str:
    return "About the run" if exit_status in {ExitStatus.DONE, ExitStatus.SOME_FAILED} else "The run stopped early"


def _shown(text: str) -> str:
    return one_line(text, _LONGEST_MESSAGE)


def _output(name: str, value: str) -> str:
    if "\n" not in value and "\r" not in value:
        return f"{name}={value}\n"
    mark = f"end-{hashlib.sha256(value.encode('utf-8', 'backslashreplace')).hexdigest()}"
    return f"{name}<<{mark}\n{value}\n{mark}\n"
