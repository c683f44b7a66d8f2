"""Rows of a table as jobs: which column fills which field, and what a cell of text means there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from kling_batch.catalog import DEFAULT, kinds
from kling_batch.catalog.manifest import manifest_schema
from kling_batch.manifest.messages import shown, unknown_name
from kling_batch.manifest.nodes import Document, ListNode, MapNode, Node, Page, Scalar, Table, line_and_ordinal

_COLUMNS = manifest_schema()["definitions"][DEFAULT]["from"]["properties"]["columns"]
FIELDS = tuple(_COLUMNS["properties"])
_LISTS = frozenset({"formats", "tags"})
_FLAGS = frozenset(
    name for each in kinds().values() for name, field in each.fields.items() if field.get("type") == "boolean"
)
_META = "meta."


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """What a manifest says under `columns`: field to column, and where it says so."""

    names: Mapping[str, str]
    node: MapNode
    page: Page


def rows(document: Document, columns: Columns | None, of_kind: str) -> tuple[Iterable[Node], frozenset[str]]:
    """Give each row as a job's fields. Columns that are not known are told once: at the header, or at `columns`.

    Also gives the fields that no row can have, which is told once for all of them. `of_kind` is the kind of a row that
    names none.
    """
    content, page = document.content, document.page
    if isinstance(content, ListNode):
        if columns is None:
            return content.items, frozenset()
        there = {name for row in content.items if isinstance(row, MapNode) for name in row.items}
        names = _asked_for(columns, there, page)
        nodes, lists = iter(content.items), frozenset[str]()
    elif isinstance(content, Table):
        header = [name for name, _ in content.header]
        names = _own(content, page, of_kind) if columns is None else _asked_for(columns, header, page)
        _tell_of_cells(content, names.values(), page)
        nodes, lists = content.rows(), _LISTS
    else:
        page.tell(content.at, "this is no table; a table is a list of rows")
        return (), frozenset()
    lacking = _required(names if columns is None else columns.names, of_kind) - names.keys()
    for name in sorted(lacking):
        if columns is None:
            page.tell(document.start, f"there is no column `{name}`; every job needs one")
        elif name not in columns.names:
            words = f"`columns` does not say which column fills `{name}`; every job needs one"
            columns.page.tell(columns.node.at, words)
    return (_job(row, names, lists) for row in nodes), frozenset(lacking)


def _required(fields: Collection[str], of_kind: str) -> set[str]:
    """Name the fields that a table must have a column for. Where one tells the kind, rows differ in what they need."""
    return {"id"} if "kind" in fields else {*manifest_schema()["definitions"][of_kind]["job"]["required"]}


def _own(table: Table, page: Page, of_kind: str) -> Mapping[str, str]:
    """Take columns whose names are field names; tell of all others. Without a column `kind` all rows are of one."""
    names = {}
    fields, meant = FIELDS, _COLUMNS["x-meant"]
    if all(name != "kind" for name, _ in table.header):
        own = kinds()[of_kind]
        others = {field for kind in kinds().values() for field in kind.fields} - {*own.fields}
        fields, meant = tuple(field for field in FIELDS if field not in others), own.meant
    for name, at in table.header:
        if name in fields or (name.startswith(_META) and len(name) > len(_META)):
            names[name] = name
        elif name:
            page.tell(at, unknown_name(name, (*fields, "meta.NAME"), what="column", meant=meant))
        else:
            page.tell(at, "a column without a name; name it, or remove it")
    return names


def _asked_for(columns: Columns, there: Collection[str], page: Page) -> Mapping[str, str]:
    """Take the columns that the manifest asks for, and ignore all others; tell, at `columns`, which are not there."""
    for field, column in columns.names.items():
        if column not in there:
            said = unknown_name(column, list(there), what="column")
            columns.page.tell(columns.node.items[field].at, f"{page.path}: {said}")
    return {field: column for field, column in columns.names.items() if column in there}


def _tell_of_cells(table: Table, used: Collection[str], page: Page) -> None:
    """Tell of columns that are used and there twice, and of their cells that have no value that can be used."""
    ordinals: dict[str, int] = {}
    for ordinal, (name, at) in enumerate(table.header):
        if name in used and ordinals.setdefault(name, ordinal) != ordinal:
            page.tell(at, f"a second column is named {shown(name)}; rename or remove one of them")
    first = line_and_ordinal(table.header[0][1])[1]
    for at, words in table.flaws:
        if line_and_ordinal(at)[1] - first in ordinals.values():
            page.tell(at, words)


def _job(row: Node, names: Mapping[str, str], lists: Collection[str]) -> Node:
    """Make a row's fields, each from its column. In those of `lists`, `;` separates what a cell holds."""
    if not isinstance(row, MapNode):
        return row
    job, meta = MapNode({}, {}, row.at), MapNode({}, {}, row.at)
    for field, column in names.items():
        into = meta if field.startswith(_META) else job
        name = field.removeprefix(_META)
        if column in row.items:
            value = row.items[column]
            if name in lists:
                value = _list(value)
            elif lists and name in _FLAGS:
                value = _flag(value)
            into.items[name] = value
        if column in row.keys and (into is job or column in row.items):
            into.keys[name] = row.keys[column]
    if meta.items:
        job.items["meta"] = meta
    return job


def _flag(cell: Node) -> Node:
    """Read `true` and `false`, as spreadsheets write them; anything else stays as it is."""
    if isinstance(cell, Scalar) and (word := cell.text.strip().lower()) in {"true", "false"}:
        return Scalar(word == "true", cell.text, cell.at)
    return cell


def _list(cell: Node) -> Node:
    parts = (part.strip() for part in cell.text.split(";")) if isinstance(cell, Scalar) else ()
    return ListNode([Scalar(part, part, cell.at) for part in parts if part], cell.at)
