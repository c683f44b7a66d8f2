"""A verified file gets its final name: whole, lasting, and without losing what stood there."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from kling_batch.disk import disk_border, hash_file, sync_file, sync_folder
from kling_batch.effects import Probe, no_probe
from kling_batch.errors import DiskUnusable
from kling_batch.model import FileRecord
from kling_batch.records.attempts import PlacedFile

REJECTED = "rejected"
"""Where, under the output folder, is kept what was paid for and is no sound, each with a text that says why."""


def place(
    src: Path, dest: Path, *, out: Path, sha256: str, keep_replaced_in: Path, probe: Probe = no_probe
) -> Path | None:
    """Move a file to its final name, where it appears at once and whole. Blocks: call it from a thread.

    A different file that stands there, perhaps edited by a person, is moved away first and never overwritten.

    Args:
        src: The verified file; gone afterwards.
        dest: Its final name. Folders are made as needed.
        out: The output folder. Nothing is written outside of it, also not through symbolic links.
        sha256: The hash of `src`.
        keep_replaced_in: Where a different file at `dest` is kept, on the same file system.
        probe: Is told of every effect.

    Returns:
        Where the file that stood at `dest` stands now; None if there was none, or one with the same bytes.

    Raises:
        DiskUnusable: The file cannot be placed; `src` is still there.
    """
    with disk_border(dest):
        _refuse_way_out(dest, out)
        dest.parent.mkdir(parents=True, exist_ok=True)
        sync_file(src, probe)
        replaced = _set_aside(dest, sha256, keep_replaced_in, probe)
        _rename(src, dest, probe)
        sync_folder(dest.parent, probe)
        return replaced


def placed_now(out: Path, record: FileRecord, external_id: str) -> PlacedFile:
    """Note how a file stands under its final name at this moment.

    Raises:
        DiskUnusable: It does not stand there any more.
    """
    path = out / record.path
    with disk_border(path):
        return PlacedFile(external_id=external_id, record=record, mtime_ns=path.stat().st_mtime_ns)


def rejected_path(path: str, sha256: str) -> str:
    """Say where bytes that are no good for a file of this path are kept, under the output folder."""
    stem, _, suffix = path.rpartition(".")
    return f"{REJECTED}/{stem}.{sha256[:12]}.{suffix}"


def replaced_copy(folder: Path, sha256: str) -> Path | None:
    """Find a file among those that were set aside when another took their place."""
    named = folder.glob(f"*.{sha256[:12]}.*")
    return next((path for path in sorted(named) if path.is_file() and hash_file(path) == sha256), None)


def _refuse_way_out(dest: Path, out: Path) -> None:
    """Refuse a path that symbolic links, or the path itself, lead out of the output folder."""
    if dest.parent != out and not dest.parent.resolve().is_relative_to(out.resolve()):
        raise DiskUnusable(
            f"{dest}: its folder is really {dest.parent.resolve()}, outside of the output folder {out}",
            hint="Replace the symbolic link in the output folder by a real folder, then run again.",
        )


def _set_aside(dest: Path, sha256: str, folder: Path, probe: Probe) -> Path | None:
    """Move a different file away from `dest`, under a name that tells its bytes, so that none hides another."""
    try:
        mode = os.lstat(dest).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(dest))
    found = "link" if stat.S_ISLNK(mode) else hash_file(dest)
    if found == sha256:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    kept = _free_name(folder / f"{dest.stem}.{found[:12]}{dest.suffix}")
    probe("rename replaced")
    dest.rename(kept)
    sync_folder(folder, probe)
    return kept


def _free_name(path: Path) -> Path:
    """Count up until a name is free. One run works in a folder at a time, so nobody takes it in between."""
    free, count = path, 1
    while os.path.lexists(free):
        count += 1
        free = path.with_name(f"{path.stem}.{count}{path.suffix}")
    return free


def _rename(src: Path, dest: Path, probe: Probe) -> None:
    """Give `src` the name `dest`, by way of a copy beside it if another file system is mounted there."""
    probe("rename")
    try:
        src.replace(dest)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = dest.with_name(f".{dest.name}.copy")
        shutil.copyfile(src, beside)
        sync_file(beside, probe)
        beside.replace(dest)
        src.unlink()
