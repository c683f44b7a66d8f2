"""A verified file gets its final name: whole, lasting, and without losing what stood there."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from kling_batch.disk import disk_border, hash_file, inside, is_file, look, sync_file, sync_folder
from kling_batch.effects import Probe, no_probe
from kling_batch.model import FileRecord
from kling_batch.records.attempts import PlacedFile
from kling_batch.records.layout import FOLDER

REPLACED = f"{FOLDER}/replaced"
"""The folder for what another file took the place of."""
REJECTED = "rejected"
"""Where, under the output folder, is kept what was paid for and is no sound, each with a text that says why."""


def place(
    src: Path, dest: Path, *, out: Path, sha256: str, kept: Collection[str] = (), probe: Probe = no_probe
) -> Path | None:
    """Move a file to its final name, where it appears at once and whole. Blocks: call it from a thread.

    A different file that stands there, perhaps edited by a person, is moved away first and never overwritten.

    Args:
        src: The verified file; gone afterwards.
        dest: Its final name. Folders are made as needed.
        out: The output folder. Nothing is written outside of it, and no link in it is followed.
        sha256: The hash of `src`.
        kept: Hashes of files that need not be moved away: they are kept elsewhere, or can be made again.
        probe: Is told of every effect.

    Returns:
        Where the file that stood at `dest` stands now; None if there was none, or one with the same bytes.

    Raises:
        DiskUnusable: The file cannot be placed; `src` is still there.
    """
    with disk_border(dest):
        there = look(out, dest.relative_to(out))
        dest.parent.mkdir(parents=True, exist_ok=True)
        sync_file(src, probe)
        replaced = None
        if there is not None:
            if stat.S_ISDIR(there.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(dest))
            found = hash_file(dest) if stat.S_ISREG(there.st_mode) else "no-file"
            if found not in {sha256, *kept}:
                replaced = set_aside(dest, found, replaced_folder(out), probe)
        _rename(src, dest, probe)
        sync_folder(dest.parent, probe)
        return replaced


def placed_now(out: Path, record: FileRecord, external_id: str, *, absent: bool = False) -> PlacedFile:
    """Note how a file stands under its final name at this moment.

    One that was edited, or that the store alone has, is `absent`: what stands there is looked at every time.

    Raises:
        DiskUnusable: It does not stand there any more.
    """
    path = inside(out, record.path)
    with disk_border(path):
        mtime_ns = 0 if absent else path.stat().st_mtime_ns
        return PlacedFile(external_id=external_id, record=record, mtime_ns=mtime_ns)


def rejected_path(path: str, sha256: str) -> str:
    """Say where bytes that are no good for a file of this path are kept, under the output folder."""
    stem, _, suffix = path.rpartition(".")
    return f"{REJECTED}/{stem}.{sha256[:12]}.{suffix}"


def reject(
    src: Path, path: str, *, out: Path, sha256: str, reason: str, task_id: str | None, probe: Probe = no_probe
) -> None:
    """Keep bytes apart that are no good for a file of this path, with the reason. Blocks: call it from a thread.

    Raises:
        DiskUnusable: They cannot be moved there; or they are, and the reason cannot be written.
    """
    kept = rejected_path(path, sha256)
    why = inside(out, f"{kept}.txt")
    place(src, out / kept, out=out, sha256=sha256, probe=probe)
    with disk_border(why):
        why.write_text(f"{reason}\ntask {task_id}\n", encoding="utf-8")


def forget_rejected(out: Path, kept: str) -> None:
    """Delete what was kept apart, with the reason. Blocks."""
    for path in (kept, f"{kept}.txt"):
        with disk_border(out / path):
            if is_file(out, path):
                (out / path).unlink()


def replaced_folder(out: Path) -> Path:
    """Say where files are kept that another took the place of."""
    return inside(out, REPLACED)


def coming_file(out: Path, name: str) -> Path:
    """Name a file on its way to its place, in a folder that is made here.

    Raises:
        DiskUnusable: It cannot be written there.
    """
    folder = inside(out, f"{FOLDER}/partial")
    with disk_border(folder):
        folder.mkdir(parents=True, exist_ok=True)
    inside(folder, f"{name}.etag")  # see `part`
    return inside(folder, name)


def find(out: Path, paths: Iterable[str], sha256: str) -> Path | None:
    """Find a file under one of these paths, else among those that were set aside when another took their place."""
    return next((path for path in _named(out, paths, sha256) if hash_file(path) == sha256), None)


def _named(out: Path, paths: Iterable[str], sha256: str) -> Iterator[Path]:
    yield from (out / path for path in paths if is_file(out, path))
    folder = replaced_folder(out)
    yield from (path for path in sorted(folder.glob(f"*.{sha256[:12]}.*")) if is_file(folder, path.name))


def copied(out: Path, paths: Iterable[str], sha256: str, coming: Path) -> bool:
    """Copy a file from where it is found, and say whether it was there: see `find`. Blocks.

    Raises:
        DiskUnusable: It cannot be read or written.
    """
    with disk_border(coming):
        here = find(out, paths, sha256)
        if here is not None:
            shutil.copyfile(here, coming)
        return here is not None


def set_aside(path: Path, sha256: str, folder: Path, probe: Probe = no_probe) -> Path:
    """Move a file into a folder, under a name that tells its bytes, so that none hides another.

    Args:
        path: The file.
        sha256: Its hash.
        folder: Where it goes: see `replaced_folder`.
        probe: Is told of every effect.

    Returns:
        Where it stands now.
    """
    with disk_border(path):
        folder.mkdir(parents=True, exist_ok=True)
        kept = _free_name(folder / f"{path.stem}.{sha256[:12]}{path.suffix}")
        probe("rename replaced")
        path.rename(kept)
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
        beside.unlink(missing_ok=True)
        shutil.copyfile(src, beside)
        sync_file(beside, probe)
        beside.replace(dest)
        src.unlink()
