"""What a store in a folder promises beyond what every store does."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from kling_batch.errors import DiskUnusable
from kling_batch.records.store import FolderStore, default_store_root


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "cache", namespace="live")


def test_entries_are_read_only(store: FolderStore, door: Path, door_hash: str) -> None:
    """Nobody edits a file of the store by accident."""
    store.put(door, door_hash)
    assert stat.S_IMODE(store.path_of(door_hash).stat().st_mode) == 0o444


def test_putting_twice_keeps_the_first_copy(store: FolderStore, door: Path, door_hash: str) -> None:
    """Inode and all."""
    store.put(door, door_hash)
    before = store.path_of(door_hash).stat()
    store.put(door, door_hash)
    assert store.path_of(door_hash).stat() == before


def test_a_failed_copy_leaves_nothing_behind(
    tmp_path: Path, door: Path, door_hash: str, crash_at: Any, crash: Any
) -> None:
    """The copy under way is removed on the way out."""
    for effect in ("store write", "store rename"):
        store = FolderStore(tmp_path / "cache", namespace="live", probe=crash_at(effect))
        with pytest.raises(crash):
            store.put(door, door_hash)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_halves_that_a_killed_process_left_are_swept(store: FolderStore, tmp_path: Path) -> None:
    """They are never taken for entries, and go when they are old enough."""
    half = tmp_path / "cache" / "live" / "coming" / f"{'a' * 64}.12345678"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    assert list(store.entries()) == []
    assert store.sweep(half.stat().st_mtime - 1) == 0
    assert store.sweep(half.stat().st_mtime) == 1
    assert not half.exists()


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path, door: Path, door_hash: str) -> None:
    """The caller learns it as a fault of the disk, and the file itself is untouched."""
    (tmp_path / "cache").write_bytes(b"a file, not a folder")
    store = FolderStore(tmp_path / "cache", namespace="live")
    with pytest.raises(DiskUnusable, match="a file stands where a folder is needed"):
        store.put(door, door_hash)
    assert door.read_bytes() == b"creak" * 1000


def test_the_repair_names_the_option_of_the_store(store: FolderStore, door: Path, door_hash: str) -> None:
    """Another `--out` would not help."""
    store.path_of(door_hash).mkdir(parents=True)
    with pytest.raises(DiskUnusable) as caught:
        store.fetch(door_hash, door)
    assert caught.value.message.startswith(str(store.path_of(door_hash)))
    long = FolderStore(Path("x" * 300), namespace="live")
    with pytest.raises(DiskUnusable) as caught:
        long.put(door, door_hash)
    assert "with --store" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("platform", "environ", "root"),
    [
        ("linux", {}, "/home/ada/.cache/kling-batch/store"),
        ("linux", {"XDG_CACHE_HOME": "/var/cache/ada"}, "/var/cache/ada/kling-batch/store"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ada/.cache/kling-batch/store"),
        ("linux", {"XDG_CACHE_HOME": ""}, "/home/ada/.cache/kling-batch/store"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "/home/ada/Library/Caches/kling-batch/store"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/kling-batch/store"),
        ("win32", {}, "/home/ada/AppData/Local/kling-batch/store"),
    ],
)
def test_the_default_store_is_the_users_cache_folder(platform: str, environ: dict[str, str], root: str) -> None:
    """Each platform has its own place; a relative XDG path is to be ignored, says its specification."""
    assert default_store_root(environ, platform=platform, home=Path("/home/ada")) == Path(root)
