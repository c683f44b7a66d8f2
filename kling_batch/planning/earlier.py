"""Earlier sounds of takes: what a reroll, an edition or another request replaced, as long as its bytes are there."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import replace
from os import scandir
from pathlib import Path

from kling_batch.delivery.place import coming_file, place, replaced_folder
from kling_batch.disk import disk_border
from kling_batch.model import Earlier, FileRecord, TakeKey
from kling_batch.records.lock import Lock, LockEntry
from kling_batch.records.store import Store

_SET_ASIDE = re.compile(r".+\.([0-9a-f]{12})(?:\.[0-9]+)?\.[a-z0-9]+")
"""What a file is called that another took the place of: it ends in the beginning of its hash, and its format."""


def earlier_sounds(lock: Lock, keys: Container[TakeKey], out: Path) -> tuple[Earlier, ...]:
    """Find the earlier sounds of takes among the files that were set aside, the latest of each take first.

    Args:
        lock: Its retired entries are what takes were before.
        keys: Which takes are meant.
        out: The output folder.
    """
    there = _set_aside(out) if lock.retired else {}
    found = []
    for entry in _before(lock, keys):
        file = next((file for file in _stood(entry) if _mark(file) in there), None)
        if file is not None:
            moved = replace(file, path=there[_mark(file)])
            found.append(Earlier(key=entry.key, edition=entry.edition, file=moved, note=entry.note))
    return tuple(found)


def bring_earlier(lock: Lock, keys: Container[TakeKey], out: Path, store: Store) -> None:
    """Bring those earlier sounds from the store that are not among the files that were set aside. Blocks.

    Raises:
        DiskUnusable: Store or disk cannot be used.
    """
    there = _set_aside(out)
    for entry in _before(lock, keys):
        if any(_mark(file) in there for file in _stood(entry)):
            continue
        file = _stood(entry)[0]
        coming = coming_file(out, f"earlier.{file.sha256}")
        if store.fetch(file.sha256, coming):
            name = f"{Path(file.path).stem}.{_mark(file)}.{file.format}"
            place(coming, replaced_folder(out) / name, out=out, sha256=file.sha256)


def _before(lock: Lock, keys: Container[TakeKey]) -> Iterator[LockEntry]:
    there = (entry for entry in lock.retired.values() if entry.files and entry.key in keys)
    yield from sorted(there, key=lambda entry: (entry.key, -entry.edition, entry.external_id))


def _stood(entry: LockEntry) -> tuple[FileRecord, ...]:
    """Give the files of a take that stood under its name, or would have."""
    return entry.finished or entry.files


def _mark(file: FileRecord) -> str:
    return file.sha256[:12]


def _set_aside(out: Path) -> dict[str, str]:
    """List the files that were set aside, by the beginnings of their hashes, as paths under the output folder."""
    folder = replaced_folder(out)
    with disk_border(folder):
        if not folder.is_dir():
            return {}
        with scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    found = ((_SET_ASIDE.fullmatch(name), name) for name in names)
    return {match[1]: (folder / name).relative_to(out).as_posix() for match, name in found if match}
