"""Which disks can be trusted with a journal: SQLite's write-ahead log needs shared memory, hence a local one."""

from __future__ import annotations

import re
from pathlib import Path

from kling_batch.errors import DiskUnusable

_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ncpfs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone"}
_ESCAPED = re.compile(r"\\([0-7]{3})")
"""How the kernel writes a space, a tab, a line break or a backslash in a path."""
MOUNTS = Path("/proc/self/mountinfo")
"""The kernel's table of mounts, on Linux."""


def refuse_network_disk(folder: Path, mounts: Path = MOUNTS) -> None:
    """Refuse a folder on a network file system, where the system can tell.

    Raises:
        DiskUnusable: Locks and shared memory do not hold on this file system.
    """
    kind = file_system(folder, mounts)
    if kind in _NETWORK:
        raise DiskUnusable(
            f"{folder} is on a network file system ({kind}), where the journal of a run is not safe.",
            hint="Choose a folder on a local disk with --out, and copy the finished sounds afterwards.",
        )


def file_system(folder: Path, mounts: Path = MOUNTS) -> str | None:
    """Name the type of the file system that holds `folder`, or None where the system cannot tell."""
    if not mounts.is_file():
        return None
    path = folder.resolve()
    best, kind = -1, None
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        point = Path(_ESCAPED.sub(lambda code: chr(int(code[1], 8)), before.split()[4]))
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind
