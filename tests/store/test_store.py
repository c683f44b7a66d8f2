"""A store gives back the very bytes that were put, or nothing. One suite for a folder and for object storage.

The object storage is a real S3 endpoint in another process.
"""

from __future__ import annotations

import multiprocessing
import stat
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kling_batch.errors import DiskUnusable
from kling_batch.records.store import Store, StoreEntry, disused, key_of
from kling_batch.records.store_at import store_at

LATER = 9e9


@pytest.fixture
def store(place: Any) -> Store:
    """A new, empty store. `place` is where it is: it looks at the store from behind."""
    return store_at(place.location, namespace="live")


def listed(store: Store) -> list[tuple[str, int]]:
    return sorted((entry.sha256, entry.bytes) for entry in store.entries())


def test_what_was_put_comes_back(store: Store, door: Path, door_hash: str, tmp_path: Path) -> None:
    """The bytes are the same, and the copy is as writable as any new file."""
    assert not store.has(door_hash)
    store.put(door, door_hash)
    assert store.has(door_hash)
    assert store.fetch(door_hash, tmp_path / "new" / "back.wav")
    assert (tmp_path / "new" / "back.wav").read_bytes() == door.read_bytes()
    assert (tmp_path / "new" / "back.wav").stat().st_mode & stat.S_IWUSR


def test_what_was_not_put_is_not_there(store: Store, door_hash: str, tmp_path: Path) -> None:
    """An empty store is no error, and leaves no file behind."""
    assert not store.has(door_hash)
    assert not store.fetch(door_hash, tmp_path / "back.wav")
    assert not (tmp_path / "back.wav").exists()
    assert listed(store) == []
    assert store.sweep(LATER) == 0


def test_a_fetched_file_replaces_what_stood_there(store: Store, door: Path, door_hash: str, tmp_path: Path) -> None:
    """Half a file of an earlier try is no hindrance."""
    store.put(door, door_hash)
    (tmp_path / "back.wav").write_bytes(b"half" * 10_000)
    assert store.fetch(door_hash, tmp_path / "back.wav")
    assert (tmp_path / "back.wav").read_bytes() == door.read_bytes()


def test_an_edit_of_the_file_does_not_reach_the_store(store: Store, door: Path, door_hash: str) -> None:
    """Files are copied in and out: no link ties the store to a file that people edit."""
    store.put(door, door_hash)
    with door.open("r+b") as file:
        file.write(b"edited")
    assert store.fetch(door_hash, door)
    with door.open("r+b") as file:
        file.write(b"edited")
    assert store.fetch(door_hash, door)
    assert door.read_bytes() == b"creak" * 1000


def test_a_damaged_entry_is_set_aside(store: Store, place: Any, door: Path, door_hash: str, tmp_path: Path) -> None:
    """Wrong bytes never come out; the entry counts as absent from then on, and can be put anew."""
    store.put(door, door_hash)
    place.write({f"live/{key_of(door_hash)}": b"crack" * 1000})
    assert not store.fetch(door_hash, tmp_path / "back.wav")
    assert not (tmp_path / "back.wav").exists()
    assert not store.has(door_hash)
    assert place.read(f"live/damaged/{door_hash}") == b"crack" * 1000
    store.put(door, door_hash)
    assert store.fetch(door_hash, tmp_path / "back.wav")


def test_a_torn_entry_is_put_anew(store: Store, place: Any, door: Path, door_hash: str, tmp_path: Path) -> None:
    """An entry of another size than the file is not taken for it."""
    store.put(door, door_hash)
    place.write({f"live/{key_of(door_hash)}": b""})
    store.put(door, door_hash)
    assert store.fetch(door_hash, tmp_path / "back.wav")


def test_putting_twice_changes_nothing(store: Store, door: Path, door_hash: str) -> None:
    """There is one entry, which is as old as the first."""
    store.put(door, door_hash)
    before = list(store.entries())
    store.put(door, door_hash)
    assert list(store.entries()) == before
    assert listed(store) == [(door_hash, 5000)]


def test_an_entry_tells_when_it_came(store: Store, door: Path, door_hash: str) -> None:
    """To the second; the file's own age does not count."""
    before = time.time()
    store.put(door, door_hash)
    (entry,) = store.entries()
    assert before - 1 <= entry.put_at <= time.time()


def test_the_sandboxs_files_are_kept_apart(place: Any, door: Path, door_hash: str) -> None:
    """What the sandbox made is not there for a real run, and is not listed for it."""
    store_at(place.location, namespace="sandbox").put(door, door_hash)
    assert not store_at(place.location, namespace="live").has(door_hash)
    assert listed(store_at(place.location, namespace="live")) == []


def test_every_kind_of_store_uses_the_same_names(store: Store, place: Any, door: Path, door_hash: str) -> None:
    """So that a folder can be copied to a bucket, and back, by any tool."""
    store.put(door, door_hash)
    assert place.read(f"live/sha256/{door_hash[:2]}/{door_hash}") == door.read_bytes()


@pytest.mark.parametrize("sha256", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", "a" * 63 + "/"])
def test_only_a_hash_becomes_a_name(store: Store, sha256: str, door: Path) -> None:
    """A lock that somebody edited leads to no other file."""
    for call in (
        lambda: store.fetch(sha256, door),
        lambda: store.has(sha256),
        lambda: store.put(door, sha256),
        lambda: store.remove([sha256]),
    ):
        with pytest.raises(ValueError, match="is no SHA-256"):
            call()


def test_what_is_no_entry_is_left_alone(store: Store, place: Any, door: Path, door_hash: str) -> None:
    """Files that other programs leave in a store are neither listed nor swept."""
    strangers = ["sha256/ab/.DS_Store", f"sha256/{'ab' if door_hash[:2] != 'ab' else 'cd'}/{door_hash}", "README"]
    place.write({f"live/{name}": b"stranger" for name in strangers})
    store.put(door, door_hash)
    assert listed(store) == [(door_hash, 5000)]
    assert store.sweep(LATER) == 0
    assert [place.read(f"live/{name}") for name in strangers] == [b"stranger"] * 3


def test_what_is_removed_is_gone(store: Store, door: Path, door_hash: str, make: Any) -> None:
    """The others stay; what is gone already is no error."""
    store.put(door, door_hash)
    other, other_hash = make("creak", 2)
    store.put(other, other_hash)
    store.remove([door_hash, "0" * 64])
    assert listed(store) == [(other_hash, other.stat().st_size)]
    store.remove([])
    store.remove([door_hash])
    assert listed(store) == [(other_hash, other.stat().st_size)]


def test_more_entries_than_one_page_holds(store: Store, place: Any) -> None:
    """A listing goes on to the last page, and so does a removal."""
    names = [f"{number:064x}" for number in range(1005)]
    place.write({f"live/{key_of(name)}": b"x" for name in names})
    assert [name for name, _ in listed(store)] == names
    store.remove(names[1:])
    assert listed(store) == [(names[0], 1)]


def test_sweeping_removes_what_was_set_aside(store: Store, place: Any, door_hash: str, tmp_path: Path) -> None:
    """Damaged files go when they are old enough; entries stay."""
    place.write({f"live/{key_of(door_hash)}": b"crack", f"live/{key_of('0' * 64)}": b"not looked at yet"})
    assert not store.fetch(door_hash, tmp_path / "back.wav")
    assert store.sweep(time.time() - 3600) == 0
    assert store.sweep(LATER) == 1
    assert store.sweep(LATER) == 0
    assert [name for name, _ in listed(store)] == ["0" * 64]


def test_several_processes_put_the_same_file(store: Store, door: Path, door_hash: str, tmp_path: Path) -> None:
    """Whoever is first or last, there is one whole entry and no leavings."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        done = [pool.submit(store.put, door, door_hash) for _ in range(20)]
        assert [future.result() for future in done] == [None] * 20
    assert listed(store) == [(door_hash, 5000)]
    assert store.fetch(door_hash, tmp_path / "back.wav")
    assert store.sweep(LATER) == 0


def test_a_crash_while_putting_leaves_no_half_entry(
    place: Any, door: Path, door_hash: str, crash: Any, crash_at: Any
) -> None:
    """An entry appears whole or not at all."""
    for effect in place.effects:
        store = place.probed(crash_at(effect))
        with pytest.raises(crash):
            store.put(door, door_hash)
        assert not store.has(door_hash)
        assert listed(store) == []


def test_a_file_that_is_not_there_cannot_be_put(store: Store, door_hash: str, tmp_path: Path) -> None:
    """The fault is told as one of the disk, with the file's name, and nothing is stored."""
    with pytest.raises(DiskUnusable, match=r"gone\.wav"):
        store.put(tmp_path / "gone.wav", door_hash)
    assert listed(store) == []


def test_a_place_that_cannot_be_written_is_told(store: Store, door: Path, door_hash: str, tmp_path: Path) -> None:
    """The message is about the file that should be written, and not about the store."""
    store.put(door, door_hash)
    (tmp_path / "out").write_bytes(b"a file, not a folder")
    with pytest.raises(DiskUnusable, match=r"back\.wav"):
        store.fetch(door_hash, tmp_path / "out" / "back.wav")
    assert store.has(door_hash)


def test_a_store_says_where_it_is(store: Store, place: Any) -> None:
    """In words that lead back to it."""
    assert store.location == place.location
    assert repr(store_at(store.location, namespace="live")) == repr(store)
    assert f"{place.location}/live" in repr(store)


def test_only_what_no_lock_names_and_is_old_is_disused() -> None:
    """A name keeps an entry however old it is, and youth keeps one that nobody names."""
    came = {"a": 1.0, "b": 1.0, "c": 2.0, "d": 3.0}
    entries = [StoreEntry(sha256=name, bytes=1, put_at=at) for name, at in came.items()]
    gone = disused(entries, named=frozenset("a"), before=2.0)
    assert [entry.sha256 for entry in gone] == ["b", "c"]
