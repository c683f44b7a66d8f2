"""CSV to nodes: every cell still text, and findable by line and column.

A position is the row's first physical line and the cell's place in the row, packed into one number. Where the
cell really starts, after quoted commas and line breaks, is worked out when somebody asks.
"""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from re import IGNORECASE, escape
from re import compile as regex

from kling_batch.manifest.nodes import MAX_COLUMNS, Page, Table, Unreadable, cell, line_and_ordinal, line_starts
from kling_batch.text import counted

_SEPARATOR_LINE = regex(r'"?sep=([^\w"\s]|\t)"?[,;\t]*(?:\r\n|\r|\n|\Z)', IGNORECASE)
"""What Excel writes, and asks for, in the first line of a table."""


def csv_page(path: str, text: str) -> Page:
    """Open a page whose positions are cells."""
    return Page(path=path, place=_cells_in(text, _form(text)[0]))


def read_csv(text: str, page: Page) -> Table:
    """Read header and rows. Ragged rows are told and left out, blank ones left out; `page` is of `csv_page`.

    Raises:
        Unreadable: There is no header, or its quotes are wrong, so that nothing can be told apart.
    """
    delimiter, _ = _form(text)
    rows = _rows(text)
    start, names = next(rows, (1, []))
    if not names:
        raise Unreadable(cell(1), "the file is empty; the first row of a CSV names its columns")
    if len(names) > MAX_COLUMNS:
        raise Unreadable(cell(start), f"{len(names)} columns; at most {MAX_COLUMNS} are allowed")
    header = tuple((name.strip(), cell(start, ordinal)) for ordinal, name in enumerate(names))
    records: list[tuple[int, list[str]]] = []
    try:
        for line, cells in rows:
            if len(cells) != len(header):
                page.tell(cell(line), _ragged(len(cells), len(header), delimiter))
            elif any(cells):
                records.append((cell(line), cells))
    except Unreadable as error:
        page.tell(error.at, error.message)
    return Table(header=header, records=records, decimal_comma=delimiter != ",")


def _form(text: str) -> tuple[str, int]:
    """Say what separates the cells, and where the header begins: after a line `sep=;`, if there is one.

    Else it is what separates the header: a comma, or what a spreadsheet of another country writes.
    """
    if said := _SEPARATOR_LINE.match(text):
        return said[1], said.end()
    header = text.lstrip("\r\n").partition("\n")[0].partition("\r")[0]
    outside = "".join(header.split('"')[::2])
    return max(",;\t", key=outside.count), 0


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Give each row that is not blank, with its first physical line."""
    delimiter, begin = _form(text)
    reader = csv.reader(io.StringIO(text[begin:], newline=""), delimiter=delimiter, strict=True)
    before = 1 if begin else 0
    line = before + 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = before + reader.line_num + 1
    except csv.Error as error:
        starts = list(_cell_starts(text, line_starts(text)()[line - 1], delimiter))
        at = cell(line, len(starts) - 1)  # what is wrong with quotes, and ends the row, is in its last cell
        raise Unreadable(at, _quoting(str(error), before + reader.line_num - line)) from error


def _quoting(said: str, lines: int) -> str:
    """Word an error of the reader, which it met some lines below the row's first."""
    if "unexpected end" in said:
        return 'the `"` that opens here is never closed; close it, and write a `"` inside of a text as `""`'
    if "expected after" not in said:
        return f"this row cannot be read as CSV: {said}"
    if lines:
        where = f"closed only {counted(lines, 'line')} below, where more follows"
        return f'the `"` that opens here is {where}; close it where its text ends'
    return 'after a closing `"` a cell must end; write a `"` inside of a text as `""`'


def _ragged(found: int, wanted: int, delimiter: str) -> str:
    shown = {"\t": "tab"}.get(delimiter, f"`{delimiter}`")
    advice = f'put a text with {shown} in `"`' if found > wanted else f"leave cells empty, but keep every {shown}"
    return f"cells in this row: {found}, in the header: {wanted}; {advice}"


def _cells_in(text: str, delimiter: str) -> Callable[[int], tuple[int, int]]:
    """Make the function that finds a cell: it reads the row again from its first character."""
    starts = line_starts(text)

    def place(at: int) -> tuple[int, int]:
        line, ordinal = line_and_ordinal(at)
        cells = _cell_starts(text, starts()[line - 1], delimiter)
        index = next(islice(cells, ordinal, None))
        line = bisect_right(starts(), index)
        return line, index - starts()[line - 1] + 1

    return place


def _cell_starts(text: str, index: int, delimiter: str) -> Iterator[int]:
    """Give where each cell of a row starts, up to one whose quotes are wrong."""
    content = regex(rf'"(?:[^"]++|"")*+"|(?!")[^\r\n{escape(delimiter)}]*+')
    while True:
        yield index
        found = content.match(text, index)
        if found is None or text[found.end() : found.end() + 1] != delimiter:
            return
        index = found.end() + 1
