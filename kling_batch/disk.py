"""The border to the disk: what an `OSError` means to a person, how to make something last, and how to stay in a folder.

What stands in the output folder may have come with a stranger's repository. `look` and `inside` are the way to
everything in there: they follow no link below it, so that nothing else is read or written.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

from kling_batch.effects import Probe
from kling_batch.errors import DiskUnusable, UsageError

MOST_BYTES = 256 << 20
"""Bytes of the largest file of a person's that is read."""
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
        cause, hint = disk_words(error, option=option)
        raise DiskUnusable(f"{path}: {cause}", hint=hint) from error


def disk_words(error: OSError, *, option: str) -> tuple[str, str]:
    """Word an error, and what to do about it."""
    cause, hint = _MEANINGS.get(error.errno or 0, (error.strerror or str(error), _OTHER))
    return cause, hint.format(option=option)


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
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_file(path: Path) -> BufferedReader:
    """Open a file to read it. What is none, such as a pipe, which could keep a reader for ever, is an `OSError`."""
    mode = path.stat().st_mode
    if not S_ISREG(mode) and not S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is no file but a pipe, a socket or a device", str(path))
    return path.open("rb")


def refuse_outside(path: Path, folder: Path, shown: str) -> None:
    """Refuse a path that leads out of a folder, by itself or by links.

    Raises:
        UsageError: It does, and nobody allowed it.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise UsageError(
            f"{shown} leads outside of the manifest's folder, {folder}",
            hint="Put the file itself there; or, if you trust whoever wrote this, give --allow-outside.",
        )


def look(folder: Path, path: str | Path) -> os.stat_result | None:
    """Say what stands at a path below a folder, following no link; None where nothing does.

    Args:
        folder: The folder, which may be a link itself.
        path: Relative to it.

    Raises:
        DiskUnusable: A folder on the way is a link, the path leads out, or the disk does not say.
    """
    relative = Path(path)
    if relative.is_absolute() or ".." in relative.parts:
        raise DiskUnusable(f"{folder / path} is outside of the output folder {folder}", hint=_NO_LINK)
    at, found = str(folder), None
    for part in relative.parts:
        if found is not None and S_ISLNK(found.st_mode):
            raise _refusal(Path(at))
        at = f"{at}{os.sep}{part}"
        try:
            found = os.lstat(at)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            with disk_border(folder / relative):
                raise
    return found


def is_file(folder: Path, path: str | Path) -> bool:
    """Whether a file stands at a path below a folder; no link counts as one. See `look`."""
    found = look(folder, path)
    return found is not None and S_ISREG(found.st_mode)


def inside(folder: Path, path: str | Path) -> Path:
    """Name a path below a folder that can be written to, or read: nothing, a file or a folder stands there.

    Raises:
        DiskUnusable: It is something else, such as a link; or see `look`.
    """
    found = look(folder, path)
    if found is not None and not S_ISREG(found.st_mode) and not S_ISDIR(found.st_mode):
        raise _refusal(folder / path)
    return folder / path


_NO_LINK = "Replace it by a real file or folder, then run again: below the output folder, no link is followed."


def _refusal(path: Path) -> DiskUnusable:
    is_link = "a symbolic link, which may lead outside of the output folder"
    return DiskUnusable(f"{path} is {is_link if path.is_symlink() else 'neither a file nor a folder'}", hint=_NO_LINK)
