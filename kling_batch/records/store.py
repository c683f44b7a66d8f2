"""Finished files by their hash, shared by the projects of a user and by processes at once.

A store is a cache: everything in it stands, or stood, under its final name somewhere. So it may fail without harm,
and what comes out of it is hashed again before it is believed.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from kling_batch.disk import CHUNK, disk_border
from kling_batch.effects import Probe, no_probe

Namespace = Literal["live", "sandbox"]
"""What the sandbox made never serves a real run."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_READ_ONLY = 0o444
_OPTION = "--store"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreEntry:
    """A file of a store. `put_at` is when it came, in seconds since 1970; object storage counts whole seconds."""

    sha256: str
    bytes: int
    put_at: float


class Store(Protocol):
    """What is asked of a store, be it a folder or object storage. Every call blocks: call it from a thread.

    A store that cannot be reached, read or written raises `DiskUnusable` from any of them.

    `location` says where it is, in the words that `--store` takes.
    """

    location: str

    def has(self, sha256: str) -> bool:
        """Say whether a file of this hash seems to be there; only `fetch` finds out whether it is undamaged."""
        ...

    def put(self, path: Path, sha256: str) -> None:
        """Keep a copy of a file that has just been hashed. Doing so again changes nothing.

        Raises:
            DiskUnusable: The store cannot be written, or the file not read. The file itself is not touched.
        """
        ...

    def fetch(self, sha256: str, dest: Path) -> bool:
        """Write the file of this hash to `dest`, not yet synced to the disk; False if the store has it not.

        What is damaged is set aside and counts as not there. Where nothing whole came, `dest` does not exist.

        Raises:
            DiskUnusable: The store cannot be read, or `dest` cannot be written.
        """
        ...

    def entries(self) -> Iterator[StoreEntry]:
        """List what is there, in no order."""
        ...

    def remove(self, sha256s: Iterable[str]) -> None:
        """Forget these files. One that is not there, or not any more, is no error."""
        ...

    def sweep(self, before: float) -> int:
        """Remove what was set aside as damaged, and the halves that crashes left, if older than this time.

        Gives their number. `before` counts seconds since 1970; leave time for those who are putting files now.
        """
        ...


def key_of(sha256: str) -> str:
    """Say under which name a namespace keeps the file of this hash. All kinds of store use the same names.

    Raises:
        ValueError: It is no SHA-256 in lower-case hexadecimal, and must not become a path.
    """
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256!r} is no SHA-256")
    return f"sha256/{sha256[:2]}/{sha256}"


def is_key(key: str) -> bool:
    """Tell an entry of a namespace from what else people and programs may leave there."""
    sha256 = key.rpartition("/")[2]
    return _SHA256.fullmatch(sha256) is not None and key == key_of(sha256)


def receive(chunks: Iterable[bytes], dest: Path, sha256: str) -> bool:
    """Write what comes to `dest` if it has this hash; else, and after any failure, `dest` does not exist.

    Raises:
        DiskUnusable: `dest` cannot be written.
    """
    digest = hashlib.sha256()
    with disk_border(dest):
        dest.parent.mkdir(parents=True, exist_ok=True)
        try:
            with dest.open("wb") as writer:
                for chunk in chunks:
                    digest.update(chunk)
                    writer.write(chunk)
        except BaseException:
            dest.unlink(missing_ok=True)
            raise
        if digest.hexdigest() == sha256:
            return True
        dest.unlink()
        return False


def disused(entries: Iterable[StoreEntry], *, named: frozenset[str], before: float) -> list[StoreEntry]:
    """Choose the entries that no lock names and that came before this time, in seconds since 1970."""
    return [entry for entry in entries if entry.sha256 not in named and entry.put_at <= before]


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
        self.location = str(root.absolute())
        self._folder = root / namespace
        self._probe = probe

    def __repr__(self) -> str:
        return f"FolderStore({str(self._folder)!r})"

    def path_of(self, sha256: str) -> Path:
        """Say where a file of this hash is, or would be. Raises ValueError for what is no hash."""
        return self._folder / key_of(sha256)

    def has(self, sha256: str) -> bool:
        """See `Store.has`."""
        path = self.path_of(sha256)
        with disk_border(path, option=_OPTION):
            return path.is_file()

    def put(self, path: Path, sha256: str) -> None:
        """See `Store.put`. Two processes may put one file at once: each renames a whole copy to the same name."""
        final = self.path_of(sha256)
        with disk_border(path):
            size = path.stat().st_size
        with disk_border(final, option=_OPTION):
            if final.is_file() and final.stat().st_size == size:
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
        """See `Store.fetch`. A damaged file is set aside in `damaged/`."""
        source = self.path_of(sha256)
        with disk_border(source, option=_OPTION):
            try:
                reader = source.open("rb")
            except FileNotFoundError:
                return False
        with reader:
            self._probe("store fetch")
            if receive(_chunks(reader, source), dest, sha256):
                return True
        self._set_aside(source)
        return False

    def entries(self) -> Iterator[StoreEntry]:
        """See `Store.entries`."""
        with disk_border(self._folder, option=_OPTION):
            for path in self._folder.glob("sha256/??/*"):
                if not is_key(path.relative_to(self._folder).as_posix()):
                    continue
                with suppress(FileNotFoundError):  # another process removed it just now
                    found = path.stat()
                    yield StoreEntry(sha256=path.name, bytes=found.st_size, put_at=found.st_mtime)

    def remove(self, sha256s: Iterable[str]) -> None:
        """See `Store.remove`."""
        for sha256 in sha256s:
            _unlink(self.path_of(sha256))

    def sweep(self, before: float) -> int:
        """See `Store.sweep`."""
        with disk_border(self._folder, option=_OPTION):
            leavings = [*self._folder.glob("coming/*"), *self._folder.glob("damaged/*")]
            old = [path for path in leavings if path.stat().st_mtime <= before]
        for path in old:
            _unlink(path)
        return len(old)

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


def _chunks(reader: BinaryIO, source: Path) -> Iterator[bytes]:
    """Read a file of the store. What is wrong with it is told of it, and not of the file it is copied to."""
    with disk_border(source, option=_OPTION):
        while chunk := reader.read(CHUNK):
            yield chunk


def _unlink(path: Path) -> None:
    with disk_border(path, option=_OPTION), suppress(FileNotFoundError):
        if os.name == "nt":
            path.chmod(stat.S_IWRITE)  # Windows removes nothing that is read-only
        path.unlink()
