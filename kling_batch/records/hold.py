"""One run at a time in a folder: SQLite's own lock, which every system has and which dies with its process."""

from __future__ import annotations

import os
import socket
import sqlite3
from pathlib import Path

from kling_batch.clock import iso
from kling_batch.errors import FolderHeld

_PATIENCE_S = 0.3
"""Longer than somebody who only looks whether the folder is held takes for it."""


class Hold:
    """Holds a folder until it is released or the process ends, however it ends.

    Raises:
        FolderHeld: Another run holds it; the message says which process, where and since when.
    """

    def __init__(self, folder: Path, *, now: float) -> None:
        self._connection = sqlite3.connect(
            folder / "hold", timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
        )
        note = folder / "hold.txt"
        try:
            self._connection.execute("BEGIN EXCLUSIVE")
            note.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {iso(now)}\n", encoding="utf-8")
        except BaseException as error:
            self._connection.close()
            if _is_locked(error):
                raise FolderHeld(
                    f"{folder.parent} is held by another run ({_holder(note)}).",
                    hint="Wait for it to end, stop it, or choose another folder with --out.",
                ) from None
            raise

    def release(self) -> None:
        """Let the next run in."""
        self._connection.close()


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY


def _holder(note: Path) -> str:
    try:
        return note.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return "another process"


def is_held(folder: Path) -> bool:
    """Tell whether a run works in a folder now."""
    file = folder / "hold"
    if not file.is_file():
        return False
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=0)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        return _is_locked(error)
    finally:
        connection.close()
    return False
