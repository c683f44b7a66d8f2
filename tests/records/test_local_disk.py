"""Which file system holds a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from kling_batch.errors import DiskUnusable
from kling_batch.records.local_disk import file_system, refuse_network_disk

LINE = "{number} 1 8:1 / {point} rw,relatime shared:1 - {kind} {source} rw\n"


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    """Make a table of mounts as the kernel writes it."""
    table = [("/", "ext4"), ("/team", "nfs4"), ("/team/local", "xfs"), ("/teams", "btrfs"), ("/my\\040share", "cifs"),
             ("/a\\134b", "fuse.sshfs"), ("/twice", "ext4"), ("/twice", "9p")]  # fmt: skip
    path = tmp_path / "mountinfo"
    lines = (LINE.format(number=n, point=point, kind=kind, source="x") for n, (point, kind) in enumerate(table))
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me/out", "ext4"),
        ("/team", "nfs4"),
        ("/team/project/out", "nfs4"),
        ("/team/local/out", "xfs"),
        ("/teams/out", "btrfs"),
        ("/my share/out", "cifs"),
        ("/a\\b/out", "fuse.sshfs"),
        ("/twice/out", "9p"),
    ],
)
def test_a_folder_is_on_the_nearest_mount(folder: str, kind: str, mounts: Path) -> None:
    """The deepest one that holds it, and of two in one place the later."""
    assert file_system(Path(folder), mounts) == kind


@pytest.mark.parametrize("folder", ["/team/out", "/my share/out", "/a\\b/out", "/twice/out"])
def test_a_network_disk_is_refused_with_the_repair(folder: str, mounts: Path) -> None:
    """SQLite's log and locks do not hold there: two runs could pay for one take."""
    with pytest.raises(DiskUnusable, match="network file system") as caught:
        refuse_network_disk(Path(folder), mounts)
    assert folder in caught.value.message
    assert "--out" in str(caught.value.hint)


@pytest.mark.parametrize("folder", ["/home/me/out", "/team/local/out", "/teams/out"])
def test_a_local_disk_is_taken(folder: str, mounts: Path) -> None:
    """Also one that is mounted within a network disk."""
    refuse_network_disk(Path(folder), mounts)


def test_where_the_system_cannot_tell_every_disk_is_taken(tmp_path: Path) -> None:
    """Not every system has such a table."""
    assert file_system(tmp_path, tmp_path / "none") is None
    refuse_network_disk(tmp_path, tmp_path / "none")


def test_this_machines_own_table_can_be_read() -> None:
    """Whatever this system mounts; /proc itself is mounted where there is such a table."""
    assert (file_system(Path("/proc")) == "proc") is Path("/proc/self/mountinfo").is_file()
