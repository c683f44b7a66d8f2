"""`kling-batch lock merge`, by itself and as git calls it: real repositories, real merges."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_batch.cli import main
from kling_batch.cli.commands.init import MANIFEST, MERGE_DRIVER
from kling_batch.errors import LockInvalid
from kling_batch.model import FileRecord, TakeKey
from kling_batch.records.lock import Lock, LockEntry, read_lock, write_lock

LOCK = f"{MANIFEST}.lock"
FIRST = TakeKey("door", 1)


def entry(name: str, *, sound: str = "a", **facts: Any) -> LockEntry:
    """Make the entry of `job:take`; another `sound` has another task and other bytes."""
    job_id, _, take = name.partition(":")
    hashed = sound.encode().hex().ljust(64, "0")
    plain: dict[str, Any] = {
        "edition": 1,
        "attempt": 1,
        "kind": "text-to-audio",
        "external_id": f"kb-{job_id}-{take}-{sound}",
        "task_id": f"9012345678{sound}",
        "units": Decimal("0.25"),
        "request": {"prompt": name, "duration": 5.0},
        "files": (FileRecord(path=f"{job_id}-{take}.wav", format="wav", sha256=hashed, bytes=9, duration_s=5.0),),
    }
    return LockEntry(job_id=job_id, take=int(take), **(plain | facts))


def lock_of(*entries: LockEntry, retired: tuple[LockEntry, ...] = ()) -> Lock:
    """Make a lock."""
    return Lock(
        project="tavern",
        entries={one.key: one for one in entries},
        retired={one.external_id: one for one in retired},
    )


def kept_side(text: str, *, ours: bool) -> str:
    """Keep one side of every conflict, as a person does."""
    lines, keep = [], True
    for line in text.splitlines(keepends=True):
        if line.startswith(("<<<<<<<", "=======", ">>>>>>>")):
            keep = line.startswith(">") or ours is line.startswith("<")
        elif keep:
            lines.append(line)
    return "".join(lines)


@pytest.fixture
def merge(tmp_path: Path) -> Callable[..., tuple[int, Path]]:
    """Merge three locks by the command; gives its exit status, and the file that it wrote."""

    def run(base: Lock | None, ours: Lock, theirs: Lock) -> tuple[int, Path]:
        paths = [tmp_path / name for name in ("base", "ours", "theirs")]
        paths[0].touch()
        for path, lock in zip(paths, (base, ours, theirs), strict=True):
            if lock is not None:
                write_lock(path, lock)
        return main(["lock", "merge", *map(str, paths)]), paths[1]

    return run


DOOR = entry("door:1")
MP3 = FileRecord(path="door-1.mp3", format="mp3", sha256="cd" * 32, bytes=5, duration_s=5.0)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        (None, lock_of(DOOR), lock_of(entry("rain:1")), lock_of(DOOR, entry("rain:1"))),
        (lock_of(DOOR), lock_of(DOOR), lock_of(entry("door:1", sound="b")), lock_of(entry("door:1", sound="b"))),
        (lock_of(DOOR), lock_of(replace(DOOR, picked=True)), lock_of(DOOR), lock_of(replace(DOOR, picked=True))),
        (lock_of(replace(DOOR, picked=True)), lock_of(replace(DOOR, picked=True)), lock_of(DOOR), lock_of(DOOR)),
        (
            lock_of(DOOR),
            lock_of(replace(DOOR, picked=True)),
            lock_of(replace(DOOR, rerolls=1, files=(*DOOR.files, MP3))),
            lock_of(replace(DOOR, picked=True, rerolls=1, files=(*DOOR.files, MP3))),
        ),
        (
            lock_of(replace(DOOR, note="thin")),
            lock_of(replace(DOOR, note="thin", picked=True)),
            lock_of(replace(DOOR, note="")),
            lock_of(replace(DOOR, picked=True)),
        ),
        (
            lock_of(DOOR),
            lock_of(replace(DOOR, note="thin")),
            lock_of(replace(DOOR, note="loud")),
            lock_of(replace(DOOR, note="loud / thin")),
        ),
        (lock_of(DOOR), lock_of(retired=(DOOR,)), lock_of(DOOR), lock_of(retired=(DOOR,))),
        (
            lock_of(DOOR),
            lock_of(retired=(DOOR,)),
            lock_of(entry("door:1", sound="b"), retired=(DOOR,)),
            lock_of(entry("door:1", sound="b"), retired=(DOOR,)),
        ),
        (lock_of(retired=(DOOR,)), lock_of(DOOR), lock_of(retired=(DOOR,)), lock_of(DOOR)),
        (lock_of(retired=(DOOR,)), lock_of(), lock_of(retired=(DOOR,)), lock_of()),
    ],
    ids=["both add", "one rolls", "one picks", "one unpicks", "of one sound", "one takes a note back",
         "both note", "one drops", "dropped and rolled",
         "asked for again", "forgotten"],
)  # fmt: skip
def test_what_one_branch_changed_is_so(merge: Any, base: Lock | None, ours: Lock, theirs: Lock, merged: Lock) -> None:
    """Take by take, whoever calls which branch ours; and no sound is lost."""
    for one, other in ((ours, theirs), (theirs, ours)):
        status, path = merge(base, one, other)
        assert status == 0
        assert read_lock(path, project="tavern") == merged


@pytest.mark.parametrize("ours", [True, False])
def test_a_take_that_both_made_anew_is_named_and_left_to_a_person(
    merge: Any, capsys: pytest.CaptureFixture[str], ours: bool
) -> None:
    """Its line tells to keep one side, and whichever is kept, the other sound is retired."""
    mine, other, rain = entry("door:1", sound="b"), entry("door:1", sound="c"), entry("rain:1")
    status, path = merge(lock_of(DOOR), lock_of(mine, retired=(DOOR,)), lock_of(other, rain, retired=(DOOR,)))
    assert status == 1
    assert "door:1: both branches made this take anew." in capsys.readouterr().err
    with pytest.raises(LockInvalid, match="conflict") as caught:
        read_lock(path, project="tavern")
    text = path.read_text()
    assert text.splitlines()[caught.value.line - 1] == "<<<<<<< ours: keep one of the two sides"
    assert "delete one side" in str(caught.value.hint)
    path.write_text(kept_side(text, ours=ours))
    kept, gone = (mine, other) if ours else (other, mine)
    assert read_lock(path, project="tavern") == lock_of(kept, rain, retired=(DOOR, gone))


@pytest.mark.parametrize(("broken", "words"), [("ours", "ours:1"), ("theirs", "theirs:1"), ("base", "base:1")])
def test_what_is_no_lock_is_named_and_nothing_is_written(
    merge: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str, words: str
) -> None:
    """Exit status 2, which git takes for a conflict."""
    _, path = merge(None, lock_of(DOOR), lock_of(DOOR))
    (tmp_path / broken).write_text("no lock")
    before = path.read_bytes()
    assert main(["lock", "merge", *(str(tmp_path / name) for name in ("base", "ours", "theirs"))]) == 2
    assert words in capsys.readouterr().err
    assert path.read_bytes() == before


class Repository:
    """A repository that `init` began, and what two branches make of its lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / LOCK
        self.git("init", "--quiet", "--initial-branch", "main")
        assert main(["init", str(folder)]) == 0

    def git(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run git, untouched by the configuration of this machine, where the program is installed."""
        who = {f"GIT_{role}_{what}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PATH": path, "HOME": str(self.folder)}
        return subprocess.run(
            ["git", *words], cwd=self.folder, env=who | quiet, check=False, capture_output=True, text=True
        )

    def commit(self, lock: Lock) -> None:
        """Commit a lock."""
        write_lock(self.path, lock)
        assert self.git("add", ".").returncode == 0
        assert self.git("commit", "--quiet", "--message", "sounds").returncode == 0

    def merge(self, base: Lock, ours: Lock, theirs: Lock) -> subprocess.CompletedProcess[str]:
        """Commit a base and two branches of it, and merge them."""
        self.commit(base)
        self.git("checkout", "--quiet", "-b", "theirs")
        self.commit(theirs)
        self.git("checkout", "--quiet", "main")
        self.commit(ours)
        return self.git("merge", "--no-edit", "theirs")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


SIDE_BY_SIDE = (
    lock_of(DOOR),
    lock_of(replace(DOOR, picked=True), entry("drum:1")),
    lock_of(entry("door:1"), entry("door:2"), entry("drip:1")),
)
"""A base and two branches whose changes touch, so that git alone finds a conflict."""


def test_git_merges_by_the_driver_that_init_tells_of(repository: Repository) -> None:
    """Branches that change neighbouring takes and add jobs in one place merge without a conflict."""
    assert repository.git(*shlex.split(MERGE_DRIVER)[1:]).returncode == 0
    assert repository.merge(*SIDE_BY_SIDE).returncode == 0
    found = read_lock(repository.path, project="tavern")
    assert sorted(map(str, found.entries)) == ["door:1", "door:2", "drip:1", "drum:1"]
    assert found.entries[FIRST].picked


def test_without_the_driver_git_merges_lines(repository: Repository) -> None:
    """What `init` writes harms nobody who has not configured it: it is a conflict as ever."""
    assert repository.merge(*SIDE_BY_SIDE).returncode == 1
    with pytest.raises(LockInvalid, match="conflict"):
        read_lock(repository.path, project="tavern")


def test_git_names_a_take_that_both_made_anew(repository: Repository) -> None:
    """The merge stops, and says which."""
    repository.git(*shlex.split(MERGE_DRIVER)[1:])
    done = repository.merge(lock_of(DOOR), lock_of(entry("door:1", sound="b")), lock_of(entry("door:1", sound="c")))
    assert done.returncode == 1
    assert "door:1: both branches made this take anew" in done.stderr
    assert f"Merge conflict in {LOCK}" in done.stdout
