"""`report.csv`: a row a take, for spreadsheets.

A cell that a spreadsheet would run as a formula gets an apostrophe in front, and so does each part of a cell
after a `;`, because a spreadsheet with European settings may split there. Everything else stands as it is;
ids are written with all their digits (Excel shows an 18-digit `task_id` as 1.23E+17 and drops digits when it
saves, unless the column is imported as text).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator

from kling_batch.clock import iso
from kling_batch.model import RunResult, TakeResult
from kling_batch.report.facts import units_text

COLUMNS = (
    "job_id", "take", "status", "origin", "prompt", "duration", "external_task_id", "task_id", "attempts", "units",
    "files", "sha256", "tags", "meta", "error_code", "error_message", "error_hint", "submitted_at", "finished_at",
    "warnings",
)  # fmt: skip
"""The header, in order."""

_ROWS_AT_ONCE = 5000
_INVISIBLE = r"\s\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
_FORMULA = re.compile(rf"(^|;)(?=[{_INVISIBLE}]*[=+\-@＝＋－＠]|[\t\r\n])")  # noqa: RUF001 - spreadsheets take full-width ones too


def pieces(result: RunResult) -> Iterator[str]:
    """Write the table, some thousand rows at a time. Every cell is quoted, so that a lone CR ends no row."""
    from pandas import DataFrame

    for start in range(0, max(1, len(result.takes)), _ROWS_AT_ONCE):
        rows = [_row(take) for take in result.takes[start : start + _ROWS_AT_ONCE]]
        frame = DataFrame(rows, columns=list(COLUMNS), dtype=object)
        yield frame.to_csv(index=False, header=start == 0, lineterminator="\n", quoting=csv.QUOTE_ALL)


def defused(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would take for a formula."""
    return _FORMULA.sub(r"\1'", text)


def _row(result: TakeResult) -> list[str]:
    job, error = result.take.job, result.error
    cells = {
        "job_id": job.id,
        "take": str(result.take.number),
        "status": result.status,
        "origin": result.origin or "",
        "prompt": job.prompt,
        "duration": str(job.duration_s),
        "external_task_id": result.external_id,
        "task_id": result.task_id or "",
        "attempts": str(result.attempts),
        "units": units_text(result.units),
        "files": ";".join(file.path for file in result.files),
        "sha256": ";".join(file.sha256 for file in result.files),
        "tags": ";".join(job.tags),
        "meta": json.dumps(dict(job.meta), ensure_ascii=False),
        "error_code": "" if error is None or error.code is None else str(error.code),
        "error_message": "" if error is None else error.message,
        "error_hint": "" if error is None or error.hint is None else error.hint,
        "submitted_at": iso(result.submitted_at) or "",
        "finished_at": iso(result.finished_at) or "",
        "warnings": ";".join(result.warnings),
    }
    row = [cells[column] for column in COLUMNS]
    # One look at the whole row: hardly any holds a formula, and a cell's start looks like what follows a `;`.
    return [defused(cell) for cell in row] if _FORMULA.search(";".join(row)) else row
