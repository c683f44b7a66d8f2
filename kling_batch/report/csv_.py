"""`report.csv`: a row a take, for spreadsheets.

A cell that a spreadsheet would run as a formula gets an apostrophe in front, and so does each part of a cell
after a `;`, because a spreadsheet with European settings may split there. Everything else stands as it is;
ids are written with all their digits (Excel shows an 18-digit `task_id` as 1.23E+17 and drops digits when it
saves, unless the column is imported as text).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kling_batch.catalog import LENGTH, WORDS
from kling_batch.model import RunResult, Shape, TakeResult
from kling_batch.report.facts import as_paid
from kling_batch.report.json_ import as_json

COLUMNS = (
    "job_id", "take", "status", "origin", WORDS, LENGTH, "external_task_id", "task_id", "attempts", "units",
    "files", "sha256", "tags", "meta", "error_code", "error_message", "error_hint", "submitted_at", "finished_at",
    "warnings", "voice_id",
    "sources", "loudness", "true_peak", "source_loudness", "source_true_peak", "remarks",
)  # fmt: skip
"""The header, in order."""

_INVISIBLE = r"\s\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
_INVISIBLE += r"\u115f\u1160\u2800\u3164\ufe00-\ufe0f\uffa0"
_SIGNS = r"=+\-@＝＋－＠﹢﹣﹦﹫−"  # noqa: RUF001 - spreadsheets take full-width and small ones too
_FORMULA = re.compile(rf"(^|;)(?=[{_INVISIBLE}]*[{_SIGNS}]|[\t\r\n])")


def pieces(result: RunResult, shapes: Mapping[str, Shape]) -> Iterator[str]:
    """Write the table, a row at a time. Every cell is quoted, so that a lone CR ends no row.

    Args:
        result: The run.
        shapes: How loud sounds are, by their hashes.
    """
    line = io.StringIO()
    writer = csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(COLUMNS)
    yield line.getvalue()
    for take in as_paid(result).takes:
        line.seek(0)
        line.truncate()
        row = _row(take, shapes)
        writer.writerow(defused(cell) if isinstance(cell := row[name], str) else cell for name in COLUMNS)
        yield line.getvalue()


def defused(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would take for a formula."""
    return _FORMULA.sub(r"\1'", text)


def _row(result: TakeResult, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Give what `report.json` says of a take, in cells."""
    row = as_json(result, shapes)
    error = row["error"] or {}
    return row | {
        "files": ";".join(file["path"] for file in row["files"]),
        "sha256": ";".join(file["sha256"] for file in row["files"]),
        "tags": ";".join(row["tags"]),
        "meta": json.dumps(row["meta"], ensure_ascii=False),
        **{f"error_{name}": error.get(name) for name in ("code", "message", "hint")},
        "warnings": ";".join(row["warnings"]),
        "sources": ";".join(file["path"] for file in row["sources"]),
        "remarks": ";".join(f"{remark['then']}: {remark['words']}" for remark in row["remarks"]),
    }
