"""A file that is still arriving: its bytes on disk, counted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kling_batch.delivery.answer import strong_etag
from kling_batch.disk import disk_border, hash_file, sync_file
from kling_batch.effects import Probe


class Part:
    """The partial file at `path`, and the note beside it, `<path>.etag`.

    The note is written when a download is cut, after the bytes that it counts have reached the disk: the ETag on
    its first line, their number on its second. Bytes that no note counts are never gone on with: after a loss of
    power they may be zeros. So an undisturbed download writes no note, and pays nothing for the chance to resume.
    """

    def __init__(self, path: Path, probe: Probe) -> None:
        self.path = path
        self.size = 0
        self.etag: str | None = None
        self._note = path.with_name(path.name + ".etag")
        self._probe = probe

    def __repr__(self) -> str:
        return f"Part({self.path.name!r}, {self.size} bytes, etag={self.etag})"

    def load(self) -> None:
        """Take up what an earlier download left, if its note can be relied on."""
        with disk_border(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            noted = self._read_note()
            if noted is not None and self.path.is_file() and self.path.stat().st_size >= noted[1]:
                self.etag, self.size = noted
                os.truncate(self.path, self.size)

    @contextmanager
    def receiving(self, start: int, etag: str | None) -> Iterator[Callable[[bytes], None]]:
        """Keep the file open at byte `start`, where it ends, or 0 to begin anew; give a function that adds bytes."""
        with disk_border(self.path):
            self._probe("partial open")
            if start == 0:
                self._forget()
            self.etag = etag
            with self.path.open("ab" if start else "wb") as file:

                def write(chunk: bytes) -> None:
                    self._probe("partial write")
                    file.write(chunk)
                    self.size += len(chunk)

                yield write

    def keep(self) -> None:
        """Note what is there, so that a later request can ask for the rest. Only after `receiving`."""
        if self.etag is None or not self.size:
            return
        with disk_border(self.path):
            sync_file(self.path, self._probe)
            self._probe("partial note")
            self._note.write_text(f"{self.etag}\n{self.size}\n", encoding="ascii")

    def complete(self) -> str:
        """Drop the note: the file is whole. Gives its SHA-256, in hexadecimal."""
        with disk_border(self.path):
            self._note.unlink(missing_ok=True)
            return hash_file(self.path)

    def discard(self) -> None:
        """Remove file and note, so that the next request asks for everything."""
        with disk_border(self.path):
            self._forget()
            self.path.unlink(missing_ok=True)

    def _forget(self) -> None:
        self._note.unlink(missing_ok=True)
        self.size, self.etag = 0, None

    def _read_note(self) -> tuple[str, int] | None:
        """Read the note. A torn one counts fewer bytes than there are, or names no ETag that the host knows."""
        try:
            etag, size, _ = self._note.read_text(encoding="ascii").split("\n")
        except (FileNotFoundError, ValueError):
            return None
        known = strong_etag({"etag": etag})
        return (known, int(size)) if known is not None and size.isdecimal() and int(size) > 0 else None
