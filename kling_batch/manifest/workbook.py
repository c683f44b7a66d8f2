"""A program of its own that reads a sheet: a hostile workbook can ask for any amount of memory, or end the process.

It takes a workbook on stdin and the name of a sheet, or nothing for the first that is not hidden. It prints JSON, of
which `spreadsheet` makes a table: the sheet's name and its rows that are not empty, each with its number and its cells
as text, and what is wrong with cells. Where there is no such sheet, it prints the names of those that there are.
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, SheetVisibleEnum

_MEMORY = 2 << 30
_MOST_TEXT = 64 << 20
_MOST_MERGED = 1000
_CELL = re.compile(rb"<(?:\w+:)?c\s([^>]*[^/>])>(.*?)</(?:\w+:)?c>", re.DOTALL)
_COLUMN = re.compile(r"([A-Z]+)([0-9]+)")

_Flaw = tuple[int, int, str]
"""Row and column, from 1, and what is wrong there."""


def main() -> None:
    """Read what is on stdin, and print what it holds."""
    with suppress(ImportError, ValueError):  # not every system has such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    json.dump(_read(sys.stdin.buffer.read(), sys.argv[1]), sys.stdout)


def _read(raw: bytes, wanted: str) -> dict[str, Any]:
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(raw))
        shown = [each.name for each in book.sheets_metadata if each.visible is SheetVisibleEnum.Visible]
        name = wanted or [*shown, *book.sheet_names][0]
        if name not in book.sheet_names:
            return {"sheets": book.sheet_names}
        sheet = book.get_sheet_by_name(name)
        flaws = [*_merged(sheet), *_without_value(raw, book.sheet_names.index(name))]
        return {"sheet": name, **_rows(sheet, flaws), "flaws": flaws}
    except PasswordError:
        return {"error": "it is protected by a password"}
    except CalamineError as error:
        return {"error": str(error).rstrip(".")}


def _rows(sheet: CalamineSheet, flaws: list[_Flaw]) -> dict[str, Any]:
    top, left = sheet.start or (0, 0)
    rows = []
    for number, values in enumerate(sheet.to_python(), top + 1):
        for column, value in enumerate(values, left + 1):
            if not isinstance(value, str | float | int):
                flaws.append((number, column, f"this is a date or a time ({value}) for the spreadsheet; make it text"))
        cells = [_text(value) for value in values]
        if any(cells):
            rows.append((number, cells))
    if sum(len(text) for _, cells in rows for text in cells) > _MOST_TEXT:
        return {"error": f"its text is longer than {_MOST_TEXT >> 20} MiB"}
    return {"first_column": left + 1, "rows": rows}


def _text(value: Any) -> str:
    """Write a value as a spreadsheet shows it: 5.0 as `5`, and 0.1 + 0.2 as `0.3`."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _merged(sheet: CalamineSheet) -> Iterator[_Flaw]:
    """Tell of merged cells in each of their columns: only the first of them has a value."""
    _, last = sheet.end or (0, 0)
    for (top, left), (_, right) in (sheet.merged_cell_ranges or [])[:_MOST_MERGED]:
        for column in range(left, min(right, last) + 1):
            yield top + 1, column + 1, "cells are merged here; split them, and write the value into each"


def _without_value(raw: bytes, index: int) -> Iterator[_Flaw]:
    """Tell of formulas of an .xlsx that failed, or that nobody worked out: calamine takes both for empty cells."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        part = _part(archive, index)
        for attributes, content in _CELL.findall(archive.read(part)) if part in archive.namelist() else ():
            place = _COLUMN.fullmatch(_attribute(attributes, "r"))
            failed = _attribute(attributes, "t") == "e"
            if place and (failed or (b"<f" in content and b"<v" not in content)):
                words = "fails" if failed else "was saved without its value; open the file in a spreadsheet and save it"
                yield int(place[2]), _number(place[1]), f"the formula of this cell {words}"


def _part(archive: zipfile.ZipFile, index: int) -> str:
    """Find the file of a sheet, by its place in the workbook."""
    if "xl/workbook.xml" not in archive.namelist():
        return ""
    sheets = re.findall(rb"<(?:\w+:)?sheet\s[^>]*>", archive.read("xl/workbook.xml"))
    links = re.findall(rb"<(?:\w+:)?Relationship\s[^>]*>", archive.read("xl/_rels/workbook.xml.rels"))
    targets = {_attribute(link, "Id"): _attribute(link, "Target") for link in links}
    target = targets.get(_attribute(sheets[index], "id"), "")
    return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"


def _attribute(tag: bytes, name: str) -> str:
    found = re.search(rf"""\b{name}=["']([^"']*)""", tag.decode())
    return found[1] if found else ""


def _number(letters: str) -> int:
    """Count a column: A is 1, and AA is 27."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


if __name__ == "__main__":
    main()
