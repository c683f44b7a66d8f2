"""What the readers hand on: a tree of values that remember where they stand.

A position is one number, which the document turns into line and column when it is asked: most are never asked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from re import compile as regex
from typing import Any, NamedTuple, TypeAlias

from kling_batch.errors import Problem
from kling_batch.manifest.scalars import number
from kling_batch.model import Source

MAX_DEPTH = 64
"""How deep values may be nested. A manifest needs 6; the readers and the validator recurse."""

MAX_COLUMNS = 1000
"""How many columns a table may have."""

_ORDINAL_BITS = 20
_LINE_BREAK = regex(r"\r\n|\r|\n")


class Scalar(NamedTuple):
    """A single value. `text` is how it was written: `name: no` and `id: 12` are wanted as words."""

    value: float | str | bool | None
    text: str
    at: int


class ListNode(NamedTuple):
    """A list."""

    items: list[Node]
    at: int


class MapNode(NamedTuple):
    """A mapping. `keys` says where each key stands; in a table it also names the cells left empty."""

    items: dict[str, Node]
    keys: dict[str, int]
    at: int

    def add(self, name: str, key_at: int, value: Node, page: Page) -> None:
        """Add a field; tell the page where it is given twice."""
        if name in self.items:
            first, _ = page.place(self.keys[name])
            page.tell(key_at, f"`{name}` is given twice (first in line {first}); keep one of them")
        else:
            self.items[name], self.keys[name] = value, key_at


Node: TypeAlias = Scalar | ListNode | MapNode


class Unreadable(Exception):
    """Nothing after this place can be read. `at` is a position in the document."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A file that is read: where its positions are, and what is wrong there.

    `path` is as the user gave it, `sheet` which one of a workbook. `place` turns a position into line and column.
    `problems` fills while the file is read and checked, so that all of them are reported at once.
    """

    path: str
    place: Callable[[int], tuple[int, int]]
    sheet: str = ""
    problems: list[Problem] = field(default_factory=list)

    def tell(self, at: int, message: str) -> None:
        """Note what is wrong at a position, in one line that cannot move a terminal's cursor."""
        line, column = self.place(at)
        said = message if message.isprintable() else "".join(map(_printable, message))
        self.problems.append(Problem(path=self.path, line=line, column=column, message=said, sheet=self.sheet))

    def source(self, at: int) -> Source:
        """Name a position."""
        line, column = self.place(at)
        return Source(path=self.path, line=line, column=column, sheet=self.sheet)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The cells of a CSV, or of a sheet, as they were written.

    `header` is the columns' names with their positions. A record is its position and its cells; the cell of
    column `i` stands at that position plus `i`. Where no comma separates cells, `3,5` is a number.
    `flaws` are what is wrong with cells, by position: only where their column is used does it matter.
    """

    header: tuple[tuple[str, int], ...]
    records: list[tuple[int, list[str]]]
    decimal_comma: bool = False
    flaws: Sequence[tuple[int, str]] = ()

    def rows(self) -> Iterator[MapNode]:
        """Give each row by its columns. An empty cell is a field not given, and its place is kept."""
        columns = [(ordinal, name) for ordinal, (name, _) in enumerate(self.header)]
        columns.reverse()  # of two columns with one name the first counts
        for at, cells in self.records:
            keys = {name: at + ordinal for ordinal, name in columns}
            items: dict[str, Node] = {}
            for ordinal, name in columns:
                if text := cells[ordinal].strip():
                    value = number(text.replace(",", ".", 1) if self.decimal_comma else text)
                    items[name] = Scalar(text if isinstance(value, str) else value, text, at + ordinal)
            yield MapNode(items, keys, at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A file that has been read: a tree, or the table of a CSV; with the SHA-256 of its bytes, in hexadecimal."""

    page: Page
    content: Node | Table
    sha256: str = ""

    @property
    def start(self) -> int:
        """Where the content begins."""
        return self.content.header[0][1] if isinstance(self.content, Table) else self.content.at


def cell(line: int, ordinal: int = 0) -> int:
    """Make the position of a cell in a table, of a row's first line and its place in the row."""
    return line << _ORDINAL_BITS | ordinal


def line_and_ordinal(at: int) -> tuple[int, int]:
    """Take the position of a cell apart."""
    return at >> _ORDINAL_BITS, at & ((1 << _ORDINAL_BITS) - 1)


def line_starts(text: str) -> Callable[[], list[int]]:
    """Make the function that gives the index of every line's first character, found when first asked for."""

    @cache
    def starts() -> list[int]:
        return [0, *(match.end() for match in _LINE_BREAK.finditer(text))]

    return starts


def places_in(text: str) -> Callable[[int], tuple[int, int]]:
    """Make the function that turns a character's index into line and column, as an editor counts them."""
    starts = line_starts(text)

    def place(index: int) -> tuple[int, int]:
        line = bisect_right(starts(), index)
        return line, index - starts()[line - 1] + 1

    return place


def descend(node: Node, path: Sequence[str | int]) -> Node:
    """Find a value by the names and numbers that lead to it."""
    for step in path:
        if isinstance(node, MapNode):
            node = node.items[str(step)]
        elif isinstance(node, ListNode):
            node = node.items[int(step)]
    return node


def plain(node: Node, texts: Collection[str], *, as_text: bool = False) -> Any:
    r"""Turn a node into the JSON value that the schema checks.

    Under the fields that want text (`texts`) numbers and booleans become what was written. Text loses
    the white space around it, and its line ends become `\n`, so that the same manifest saved on Windows asks
    for the same sounds.
    """
    if isinstance(node, Scalar):
        value = node.text if as_text and node.value is not None else node.value
        return _tidy(value) if isinstance(value, str) else value
    if isinstance(node, ListNode):
        return [plain(item, texts, as_text=as_text) for item in node.items]
    return {
        name: plain(item, () if name in _OWN_FIELDS else texts, as_text=as_text or name in texts)
        for name, item in node.items.items()
    }


TEXT_FIELDS = frozenset(
    {"project", "id", "kind", "file", "picked", "tags", "meta", "matrix", "from", "sheet", "columns"}
)
"""The fields that are text all the way down, whatever the kind."""
_OWN_FIELDS = frozenset({"finish", "check"})
"""Fields whose own fields are others, also where they are called the same."""


def _printable(char: str) -> str:
    return char if char.isprintable() else ascii(char)[1:-1]


def _tidy(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.strip()
