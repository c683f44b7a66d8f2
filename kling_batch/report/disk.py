"""Reports reach their names only when they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from kling_batch.disk import disk_border, inside

_WORKSHOP = ".kling-batch"


def write_whole(out: Path, name: str, pieces: Iterable[str]) -> None:
    """Write `out/name` from pieces of text, through a file in `out/.kling-batch/` that is renamed at the end.

    UTF-8 without a byte order mark, line ends as given. Half of a surrogate pair, which UTF-8 cannot hold,
    is written as an escape of six characters: in JSON the proper one, elsewhere at least a visible one.

    Raises:
        DiskUnusable: The disk refuses. The file of before, if any, is untouched.
    """
    final = out / name
    partial = inside(out, f"{_WORKSHOP}/{name}.{os.getpid()}.part")
    with disk_border(final):
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)
