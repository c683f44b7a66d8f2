"""The border to the disk: what an `OSError` means to a person, and the two ways to make something last."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kling_batch.effects import Probe
from kling_batch.errors import DiskUnusable

CHUNK = 1 << 20
"""Bytes read at once where a whole file is read."""

_FULL = "Make room (or choose another folder with {option}), then run the same command again: it resumes."
_RIGHTS = "Give this user the right to write there (or choose another folder with {option}), then run again."
_FILE_IN_THE_WAY = (
    "a file stands where a folder is needed",
    "Move that file away (or choose another folder with {option}), then run again.",
)
_MEANINGS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", _FULL),
    errno.EDQUOT: ("the disk quota is used up", _FULL),
    errno.EROFS: ("the file system is read-only", _RIGHTS),
    errno.EACCES: ("permission denied", _RIGHTS),
    errno.EPERM: ("the operation is not permitted", _RIGHTS),
    errno.ENAMETOOLONG: (
        "the name is too long for this file system",
        "Shorten `file` or `id` in the manifest, or choose a shorter folder with {option}, then run again.",
    ),
    errno.ENOTDIR: _FILE_IN_THE_WAY,
    errno.EEXIST: _FILE_IN_THE_WAY,
    errno.EISDIR: ("a folder stands where a file is needed", "Move that folder away, then run again."),
    errno.EMFILE: ("too many files are open", "Raise the limit (ulimit -n), then run again."),
}
_OTHER = "Check the disk and its mount, then run the same command again: it resumes."


@contextmanager
def disk_border(path: Path, *, option: str = "--out") -> Iterator[None]:
    """Turn every `OSError` of the body into `DiskUnusable` that names `path`, the cause and the repair.

    Args:
        path: What is read or written.
        option: The option of the command line that would choose another folder for it.
    """
    try:
        yield
    except OSError as error:
        cause, hint = _MEANINGS.get(error.errno or 0, (error.strerror or str(error), _OTHER))
        raise DiskUnusable(f"{path}: {cause}", hint=hint.format(option=option)) from error


def sync_folder(folder: Path, probe: Probe) -> None:
    """Make the names in a folder last. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    probe("fsync folder")
    _sync(folder, os.O_RDONLY)


def sync_file(path: Path, probe: Probe) -> None:
    """Make a file's bytes last."""
    probe("fsync file")
    _sync(path, os.O_RDWR)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hash_file(path: Path) -> str:
    """Hash a file with SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
