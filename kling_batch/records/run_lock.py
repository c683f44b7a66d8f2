"""One at a time, in a folder or with a file: SQLite's lock, which every system has and which dies with its process."""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kling_batch.clock import iso
from kling_batch.disk import disk_border
from kling_batch.errors import DiskUnusable, FolderHeld

_PATIENCE_S = 0.3
"""Longer than somebody who only looks whether the folder is held takes for it."""
_FILE_PATIENCE_S = 60.0
"""Many times what it takes to read and write a large file."""


@contextmanager
def run_lock(folder: Path, *, now: float) -> Iterator[None]:
    """Hold a folder until the context is left or the process ends, however it ends.

    Raises:
        FolderHeld: Another run holds it; the message says which process, where and since when.
    """
    note = folder / "hold.txt"
    with closing(sqlite3.connect(folder / "hold", timeout=_PATIENCE_S, check_same_thread=False)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if not _is_locked(error):
                raise
            raise FolderHeld(
                f"{folder.parent} is held by another run ({_holder(note)}).",
                hint="Wait for it to end, stop it, or choose another folder with --out.",
            ) from None
        note.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {iso(now)}\n", encoding="utf-8")
        yield


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY


def _holder(note: Path) -> str:
    try:
        return note.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return "another process"


def is_held(folder: Path) -> bool:
    """Tell whether a run works in a folder now, in which nothing leads SQLite elsewhere: see `layout.own_folder`."""
    file = folder / "hold"
    if not file.is_file():
        return False
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=0)) as connection:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            return _is_locked(error)
    return False


@contextmanager
def alone_with(path: Path, *, patience_s: float = _FILE_PATIENCE_S) -> Iterator[None]:
    """Keep every other process and thread of this user from changing a file that is replaced, not written to.

    What is locked is one of 256 empty files in the system's temporary folder, chosen by the path: one beside the file
    would litter a repository, and the file itself is another after each change. Another user or machine is not kept
    away; of what these do to the file, only what falls between reading and replacing it is lost.

    Raises:
        DiskUnusable: Somebody else is not done with it, or there is no temporary folder to write to.
    """
    user = "" if sys.platform == "win32" else os.getuid()
    with disk_border(path):
        name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:2]
        stand_in = Path(tempfile.gettempdir()) / f"kling-batch.{user}.{name}"
    try:
        connection = sqlite3.connect(stand_in, timeout=patience_s, isolation_level=None)
        with closing(connection):
            connection.execute("BEGIN EXCLUSIVE")
            yield
    except sqlite3.Error as error:
        if _is_locked(error):
            words = f"{path}: another program has been changing it for {patience_s:.0f} s"
            raise DiskUnusable(words, hint="Stop that program, then run the same command again.") from error
        words = f"{path} cannot be kept from other programs, by the file {stand_in}: {error}"
        raise DiskUnusable(words, hint="Give this user the right to write there, then run again.") from error
