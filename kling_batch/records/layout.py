"""Where a journal is, how its file is opened, and the layouts that it has had."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from kling_batch.errors import DiskUnusable

FOLDER = ".kling-batch"
"""Where, under the output folder, the program keeps what is its own."""

FILE = "journal.sqlite3"

_APPLICATION_ID = 0x6B6C6261

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

    Raises:
        DiskUnusable: The file is another program's, or a newer one's. It is left as it is.
    """
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and application != _APPLICATION_ID:
        raise DiskUnusable(
            f"{path} is not a journal of kling-batch.", hint="Move it away, or choose another folder with --out."
        )
    newest = len(migrations())
    if version > newest:
        raise DiskUnusable(
            f"The journal {path} was written by a newer kling-batch (layout {version}, not {newest}).",
            hint="Upgrade kling-batch, or choose another folder with --out.",
        )
    return int(version)
