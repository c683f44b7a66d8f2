"""Workbooks (.xlsx, .ods) to nodes: a sheet is a table as a CSV is, and its places are cells such as `Sheet1!C4`."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kling_batch.errors import ManifestInvalid, Problem, UsageError
from kling_batch.manifest.messages import unknown_name
from kling_batch.manifest.nodes import MAX_COLUMNS, Document, Page, Table, cell, line_and_ordinal

_PROGRAM = Path(__file__).with_name("workbook.py")
_PATIENCE_S = 60


class NoSheet(Exception):
    """There is no sheet of this name. Its text is the message."""


def read_spreadsheet(raw: bytes, shown: str, sheet: str) -> Document:
    """Read a sheet of a workbook; without a name the first that is not hidden.

    Raises:
        NoSheet: There is no such sheet.
        ManifestInvalid: It is no workbook, or none that can be read within bounds, or the sheet is empty.
        UsageError: What reads workbooks is not installed.
    """
    if find_spec("python_calamine") is None:
        raise UsageError(
            f"{shown}: a workbook is read by the extra `excel`, which is not installed",
            hint="Save the sheet as CSV UTF-8, or install the extra: pip install 'kling-batch[excel]'",
        )
    found = _found(raw, sheet)
    if "sheets" in found:
        raise NoSheet(unknown_name(sheet, found["sheets"], what="sheet"))
    page = Page(path=shown, place=_row_and_column, sheet=found.get("sheet", ""))
    if problem := _problem(found):
        raise ManifestInvalid([Problem(path=shown, line=1, column=1, message=problem, sheet=page.sheet)])
    left = found["first_column"] - 1
    (row, names), *rows = found["rows"]
    return Document(
        page=page,
        content=Table(
            header=tuple((name.strip(), cell(row, left + ordinal)) for ordinal, name in enumerate(names)),
            records=[(cell(number, left), cells) for number, cells in rows],
            flaws=[(cell(number, column - 1), words) for number, column, words in found["flaws"]],
        ),
    )


def _found(raw: bytes, sheet: str) -> dict[str, Any]:
    """Have a program of our own read the workbook, and see to it that it ends."""
    command = [sys.executable, "-P", str(_PROGRAM), sheet]
    try:
        ran = subprocess.run(command, input=raw, capture_output=True, timeout=_PATIENCE_S, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return {"error": "it is damaged, or takes more than 2 GiB of memory or a minute"}
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def _problem(found: dict[str, Any]) -> str | None:
    if "error" in found:
        return f"this workbook cannot be read: {found['error']}; save the sheet as CSV UTF-8, and use that"
    if not found["rows"]:
        return "the sheet is empty; its first row names the columns"
    width = len(found["rows"][0][1])
    return f"{width} columns; at most {MAX_COLUMNS} are allowed" if width > MAX_COLUMNS else None


def _row_and_column(at: int) -> tuple[int, int]:
    row, ordinal = line_and_ordinal(at)
    return row, ordinal + 1
