"""CSV to nodes: every cell still text, and findable by line and column.

A position is the row's first physical line and the cell's place in the row, packed into one number. Where the
cell really starts, after quoted commas and line breaks, is worked out when somebody asks.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from kling_batch.manifest.nodes import Page, Table, Unreadable, line_starts

if TYPE_CHECKING:
    from collections.abc import Iterator

_BITS = 20
_ORDINALS = (1 << _BITS) - 1
MAX_COLUMNS = 1000


def csv_page(path: str, text: str) -> Page:
    """Open a page whose positions are cells."""
    return Page(path=path, place=_cells_in(text, _delimiter(text)))


def read_csv(text: str, page: Page) -> Table:
    """Read header and rows. Ragged rows are told and left out, blank ones left out; `page` is of `csv_page`.

    Raises:
        Unreadable: There is no header, or its quotes are wrong, so that nothing can be told apart.
    """
    rows = _rows(text)
    start, names = next(rows, (1, []))
    if not names:
        raise Unreadable(1 << _BITS, "the file is empty; the first row of a CSV names its columns")
    if len(names) > MAX_COLUMNS:
        raise Unreadable(start << _BITS, f"{len(names)} columns; at most {MAX_COLUMNS} are allowed")
    header = tuple((name.strip(), start << _BITS | ordinal) for ordinal, name in enumerate(names))
    records: list[tuple[int, list[str]]] = []
    try:
        for line, cells in rows:
            if len(cells) != len(header):
                page.tell(line << _BITS, _ragged(len(cells), len(header), _delimiter(text)))
            elif any(cells):
                records.append((line << _BITS, cells))
    except Unreadable as error:
        page.tell(error.at, error.message)
    return Table(header=header, records=records)


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Give each row that is not blank, with its first physical line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise Unreadable(line << _BITS, _quoting(str(error))) from error


def _quoting(said: str) -> str:
    if "unexpected end" in said:
        return 'a `"` that opens in this row is never closed; close it, and write a `"` inside of a text as `""`'
    if "expected after" in said:
        return 'after a closing `"` a cell must end; write a `"` inside of a text as `""`'
    return f"this row cannot be read as CSV: {said}"


def _ragged(found: int, wanted: int, delimiter: str) -> str:
    shown = {"\t": "tab"}.get(delimiter, f"`{delimiter}`")
    advice = f'put a text with {shown} in `"`' if found > wanted else f"leave cells empty, but keep every {shown}"
    return f"cells in this row: {found}, in the header: {wanted}; {advice}"


def _delimiter(text: str) -> str:
    """Take what separates the header: a comma, or what a spreadsheet of another country writes."""
    header = text.lstrip("\r\n").partition("\n")[0].partition("\r")[0]
    outside = "".join(header.split('"')[::2])
    return max(",;\t", key=outside.count)


def _cells_in(text: str, delimiter: str) -> Callable[[int], tuple[int, int]]:
    """Make the function that finds a cell: it reads the row again from its first character."""
    starts = line_starts(text)

    def place(at: int) -> tuple[int, int]:
        line, ordinal = at >> _BITS, at & _ORDINALS
        index = _cell_start(text, starts()[line - 1], ordinal, delimiter)
        while line < len(starts()) and starts()[line] <= index:
            line += 1
        return line, index - starts()[line - 1] + 1

    return place


def _cell_start(text: str, index: int, ordinal: int, delimiter: str) -> int:
    for _ in range(ordinal):
        if text[index : index + 1] == '"':
            index += 1
            while (index := text.index('"', index)) and text[index + 1 : index + 2] == '"':
                index += 2
        index = text.index(delimiter, index) + 1
    return index
