"""Finished files by their hash, shared by the projects of a user and by processes at once.

A store is a cache: everything in it stands, or stood, under its final name somewhere. So it may fail without harm,
and what comes out of it is hashed again before it is believed.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from kling_batch.effects import Probe, no_probe
from kling_batch.files.disk import CHUNK, disk_border

Namespace = Literal["live", "sandbox"]
"""What the sandbox made never serves a real run."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_READ_ONLY = 0o444


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreEntry:
    """A file of a store."""

    sha256: str
    bytes: int


class Store(Protocol):
    """What a run asks of a store, be it a folder or object storage. Every call blocks: call it from a thread."""

    def has(self, sha256: str) -> bool:
        """Say whether a file of this hash seems to be there; only `fetch` finds out whether it is undamaged."""
        ...

    def put(self, path: Path, sha256: str) -> None:
        """Keep a copy of a file that has just been hashed. Doing so again changes nothing.

        Raises:
            DiskUnusable: The store cannot be written. The file itself is not touched.
        """
        ...

    def fetch(self, sha256: str, dest: Path) -> bool:
        """Write the file of this hash to `dest`, not yet synced to the disk; False if the store has it not.

        Raises:
            DiskUnusable: The store cannot be read, or `dest` cannot be written.
        """
        ...

    def entries(self) -> Iterator[StoreEntry]:
        """List what is there, in no order."""
        ...


class FolderStore:
    """A store in a folder: `<root>/<namespace>/sha256/ab/abcdef...`, every file read-only.

    Files go in and out as copies, never as hard links: a sound designer edits the file in the output folder, and a
    link would change the store with it.

    Args:
        root: The folder; made when the first file comes.
        namespace: Whose files these are.
        probe: Is told of every effect.
    """

    def __init__(self, root: Path, *, namespace: Namespace, probe: Probe = no_probe) -> None:
        self._folder = root / namespace
        self._files = self._folder / "sha256"
        self._probe = probe

    def __repr__(self) -> str:
        return f"FolderStore({str(self._folder)!r})"

    def path_of(self, sha256: str) -> Path:
        """Say where a file of this hash is, or would be.

        Raises:
            ValueError: It is no SHA-256 in lower-case hexadecimal, and must not become a path.
        """
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is no SHA-256")
        return self._files / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """See `Store.has`."""
        path = self.path_of(sha256)
        with disk_border(path):
            return path.is_file()

    def put(self, path: Path, sha256: str) -> None:
        """See `Store.put`. Two processes may put one file at once: each renames a whole copy to the same name."""
        final = self.path_of(sha256)
        with disk_border(final):
            if final.is_file() and final.stat().st_size == path.stat().st_size:
                return
            coming = self._folder / "coming" / f"{sha256}.{secrets.token_hex(4)}"
            for folder in (coming.parent, final.parent):
                folder.mkdir(parents=True, exist_ok=True)
            self._probe("store write")
            try:
                shutil.copyfile(path, coming)
                coming.chmod(_READ_ONLY)
                self._probe("store rename")
                coming.replace(final)
            finally:
                coming.unlink(missing_ok=True)

    def fetch(self, sha256: str, dest: Path) -> bool:
        """See `Store.fetch`. A damaged file is set aside, in `damaged/`, and counts as not there."""
        source = self.path_of(sha256)
        with disk_border(source):
            try:
                reader = source.open("rb")
            except FileNotFoundError:
                return False
        with reader, disk_border(dest):
            dest.parent.mkdir(parents=True, exist_ok=True)
            self._probe("store fetch")
            if _copy(reader, dest) == sha256:
                return True
            dest.unlink()
        self._set_aside(source)
        return False

    def entries(self) -> Iterator[StoreEntry]:
        """See `Store.entries`."""
        with disk_border(self._files):
            for path in self._files.glob("??/*"):
                yield StoreEntry(sha256=path.name, bytes=path.stat().st_size)

    def _set_aside(self, path: Path) -> None:
        """Move a damaged file out of the way. In a store that cannot be written it stays, and is refused again."""
        damaged = self._folder / "damaged"
        with suppress(OSError):
            damaged.mkdir(exist_ok=True)
            path.replace(damaged / path.name)


def default_store_root(environ: Mapping[str, str], *, platform: str, home: Path) -> Path:
    """Say where the user's cache folder is, by the rules of the platform (a value of `sys.platform`)."""
    if platform == "win32":
        local = environ.get("LOCALAPPDATA")
        return (Path(local) if local else home / "AppData" / "Local") / "kling-batch" / "store"
    if platform == "darwin":
        return home / "Library" / "Caches" / "kling-batch" / "store"
    cache = environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if Path(cache).is_absolute() else home / ".cache") / "kling-batch" / "store"


def _copy(reader: BinaryIO, dest: Path) -> str:
    """Copy a file and hash what was copied, in one pass."""
    digest = hashlib.sha256()
    with dest.open("wb") as writer:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()
