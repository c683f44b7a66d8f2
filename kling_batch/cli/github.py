"""What the program tells GitHub Actions, where it runs there: the only reader of the `GITHUB_*` variables.

Nothing here may end a run: a file of the runner's that cannot be written is a warning.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from kling_batch.cli.output import annotate
from kling_batch.disk import inside
from kling_batch.errors import KlingBatchError, Problem
from kling_batch.model import RunResult
from kling_batch.report import github
from kling_batch.report.facts import as_paid, summary
from kling_batch.report.github import Note


def tell(result: RunResult, out: Path) -> None:
    """Annotate what needs a person, add the report to the step's summary, and set the step's outputs."""
    if not _in_actions():
        return
    outputs = github.outputs_of(summary(as_paid(result)), result.exit_status, out)
    _annotate(github.notes_of(result))
    _append("GITHUB_STEP_SUMMARY", lambda size: github.summary_text(_report_in(out), github.SUMMARY_BYTES - size))
    _append("GITHUB_OUTPUT", lambda _size: github.output_lines(outputs))


def tell_notes(notes: Iterable[Note], exit_status: int, *, err: bool = False) -> None:
    """Annotate what a command found, and set the step's outputs `status` and `exit-status`."""
    if not _in_actions():
        return
    _annotate(notes, err=err)
    _append("GITHUB_OUTPUT", lambda _size: github.output_lines(github.status_outputs(exit_status)))


def tell_error(error: KlingBatchError) -> None:
    """Annotate what ended a command early; a manifest's problems each at its line."""
    tell_notes(github.error_notes(error), int(error.exit_status), err=True)


def annotate_problem(problem: Problem) -> None:
    """Print a manifest's problem as an annotation, wherever the program runs."""
    annotate(_placed(github.problem_note(problem)))


def _in_actions() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


def _annotate(notes: Iterable[Note], *, err: bool = False) -> None:
    for note in github.within_limit(notes):
        annotate(_placed(note), err=err)


def _placed(note: Note) -> Note:
    """Name the file as GitHub does, from the root of the repository, also where the work is done below it."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if note.source is None or not workspace:
        return note
    path = os.path.relpath(Path.cwd() / note.source.path, os.path.realpath(workspace))
    if path.startswith(os.pardir):
        return note
    return replace(note, source=replace(note.source, path=Path(path).as_posix()))


def _append(variable: str, text: Callable[[int], str]) -> None:
    """Add a text to a file of the runner's; `text` is made for the bytes that are there already."""
    name = os.environ.get(variable)
    if not name:
        return
    path = Path(name)
    try:
        added = text(path.stat().st_size if path.exists() else 0)
        with path.open("a", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(added)
    except OSError as error:
        words = f"${variable} cannot be written: {error.strerror or error}. The run itself is not affected."
        annotate(Note(level="warning", message=words, title="kling-batch"), err=True)


def _report_in(out: Path) -> str:
    return inside(out, "report.md").read_text(encoding="utf-8", errors="replace")
