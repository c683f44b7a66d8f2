"""Where a journal is, how its file is opened, and the layouts that it has had."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

from kling_batch.disk import disk_border, inside
from kling_batch.errors import DiskUnusable

FOLDER = ".kling-batch"
"""Where, under the output folder, the program keeps what is its own."""

FILE = "journal.sqlite3"

SPENDS_SINCE = "spends_since"
"""The note of when a run began that was stopped, and whose spending the next one goes on with; empty: none was."""

_APPLICATION_ID = 0x6B6C6261
_MOST_BYTES = 1 << 24
"""Bytes of a cell."""
_JOURNAL_OF_SEVERAL = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
"""How SQLite's note of a transaction ends that was in several databases: then the name of a file stands before it."""

_HERE = Path(__file__).parent


@cache
def queries() -> dict[str, str]:
    """Read the queries, by their names."""
    text = (_HERE / "queries.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@contextmanager
def sqlite_border(path: Path) -> Iterator[None]:
    """Turn every exception of sqlite3 into ours. A journal that cannot be used stops a run before it sends."""
    try:
        yield
    except sqlite3.Error as error:
        raise DiskUnusable(
            f"The journal {path} cannot be used: {error}.",
            hint=(
                "If the disk is full or read-only, mend that. If the file is damaged, move it away: the lock and the "
                "account are looked through before anything is sent, so that nothing known there is paid for again."
            ),
        ) from error


def own_folder(out: Path) -> Path:
    """Name our folder under an output folder, once nothing in it can lead SQLite to a file outside of it.

    SQLite follows links, and deletes the file that a foreign `-journal` names.

    Raises:
        DiskUnusable: Something in it is no file of ours.
    """
    folder = inside(out, FOLDER)
    with disk_border(folder):
        for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
            path = inside(folder, entry.name)
            if path.name.endswith("-journal") and path.read_bytes().endswith(_JOURNAL_OF_SEVERAL):
                raise DiskUnusable(f"{path} was not written by kling-batch.", hint="Delete it, then run again.")
    return folder


def connect(path: Path) -> sqlite3.Connection:
    """Open a file to write to it, in the newest layout."""
    connection = sqlite3.connect(path, timeout=10, check_same_thread=False)
    try:
        version = layout_of(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection, version)
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a layout up to the newest."""
    for number, migration in enumerate(migrations()[version:], start=version + 1):
        connection.executescript(
            f"BEGIN; {migration.read_text(encoding='utf-8')}"
            f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;"
        )


def migrations() -> list[Path]:
    """Name the steps from layout to layout, in order."""
    return sorted((_HERE / "migrations").glob("*.sql"))


def layout_of(connection: sqlite3.Connection, path: Path) -> int:
    """Read how far a file's layout has come; 0 is an empty file.

    A file that came from somewhere else runs nothing here: tables with ours for names alone are ours.

    Raises:
        DiskUnusable: The file is another program's, or a newer one's. It is left as it is.
    """
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    newest = len(migrations())
    if version > newest:
        raise DiskUnusable(
            f"The journal {path} was written by a newer kling-batch (layout {version}, not {newest}).",
            hint="Upgrade kling-batch, or choose another folder with --out.",
        )
    found = _tables(connection)
    if found and (application != _APPLICATION_ID or found != _tables_of(version)):
        raise DiskUnusable(
            f"{path} is not a journal of kling-batch.", hint="Move it away, or choose another folder with --out."
        )
    return int(version)


@cache
def _tables_of(version: int) -> frozenset[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as fresh:
        for migration in migrations()[:version]:
            fresh.executescript(migration.read_text(encoding="utf-8"))
        return _tables(fresh)


def _tables(connection: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    """Give all that a file defines, as it was defined, less blanks, and less the table that layout 4 once had."""
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE name != 'standing' OR sql NOT LIKE 'CREATE TABLE%'"
    )
    return frozenset((str(name), "".join(str(sql).split())) for name, sql in rows)
