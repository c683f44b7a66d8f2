"""Rows of a table as jobs: which column fills which field, and what a cell of text means there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kling_batch.catalog import DEFAULT
from kling_batch.catalog.manifest import manifest_schema
from kling_batch.manifest.messages import shown, unknown_name
from kling_batch.manifest.nodes import ListNode, MapNode, Node, Scalar, Table
from kling_batch.manifest.scalars import number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from kling_batch.manifest.nodes import Document, Page

_COLUMNS = manifest_schema()["definitions"][DEFAULT]["from"]["properties"]["columns"]
FIELDS = tuple(_COLUMNS["properties"])
_LISTS = {"formats", "tags"}
_META = "meta."


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """What a manifest says under `columns`: field to column, and where it says so."""

    names: Mapping[str, str]
    node: MapNode
    page: Page


class Rows(NamedTuple):
    """A table's rows. `excused` are fields that no row can have, which is told once for all of them."""

    nodes: Iterator[Node]
    excused: frozenset[str]


def rows(document: Document, columns: Columns | None, of_kind: str) -> Rows:
    """Give each row as a job's fields. Columns that are not known are told once: at the header, or at `columns`.

    `of_kind` is the kind of a row that names none.
    """
    content = document.content
    if isinstance(content, Table):
        required = _required([name for name, _ in content.header] if columns is None else columns.names, of_kind)
        if columns is None:
            plan = _own_plan(content, document.page, required)
        else:
            plan = _asked_plan(content, document.page, columns, required)
        nodes = (_from_cells(at, cells, plan) for at, cells in content.records)
        return Rows(nodes=nodes, excused=required - plan.keys())
    if not isinstance(content, ListNode):
        document.page.tell(content.at, "this is no table; a table is a list of rows")
        return Rows(nodes=iter(()), excused=frozenset())
    if columns is None:
        return Rows(nodes=iter(content.items), excused=frozenset())
    there = {name for row in content.items if isinstance(row, MapNode) for name in row.items}
    required = _required(columns.names, of_kind)
    excused = required - _usable(columns, there, document.page, required).keys()
    return Rows(nodes=(_renamed(row, columns.names) for row in content.items), excused=excused)


def _required(fields: Collection[str], of_kind: str) -> frozenset[str]:
    """Name the fields that a table must have a column for. Where one tells the kind, rows differ in what they need."""
    job = manifest_schema()["definitions"][of_kind]["job"]
    return frozenset(["id"] if "kind" in fields else job["required"])


def _own_plan(table: Table, page: Page, required: Collection[str]) -> dict[str, int]:
    """Take columns whose names are field names; tell of all others, and of those that must be there."""
    plan: dict[str, int] = {}
    for ordinal, (name, at) in enumerate(table.header):
        if name in plan:
            page.tell(at, f"a second column is named `{name}`; keep one of them")
        elif name in FIELDS or (name.startswith(_META) and len(name) > len(_META)):
            plan[name] = ordinal
        elif name:
            page.tell(at, unknown_name(name, (*FIELDS, "meta.NAME"), what="column", meant=_COLUMNS["x-meant"]))
        else:
            page.tell(at, "a column without a name; name it, or remove it")
    for name in sorted(set(required) - plan.keys()):
        page.tell(table.header[0][1], f"there is no column `{name}`; every job needs one")
    return plan


def _asked_plan(table: Table, page: Page, columns: Columns, required: Collection[str]) -> dict[str, int]:
    """Take the columns that the manifest asks for, and ignore all others."""
    ordinals: dict[str, int] = {}
    for ordinal, (name, at) in enumerate(table.header):
        if name in ordinals and name in columns.names.values():
            page.tell(at, f"a second column is named {shown(name)}; rename one of them")
        ordinals.setdefault(name, ordinal)
    return {field: ordinals[column] for field, column in _usable(columns, ordinals, page, required).items()}


def _usable(columns: Columns, there: Collection[str], page: Page, required: Collection[str]) -> dict[str, str]:
    """Give the columns that the table has; tell, at `columns`, of the others and of fields without a column."""
    for field in sorted(set(required) - columns.names.keys()):
        columns.page.tell(columns.node.at, f"`columns` does not say which column fills `{field}`; every job needs one")
    for field, column in columns.names.items():
        if column not in there:
            said = unknown_name(column, list(there), what="column")
            columns.page.tell(columns.node.items[field].at, f"{page.path}: {said}")
    return {field: column for field, column in columns.names.items() if column in there}


def _from_cells(at: int, cells: list[str], plan: Mapping[str, int]) -> MapNode:
    """Make a row's fields, each from the column in its place. An empty cell is a field not given, its place is kept."""
    items: dict[str, Node] = {}
    keys: dict[str, int] = {}
    meta = MapNode({}, {}, at)
    for field, ordinal in plan.items():
        cell = cells[ordinal]
        place = at + ordinal
        given = cell and not cell.isspace()
        if not field.startswith(_META):
            keys[field] = place
            if given:
                items[field] = _list(cell, place) if field in _LISTS else _scalar(cell, place)
        elif given:
            name = field.removeprefix(_META)
            meta.items[name] = Scalar(cell, cell, place)
            meta.keys[name] = place
    if meta.items:
        items["meta"] = meta
    return MapNode(items, keys, at)


def _scalar(cell: str, at: int) -> Node:
    """Read a cell that may be a number; under a field that wants text it is what was written."""
    text = cell.strip()
    return Scalar(number(text), text, at)


def _list(cell: str, at: int) -> Node:
    parts = (part.strip() for part in cell.split(";"))
    return ListNode([Scalar(part, part, at) for part in parts if part], at)


def _renamed(row: Node, names: Mapping[str, str]) -> Node:
    """Rename the fields of a row that is no CSV's; its values have types already."""
    if not isinstance(row, MapNode):
        return row
    renamed, meta = MapNode({}, {}, row.at), MapNode({}, {}, row.at)
    for field, column in names.items():
        if column in row.items:
            into = meta if field.startswith(_META) else renamed
            into.items[field.removeprefix(_META)] = row.items[column]
            into.keys[field.removeprefix(_META)] = row.keys[column]
    if meta.items:
        renamed.items["meta"] = meta
    return renamed
