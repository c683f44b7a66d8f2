"""Looking into a journal without holding it, also while a run writes to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kling_batch.records.attempts import Attempt, PlacedFile, RunRow
from kling_batch.records.layout import FILE, FOLDER, layout_of, look_into, migrate, migrations, queries, sqlite_border
from kling_batch.records.rows import read_attempts, read_files, run_row


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """What a journal says at one moment, for plan, status and report; also while a run writes to it.

    `service` is the fingerprint of the service and account that it belongs to; None where it belongs to none so far.
    """

    attempts: dict[str, Attempt]
    files: dict[str, list[PlacedFile]]
    last_run: RunRow | None
    service: str | None = None


def _brought_up(connection: sqlite3.Connection, version: int) -> sqlite3.Connection:
    """Copy a journal of an older program into memory, in the newest layout: whoever only looks changes no file."""
    copy = sqlite3.connect(":memory:")
    connection.backup(copy)
    connection.close()
    migrate(copy, version)
    return copy


@contextmanager
def _reading(out: Path) -> Iterator[sqlite3.Connection | None]:
    """Look into a folder's journal, in the newest layout, without holding or changing it; None where there is none."""
    path = out / FOLDER / FILE
    if not path.is_file():
        yield None
        return
    with sqlite_border(path):
        connection = look_into(path)
        try:
            connection.execute("BEGIN")
            version = layout_of(connection, path)
            if 0 < version < len(migrations()):
                connection = _brought_up(connection, version)
            yield connection if version else None
        finally:
            connection.close()


def read_snapshot(out: Path) -> Snapshot:
    """Read a journal without holding it. A folder without one gives an empty snapshot.

    Raises:
        DiskUnusable: There is one, and it cannot be read.
    """
    with _reading(out) as connection:
        if connection is None:
            return Snapshot(attempts={}, files={}, last_run=None)
        run = connection.execute(queries()["last_run"]).fetchone()
        service = connection.execute(queries()["get_meta"], ("service",)).fetchone()
        return Snapshot(
            attempts=read_attempts(connection),
            files=read_files(connection),
            last_run=run_row(run) if run else None,
            service=service[0] if service else None,
        )
