"""The store gives back the very bytes that were put, or nothing."""

from __future__ import annotations

import multiprocessing
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kling_batch.errors import DiskUnusable
from kling_batch.files.store import FolderStore, StoreEntry, default_store_root


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "cache", namespace="live")


@pytest.fixture
def door(tmp_path: Path) -> Path:
    path = tmp_path / "door.wav"
    path.write_bytes(b"creak" * 1000)
    return path


@pytest.fixture
def door_hash(door: Path, sha256: Any) -> str:
    return str(sha256(door.read_bytes()))


def test_what_was_put_comes_back(store: FolderStore, door: Path, door_hash: str, tmp_path: Path) -> None:
    """The bytes are the same, and the copy is as writable as any new file."""
    assert not store.has(door_hash)
    store.put(door, door_hash)
    assert store.has(door_hash)
    assert store.fetch(door_hash, tmp_path / "new" / "back.wav")
    assert (tmp_path / "new" / "back.wav").read_bytes() == door.read_bytes()
    assert (tmp_path / "new" / "back.wav").stat().st_mode & stat.S_IWUSR


def test_what_was_not_put_is_not_there(store: FolderStore, door_hash: str, tmp_path: Path) -> None:
    """An empty store is no error, and leaves no file behind."""
    assert not store.fetch(door_hash, tmp_path / "back.wav")
    assert not (tmp_path / "back.wav").exists()
    assert list(store.entries()) == []


def test_an_edit_of_the_file_does_not_reach_the_store(store: FolderStore, door: Path, door_hash: str) -> None:
    """Files are copied in and out: no link ties the store to a file that people edit."""
    store.put(door, door_hash)
    with door.open("r+b") as file:
        file.write(b"edited")
    assert store.fetch(door_hash, door)
    with door.open("r+b") as file:
        file.write(b"edited")
    assert store.fetch(door_hash, door)
    assert door.read_bytes() == b"creak" * 1000


def test_a_damaged_entry_is_set_aside(
    store: FolderStore, door: Path, door_hash: str, tmp_path: Path, sha256: Any
) -> None:
    """Wrong bytes never come out; the entry counts as absent from then on, and can be put anew."""
    store.put(door, door_hash)
    store.path_of(door_hash).chmod(0o644)
    store.path_of(door_hash).write_bytes(b"crack" * 1000)
    assert not store.fetch(door_hash, tmp_path / "back.wav")
    assert not (tmp_path / "back.wav").exists()
    assert not store.has(door_hash)
    store.put(door, door_hash)
    assert store.fetch(door_hash, tmp_path / "back.wav")
    assert sha256((tmp_path / "back.wav").read_bytes()) == door_hash


def test_a_torn_entry_is_put_anew(store: FolderStore, door: Path, door_hash: str, tmp_path: Path) -> None:
    """An entry of another size than the file is not taken for it."""
    store.put(door, door_hash)
    store.path_of(door_hash).chmod(0o644)
    store.path_of(door_hash).write_bytes(b"")
    store.put(door, door_hash)
    assert store.fetch(door_hash, tmp_path / "back.wav")


def test_entries_are_read_only(store: FolderStore, door: Path, door_hash: str) -> None:
    """Nobody edits a file of the store by accident."""
    store.put(door, door_hash)
    assert stat.S_IMODE(store.path_of(door_hash).stat().st_mode) == 0o444


def test_putting_twice_changes_nothing(store: FolderStore, door: Path, door_hash: str) -> None:
    """The first copy stays, inode and all."""
    store.put(door, door_hash)
    before = store.path_of(door_hash).stat()
    store.put(door, door_hash)
    assert store.path_of(door_hash).stat() == before
    assert list(store.entries()) == [StoreEntry(sha256=door_hash, bytes=5000)]


def test_the_sandboxs_files_are_kept_apart(tmp_path: Path, door: Path, door_hash: str) -> None:
    """What the sandbox made is not there for a real run."""
    FolderStore(tmp_path / "cache", namespace="sandbox").put(door, door_hash)
    assert not FolderStore(tmp_path / "cache", namespace="live").has(door_hash)


@pytest.mark.parametrize("sha256", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", "a" * 63 + "/"])
def test_only_a_hash_becomes_a_path(store: FolderStore, sha256: str, tmp_path: Path) -> None:
    """A lock that somebody edited leads to no other file."""
    with pytest.raises(ValueError, match="is no SHA-256"):
        store.fetch(sha256, tmp_path / "x")


def test_several_processes_put_the_same_file(store: FolderStore, door: Path, door_hash: str, tmp_path: Path) -> None:
    """Whoever is first or last, there is one whole entry and no leavings."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        done = [pool.submit(store.put, door, door_hash) for _ in range(20)]
        assert [future.result() for future in done] == [None] * 20
    assert list(store.entries()) == [StoreEntry(sha256=door_hash, bytes=5000)]
    assert store.fetch(door_hash, tmp_path / "back.wav")
    assert not list((tmp_path / "cache" / "live" / "coming").iterdir())


def test_a_crash_while_putting_leaves_no_half_entry(
    tmp_path: Path, door: Path, door_hash: str, crash_at: Any, crash: Any
) -> None:
    """An entry appears whole or not at all."""
    for at in range(2):
        store = FolderStore(tmp_path / "cache", namespace="live", probe=crash_at(at))
        with pytest.raises(crash):
            store.put(door, door_hash)
        assert not store.has(door_hash)
        assert list(store.entries()) == []


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path, door: Path, door_hash: str) -> None:
    """The caller learns it as a fault of the disk, and the file itself is untouched."""
    (tmp_path / "cache").write_bytes(b"a file, not a folder")
    store = FolderStore(tmp_path / "cache", namespace="live")
    with pytest.raises(DiskUnusable, match="a file stands where a folder is needed"):
        store.put(door, door_hash)
    assert door.read_bytes() == b"creak" * 1000


def test_a_store_shows_where_it_is(tmp_path: Path, store: FolderStore) -> None:
    """Messages and tests name the store by its folder."""
    assert repr(store) == f"FolderStore({str(tmp_path / 'cache' / 'live')!r})"


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
