"""What sounds look like, read one by one: only the page to listen asks, and a plan need not wait for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kling_batch.model import Shape
from kling_batch.records.layout import FILE, FOLDER, layout_of, look_into, queries, sqlite_border

_FIRST_LAYOUT = 3

FindShape = Callable[[str], Shape | None]
"""Gives the shape of the sound of a SHA-256, where it is known."""


@contextmanager
def shapes_of(out: Path) -> Iterator[FindShape]:
    """Open what the journal of an output folder says of shapes, without holding it. No journal knows none.

    Raises:
        DiskUnusable: There is a journal, and it cannot be read.
    """
    path = out / FOLDER / FILE
    if not path.is_file():
        yield lambda _: None
        return
    with sqlite_border(path), closing(look_into(path)) as connection:
        if layout_of(connection, path) < _FIRST_LAYOUT:
            yield lambda _: None
        else:
            yield lambda sha256: _find(connection, sha256)


def _find(connection: sqlite3.Connection, sha256: str) -> Shape | None:
    row = connection.execute(queries()["shape"], (sha256,)).fetchone()
    return row and Shape(peak=row[0], loudness=row[1], waveform=row[2])
