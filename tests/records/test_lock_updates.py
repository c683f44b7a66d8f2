"""Several who write to one lock at once."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kling_batch.errors import DiskUnusable, LockInvalid, UsageError
from kling_batch.model import TakeKey
from kling_batch.records.lock import Lock, LockEntry, read_lock, update_lock
from kling_batch.records.run_lock import alone_with

ENTRIES = 80
WRITER = """
import sys
from decimal import Decimal
from pathlib import Path
from kling_batch.records.lock import LockEntry, update_lock
from dataclasses import replace
path, job_id, entries = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def put(now, take):
    entry = LockEntry(
        job_id=job_id, take=take, edition=1, attempt=1, kind="text-to-audio", external_id=f"{job_id}-{take}",
        task_id="9", units=Decimal(1), request={}, files=(),
    )
    return replace(now, entries={**now.entries, entry.key: entry})
print("ready", flush=True)
sys.stdin.readline()
for take in range(1, entries + 1):
    update_lock(path, "tavern", lambda now: put(now, take))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "repository" / "tavern.yaml.lock"


@pytest.fixture
def put(path: Path, entry: Callable[..., LockEntry]) -> Callable[..., Lock]:
    """Put a take into the lock."""
    path.parent.mkdir()

    def update(take: int, **options: Any) -> Lock:
        new = entry(take=take)
        return update_lock(path, "tavern", lambda now: replace(now, entries={**now.entries, new.key: new}), **options)

    return update


def test_processes_that_write_at_once_lose_nothing_of_each_other(path: Path) -> None:
    """Each reads what the other wrote, and nobody writes in between."""
    path.parent.mkdir()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name, str(ENTRIES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("door", "rain")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n")
    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(read_lock(path, project="tavern").entries) == 2 * ENTRIES
    assert list(path.parent.iterdir()) == [path]


def test_threads_that_write_at_once_lose_nothing_of_each_other(path: Path, put: Any) -> None:
    """One process may write to a lock from several threads."""
    threads = [threading.Thread(target=put, args=(take,)) for take in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_lock(path, project="tavern").entries) == 8


def test_an_update_gives_what_the_file_says(path: Path, put: Any) -> None:
    """The takes of others and ours."""
    put(1)
    updated = put(2)
    assert updated == read_lock(path, project="tavern")
    assert updated.entries.keys() == {TakeKey("door", 1), TakeKey("door", 2)}


def test_a_crash_at_any_effect_of_an_update_leaves_a_whole_lock(
    path: Path, put: Any, crash_at: Any, crash: Any
) -> None:
    """The next update goes on from there, and waits for nobody who is gone."""
    put(1, probe=(every := crash_at()))
    for at in range(len(every.effects)):
        with pytest.raises(crash):
            put(2 + at, probe=crash_at(at))
        assert len(read_lock(path, project="tavern").entries) in {1, 2}
        assert list(path.parent.iterdir()) == [path]
    assert len(put(9).entries) >= 2


def test_a_change_that_fails_changes_nothing(path: Path, put: Any) -> None:
    """What is wrong is said, and the file is as it was."""
    put(1)
    before = path.read_bytes()

    def refuse(now: Lock) -> Lock:
        raise UsageError(f"{len(now.entries)} is wrong.")

    with pytest.raises(UsageError, match="1 is wrong"):
        update_lock(path, "tavern", refuse)
    assert path.read_bytes() == before


def test_a_lock_that_cannot_be_relied_on_is_not_written_over(path: Path, put: Any) -> None:
    """A conflict in the middle of a merge is for its person to end."""
    path.write_text("<<<<<<< HEAD\n")
    with pytest.raises(LockInvalid, match="conflict"):
        put(1)
    assert path.read_text() == "<<<<<<< HEAD\n"


def test_who_waits_too_long_is_told(path: Path) -> None:
    """A program that hangs while it writes does not hang the others."""
    with (
        alone_with(path),
        pytest.raises(DiskUnusable, match=r"yaml\.lock: another program has been changing it") as caught,
        alone_with(path, patience_s=0),
    ):
        pass
    assert "Stop that program" in str(caught.value.hint)


def test_a_machine_without_a_temporary_folder_is_told_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that cannot be made there is named."""
    monkeypatch.setattr(tempfile, "tempdir", str(path / "missing"))
    with pytest.raises(DiskUnusable, match="kept from other programs") as caught, alone_with(path):
        pass
    assert str(path / "missing") in caught.value.message
    assert "right to write there" in str(caught.value.hint)
