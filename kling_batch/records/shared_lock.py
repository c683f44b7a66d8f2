"""The lock in the team's storage: what a machine that begins with a bare checkout knows of the set."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kling_batch.disk import disk_border, inside
from kling_batch.errors import DiskUnusable, LockInvalid
from kling_batch.records.layout import FOLDER
from kling_batch.records.lock import NEWER_HINT, Lock, lock_text, parse_lock, read_lock, update_lock, write_lock
from kling_batch.records.merging import merge_unasked

if TYPE_CHECKING:
    from kling_batch.records.object_store import Document, ObjectDocuments, Tag

_LAST = "shared.lock"
"""The lock of the storage as it was last seen from this folder: from there on, both sides have changed it."""
_TRIES = 8


class SharedLock:
    """Brings the lock of a set and that in the storage together, take by take. Every call blocks.

    Args:
        documents: The storage.
        project: Whose lock it is.
        lock_path: The lock of this machine.
        out: The output folder.
    """

    def __init__(self, documents: ObjectDocuments, project: str, *, lock_path: Path, out: Path) -> None:
        self._documents = documents
        self._name = f"state/{project}.lock"
        self._project = project
        self._path = lock_path
        self._out = out
        self._merged: Tag | None = None

    @property
    def place(self) -> str:
        """Say where the storage's lock is."""
        return f"{self._documents.location}/{self._name}"

    def pull(self) -> Document:
        """Merge the storage's lock, if there is one and that was not done, into this machine's, and give it.

        Raises:
            LockInvalid: One of them cannot be relied on.
            DiskUnusable: The storage or the disk cannot be used.
        """
        found = self._documents.read(self._name)
        if found.tag != self._merged and found.tag is not None:
            try:
                theirs = parse_lock(self.place, found.data, project=self._project)
            except LockInvalid as error:
                if error.hint != NEWER_HINT:
                    error.hint = "Where the lock is right, remove that object and run `kling-batch lock push`."
                raise
            update_lock(self._path, self._project, partial(merge_unasked, self._base(), theirs=theirs))
            self._keep(theirs, found.tag)
        return found

    def push(self) -> Lock:
        """Pull, have the storage say the same, and give what both say.

        Raises:
            LockInvalid: One of them cannot be relied on.
            DiskUnusable: The storage or the disk cannot be used.
        """
        for _ in range(_TRIES):
            found = self.pull()
            ours = read_lock(self._path, project=self._project)
            data = lock_text(ours)
            if found.data == data:
                return ours
            if (tag := self._documents.write(self._name, data, after=found.tag)) is not None:
                self._keep(ours, tag)
                return ours
        raise DiskUnusable(f"{self.place} changes with every look.", hint="Run `kling-batch lock push` in a minute.")

    @property
    def _last(self) -> Path:
        return inside(self._out, f"{FOLDER}/{_LAST}")

    def _base(self) -> Lock:
        """Read what both sides began with; nothing, where that is not known."""
        with suppress(LockInvalid):
            return read_lock(self._last, project=self._project)
        return Lock(project=self._project)

    def _keep(self, lock: Lock, tag: Tag) -> None:
        self._merged = tag
        with disk_border(self._last):
            self._last.parent.mkdir(parents=True, exist_ok=True)
        write_lock(self._last, lock)
