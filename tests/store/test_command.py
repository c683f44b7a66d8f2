"""`kling-batch store`, as a person calls it, on a folder and on a bucket."""

from __future__ import annotations

import json
import os
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_batch.cli import main
from kling_batch.model import FileRecord, TakeKey
from kling_batch.records.lock import Lock, LockEntry, write_lock
from kling_batch.records.store import key_of
from kling_batch.records.store_at import store_at

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def lock(tmp_path: Path) -> Any:
    """Write a lock that names these files."""

    def write(name: str, *hashes: str, retired: bool = False) -> str:
        entries = {
            TakeKey(name, take): LockEntry(
                job_id=name, take=take, edition=1, attempt=1, kind="text-to-audio", external_id=f"kb-{take}",
                task_id=str(take), units=Decimal("0.25"), request={"prompt": "A bell"},
                files=(FileRecord(path=f"{take}.wav", format="wav", sha256=sha256, bytes=1, duration_s=3.0),),
            )
            for take, sha256 in enumerate(hashes, start=1)
        }  # fmt: skip
        gone = {entry.external_id: entry for entry in entries.values()}
        found = Lock(project=name, retired=gone) if retired else Lock(project=name, entries=entries)
        write_lock(tmp_path / f"{name}.lock", found)
        return str(tmp_path / f"{name}.lock")

    return write


@pytest.fixture
def full(place: Any) -> Any:
    """A place with the entries A, B and C of real runs, and A of the sandbox."""
    names = [f"live/{key_of(name)}" for name in (A, B, C)]
    place.write(dict.fromkeys([*names, f"sandbox/{key_of(A)}"], b"123"))
    return place


def left(place: Any, namespace: Any = "live") -> set[str]:
    return {entry.sha256 for entry in store_at(place.location, namespace=namespace).entries()}


def test_path_prints_where_the_store_is(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stdout, which `--store` takes again."""
    assert main(["store", "path", "--store", place.location]) == 0
    told = capsys.readouterr()
    assert told.out == f"{place.location}\n"
    assert "real runs" in told.err
    assert "live/" in told.err
    assert main(["store", "path", "--store", place.location, "--sandbox"]) == 0
    assert "sandbox/" in capsys.readouterr().err


def test_path_prints_the_users_cache_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Where a run without `--store` keeps its copies."""
    assert main(["store", "path"]) == 0
    assert capsys.readouterr().out == f"{os.environ['XDG_CACHE_HOME']}/kling-batch/store\n"


def test_stats_counts_entries_and_bytes(full: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """For people and for programs; the sandbox's are counted apart."""
    assert main(["store", "stats", "--store", full.location]) == 0
    assert capsys.readouterr().out == f"{full.location}: 3 entries (0.0 MB)\n"
    assert main(["store", "stats", "--store", full.location, "--sandbox", "--format", "json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted == {"location": full.location, "sandbox": True, "entries": 1, "bytes": 3}


def test_a_store_that_is_not_there_yet_is_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counting makes no folder."""
    assert main(["store", "stats", "--store", str(tmp_path / "none"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 0
    assert not (tmp_path / "none").exists()


def test_gc_keeps_what_any_given_lock_names(full: Any, lock: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The locks may be of several projects."""
    assert main(["store", "gc", "--store", full.location, "--keep", lock("inn", A), "--keep", lock("sea", B)]) == 0
    assert left(full) == {A, B}
    assert left(full, "sandbox") == {A}
    told = capsys.readouterr()
    assert told.out == f"{C}  3\n"
    assert "1 entry (0.0 MB) removed, 2 kept." in told.err


def test_gc_keeps_what_a_lock_has_retired(full: Any, lock: Any) -> None:
    """A row that comes back costs nothing."""
    assert main(["store", "gc", "--store", full.location, "--keep", lock("inn", A, retired=True)]) == 0
    assert left(full) == {A}


def test_a_dry_run_removes_nothing(full: Any, lock: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It tells what a real one would."""
    keep = ["--keep", lock("inn", A), "--format", "json"]
    assert main(["store", "gc", "--store", full.location, *keep, "--dry-run"]) == 0
    would = json.loads(capsys.readouterr().out)
    assert left(full) == {A, B, C}
    assert main(["store", "gc", "--store", full.location, *keep]) == 0
    assert would == json.loads(capsys.readouterr().out) | {"dry_run": True}
    assert would["removed"] == [{"sha256": B, "bytes": 3}, {"sha256": C, "bytes": 3}]
    assert (would["entries"], would["bytes"], would["kept"]) == (2, 6, 1)


def test_gc_leaves_the_young(full: Any, lock: Any) -> None:
    """`--older-than` counts days since an entry came to the store."""
    gc = ["store", "gc", "--store", full.location, "--keep", lock("inn")]
    assert main([*gc, "--older-than", "0.5"]) == 0
    assert left(full) == {A, B, C}
    assert main(gc) == 0
    assert left(full) == set()


def test_gc_counts_days(tmp_path: Path, lock: Any) -> None:
    """An entry of two days goes with 1, and stays with 3."""
    path = tmp_path / "cache" / "live" / key_of(A)
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, (time.time() - 2 * 86400,) * 2)
    gc = ["store", "gc", "--store", str(tmp_path / "cache"), "--keep", lock("inn")]
    assert main([*gc, "--older-than", "3"]) == 0
    assert path.exists()
    assert main([*gc, "--older-than", "1"]) == 0
    assert not path.exists()


def test_gc_of_all_keeps_only_the_sandboxs(full: Any) -> None:
    """And the other way round: never both at once."""
    assert main(["store", "gc", "--store", full.location, "--all"]) == 0
    assert (left(full), left(full, "sandbox")) == (set(), {A})
    assert main(["store", "gc", "--store", full.location, "--all", "--sandbox"]) == 0
    assert left(full, "sandbox") == set()


def test_gc_sweeps_old_leavings(tmp_path: Path) -> None:
    """Half copies and damaged files go after a day; what is under way right now is left alone."""
    old, new = (tmp_path / "cache" / "live" / "coming" / name for name in ("old", "new"))
    old.parent.mkdir(parents=True)
    old.touch()
    new.touch()
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    assert main(["store", "gc", "--store", str(tmp_path / "cache"), "--all", "--dry-run"]) == 0
    assert old.exists()
    assert main(["store", "gc", "--store", str(tmp_path / "cache"), "--all"]) == 0
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize("options", [[], ["--all", "--keep", "inn.lock"]])
def test_gc_asks_what_to_keep(full: Any, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It never guesses: removing a sound that the service has forgotten could not be undone."""
    assert main(["store", "gc", "--store", full.location, *options]) == 2
    assert "--keep LOCK for every lock" in capsys.readouterr().err
    assert left(full) == {A, B, C}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "there is no such lock"),
        (lambda path: path.write_text("<<<<<<< ours\n"), ":1: a merge left a conflict here"),
        (lambda path: path.write_text(path.read_text()[:-20]), "the file ends in the middle"),
        (lambda path: path.write_text("version: 1\n"), ":1: this is no JSON"),
        (lambda path: path.write_text('{"lock_version": 1, "takes": []}'), ":1: "),
        (lambda path: path.write_text(path.read_text().replace('_version": 1', '_version": 2')), "is newer than"),
    ],
)
def test_one_lock_that_cannot_be_relied_on_stops_gc(
    full: Any, lock: Any, spoil: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is removed, for it might be what that lock names."""
    bad = lock("sea", B)
    spoil(Path(bad))
    assert main(["store", "gc", "--store", full.location, "--keep", lock("inn", A), "--keep", bad]) == 2
    told = capsys.readouterr().err
    assert told.startswith(bad)
    assert said in told
    assert "MANIFEST.lock" in told
    assert left(full) == {A, B, C}


def test_what_is_no_store_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """As wrong usage, with what a store may be."""
    assert main(["store", "stats", "--store", "ftp://sounds"]) == 2
    assert "s3://bucket/prefix" in capsys.readouterr().err
