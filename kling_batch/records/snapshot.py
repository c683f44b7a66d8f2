"""Reading a journal without holding it, also while a run writes to it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from kling_batch.catalog import DEFAULT
from kling_batch.model import FileRecord, LimitPoint, Shape
from kling_batch.records.attempts import Attempt, PlacedFile, RunRow, Stage
from kling_batch.records.layout import FILE, FOLDER, layout_of, migrate, migrations, queries, sqlite_border

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """What a journal says at one moment, for plan, status and report.

    `service` is the fingerprint of the service and account that it belongs to; None where it belongs to none so far.
    """

    attempts: dict[str, Attempt] = field(default_factory=dict)
    files: dict[str, list[PlacedFile]] = field(default_factory=dict)
    last_run: RunRow | None = None
    service: str | None = None


def read_snapshot(out: Path) -> Snapshot:
    """Read a journal without holding it. A folder without one gives an empty snapshot.

    Raises:
        DiskUnusable: There is one, and it cannot be read.
    """
    with _reading(out) as connection:
        if connection is None:
            return Snapshot()
        service = [row["value"] for row in _rows(connection, "get_meta", key="service")]
        runs = [_run(row) for row in _rows(connection, "last_run")]
        return Snapshot(
            attempts=_read_attempts(connection),
            files=_read_files(connection),
            last_run=runs[0] if runs else None,
            service=service[0] if service else None,
        )


def read_shapes(out: Path) -> Mapping[str, Shape]:
    """Read what sounds look like, by their SHA-256: only the page asks, so that a plan need not wait for it.

    Raises:
        DiskUnusable: There is a journal, and it cannot be read.
    """
    with _reading(out) as connection:
        rows = _rows(connection, "all_shapes") if connection is not None else ()
        return {row.pop("sha256"): Shape(**row) for row in rows}


def _read_attempts(connection: sqlite3.Connection) -> dict[str, Attempt]:
    """Read every attempt, by its external id."""
    return {row["external_id"]: _attempt(row) for row in _rows(connection, "all_attempts")}


@contextmanager
def _reading(out: Path) -> Iterator[sqlite3.Connection | None]:
    """Open a folder's journal, in the newest layout, without holding or changing it; None where there is none."""
    path = out / FOLDER / FILE
    if not path.is_file():
        yield None
        return
    with sqlite_border(path):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            connection.execute("BEGIN")
            version = layout_of(connection, path)
            if 0 < version < len(migrations()):
                connection = _migrated(connection, version)
            yield connection if version else None
        finally:
            connection.close()


def _migrated(connection: sqlite3.Connection, version: int) -> sqlite3.Connection:
    """Copy an older program's journal into memory, in the newest layout: a reader changes no file."""
    copy = sqlite3.connect(":memory:")
    connection.backup(copy)
    connection.close()
    migrate(copy, version)
    return copy


def _rows(connection: sqlite3.Connection, query: str, **values: str) -> Iterable[dict[str, Any]]:
    cursor = connection.execute(queries()[query], values)
    names = [column[0] for column in cursor.description]
    return (dict(zip(names, row, strict=True)) for row in cursor)


def _attempt(row: dict[str, Any]) -> Attempt:
    row["kind"] = row["kind"] or DEFAULT
    row["stage"], row["units"] = _parsed(Stage, row["stage"]), _parsed(Decimal, row["units"])
    row["final"] = bool(row["final"])
    return Attempt(**row)


def _read_files(connection: sqlite3.Connection) -> dict[str, list[PlacedFile]]:
    """Read every placed file, by the external id of its attempt."""
    files: dict[str, list[PlacedFile]] = {}
    for row in _rows(connection, "all_files"):
        external_id, mtime_ns = row.pop("external_id"), row.pop("mtime_ns")
        file = PlacedFile(external_id=external_id, record=FileRecord(**row), mtime_ns=mtime_ns)
        files.setdefault(external_id, []).append(file)
    return files


def _run(row: dict[str, Any]) -> RunRow:
    return RunRow(**row | {"limits": _parsed(_limits, row["limits"])})


def _limits(history: str) -> tuple[LimitPoint, ...]:
    return tuple(LimitPoint(at=at, limit=limit, reason=reason) for at, limit, reason in json.loads(history))


def _parsed(kind: Callable[[str], T], text: object) -> T:
    try:
        return kind(str(text))
    except (ValueError, TypeError, ArithmeticError) as error:
        raise sqlite3.DataError(f"it holds {str(text)[:40]!r} where no such thing belongs") from error
