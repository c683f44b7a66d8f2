"""Locks merge in git as they should: real repositories, real merges."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_batch.errors import LockInvalid
from kling_batch.model import FileRecord, TakeKey
from kling_batch.records.lock import Lock, LockEntry, read_lock, write_lock


def entry(name: str, units: str = "0.25") -> LockEntry:
    """Make the entry of `job:take`."""
    job_id, _, take = name.partition(":")
    return LockEntry(
        job_id=job_id,
        take=int(take or 1),
        edition=1,
        attempt=1,
        kind="text-to-audio",
        external_id=f"kb-{name}",
        task_id="901234567890123456",
        units=Decimal(units),
        request={"prompt": name, "duration": 5.0},
        files=(FileRecord(path=f"{job_id}-{take or 1}.wav", format="wav", sha256="ab" * 32, bytes=9, duration_s=5.0),),
    )


class Repository:
    """A repository with one lock, and what two branches make of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "tavern.yaml.lock"
        self.git("init", "--quiet", "--initial-branch", "main")

    def git(self, *words: str) -> int:
        """Run git, untouched by the configuration of this machine."""
        who = {f"GIT_{role}_{what}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
        return subprocess.run(
            ["git", *words], cwd=self.folder, env=who | quiet, check=False, capture_output=True
        ).returncode

    def commit(self, text: str) -> None:
        """Commit a lock of takes: `door:1 rain:2=0.50`, where the figure is what it cost."""
        found = [entry(name, units or "0.25") for name, _, units in (take.partition("=") for take in text.split())]
        write_lock(self.path, Lock(project="tavern", entries={one.key: one for one in found}))
        assert self.git("add", ".") == 0
        assert self.git("commit", "--quiet", "--message", "sounds") == 0

    def takes(self) -> set[str]:
        """Read what the lock holds."""
        return {str(key) for key in read_lock(self.path, project="tavern").entries}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


@pytest.fixture
def merge(repository: Repository) -> Callable[..., bool]:
    """Commit a base, ours and theirs; give whether git merges them by itself."""

    def run(base: str, ours: str, theirs: str) -> bool:
        repository.commit(base)
        repository.git("checkout", "--quiet", "-b", "theirs")
        repository.commit(theirs)
        repository.git("checkout", "--quiet", "main")
        repository.commit(ours)
        return repository.git("merge", "--quiet", "--no-edit", "theirs") == 0

    return run


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [
        ("door:1", "bell:1 door:1", "door:1 rain:1"),
        ("door:1 rain:1", "door:1 fire:1 rain:1", "door:1 rain:1 wind:1"),
        ("bell:1 door:1 rain:1", "bell:1 cart:1 cart:2 door:1 rain:1", "bell:1 door:1 fire:1 fire:2 rain:1"),
        ("door:1", "door:1 door:2", "door:1 rain:1"),
        ("door:1 rain:1", "door:1 door:2 rain:1", "door:1 fire:1 rain:1"),
        ("door:1 rain:1", "rain:1", "door:1 rain:1 wind:1"),
        ("door:1 rain:1", "door:1 fire:1 rain:1", "door:1 fire:1 rain:1"),
        ("door:1", "door:1 rain:1 rain:2", "door:1 wind:1"),
        ("door:1", "bell:1 door:1", "axe:1 door:1"),
        ("", "Axe:1", "0-bell:1"),
    ],
)
def test_branches_that_add_different_jobs_merge(
    merge: Any, repository: Repository, base: str, ours: str, theirs: str
) -> None:
    """What either branch added, and what either took away, is so in the merged lock."""
    assert merge(base, ours, theirs)
    gone = set(base.split()) - (set(ours.split()) & set(theirs.split()))
    assert repository.takes() == (set(ours.split()) | set(theirs.split())) - gone


@pytest.mark.parametrize("new", ["dog:1", "doors:1", "fire:1"])
def test_a_changed_take_merges_with_a_new_job_behind_it(merge: Any, repository: Repository, new: str) -> None:
    """The line that ends a job keeps its changes apart from its neighbours'."""
    assert merge("dog:2 door:1 rain:1", "dog:2 door:1=0.50 rain:1", f"dog:2 door:1 rain:1 {new}")
    lock = read_lock(repository.path, project="tavern")
    assert lock.entries[TakeKey("door", 1)].units == Decimal("0.50")
    assert new in repository.takes()


def test_jobs_added_in_the_same_place_conflict_and_are_mended_as_the_hint_says(
    merge: Any, repository: Repository
) -> None:
    """Git cannot order two additions in one place; keeping the lines of both sides is the repair."""
    assert not merge("rain:1", "rain:1 step-oak:1 step-oak:2", "rain:1 step-stone:1")
    with pytest.raises(LockInvalid, match="conflict") as caught:
        repository.takes()
    lines = repository.path.read_text().splitlines()
    assert lines[caught.value.line - 1].startswith("<<<<<<<")
    kept = [line for line in lines if not line.startswith(("<<<<<<<", "=======", ">>>>>>>"))]
    repository.path.write_text("\n".join(kept))
    assert repository.takes() == {"rain:1", "step-oak:1", "step-oak:2", "step-stone:1"}


def test_the_union_driver_merges_jobs_added_in_the_same_place(merge: Any, repository: Repository) -> None:
    """One line in .gitattributes has git do what the hint says."""
    (repository.folder / ".gitattributes").write_text("*.lock merge=union\n")
    assert merge("rain:1", "rain:1 step-oak:1 step-oak:2", "rain:1 step-stone:1")
    assert repository.takes() == {"rain:1", "step-oak:1", "step-oak:2", "step-stone:1"}


@pytest.mark.parametrize("attributes", ["", "*.lock merge=union\n"])
def test_one_take_made_by_both_is_refused(merge: Any, repository: Repository, attributes: str) -> None:
    """Which of two paid sounds counts is for a person to say, whatever the merge did."""
    (repository.folder / ".gitattributes").write_text(attributes)
    assert merge("rain:1", "rain:1=0.50", "rain:1=0.75") is bool(attributes)
    with pytest.raises(LockInvalid, match="second time" if attributes else "conflict"):
        repository.takes()
