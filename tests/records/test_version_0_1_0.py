"""A finished set of version 0.1.0, as its sandbox left it: the lock as it is, the journal as the text of its tables."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_batch.manifest import load
from kling_batch.records.attempts import Stage
from kling_batch.records.lock import read_lock, write_lock
from kling_batch.records.snapshot import Snapshot, read_shapes, read_snapshot
from kling_batch.records.state import Presence, TakeState, read_states

OLD = Path(__file__).parent / "version_0_1_0"
LOCK = OLD / "tavern.yaml.lock"


@pytest.fixture
def journal(file: Path) -> Path:
    """Put the old journal where it belongs."""
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((OLD / "journal.sql").read_text(encoding="utf-8"))
    return file


def states(out: Path, snapshot: Snapshot) -> list[TakeState]:
    return read_states(load(OLD / "tavern.yaml").takes, snapshot, read_lock(LOCK, project="tavern"), out)


def test_its_takes_are_finished_by_lock_and_journal(journal: Path, out: Path) -> None:
    """Nothing is paid for again; what is not on the disk is missing, in every format."""
    found = states(out, read_snapshot(out))
    assert [(state.attempt and state.attempt.stage, state.finished is not None) for state in found] == [
        (Stage.DELIVERED, True)
    ] * 3
    assert [dict(state.presence) for state in found] == [
        {"wav": Presence.MISSING},
        {"wav": Presence.MISSING},
        {"wav": Presence.MISSING, "mp3": Presence.MISSING},
    ]
    assert journal.is_file()


def test_its_takes_are_finished_by_the_lock_alone(out: Path) -> None:
    """On a machine that has no journal."""
    assert all(state.finished is not None for state in states(out, Snapshot()))


def test_its_lock_is_written_as_it_was(tmp_path: Path) -> None:
    """Not a byte changes in the takes that a team has committed, and that program reads the lines between them."""
    (tmp_path / "lock").write_text("{}", encoding="utf-8")
    write_lock(tmp_path / "lock", read_lock(LOCK, project="tavern"))
    before, after = (path.read_text(encoding="utf-8").splitlines() for path in (LOCK, tmp_path / "lock"))
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        assert new == old or new.startswith('"comment": "') or re.fullmatch(r'"(end(?: of .*)?)",', new)


@pytest.mark.usefixtures("journal")
def test_a_run_goes_on_in_its_journal(open_journal: Any, attempt: Any, out: Path) -> None:
    """Whoever only reads sees what the next run works with, and all of it stays."""
    before = read_snapshot(out)
    assert (before.service, before.last_run and before.last_run.exit_status) == ("sandbox in the process", 0)
    assert before.last_run is not None
    assert [point.limit for point in before.last_run.limits] == [4, 5]
    assert sum(row.counted for row in before.attempts.values()) == Decimal("0.75")
    assert len(read_shapes(out)) == 3
    assert before.account == before.service
    journal = open_journal()
    assert journal.start_run(1.0) == before.last_run.id + 1
    asyncio.run(journal.save(attempt()))
    after = read_snapshot(out)
    assert after.attempts == {**before.attempts, "kb-1": attempt()}
    assert (after.files, len(read_shapes(out))) == (before.files, 3)
