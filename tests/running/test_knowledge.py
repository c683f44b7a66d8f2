"""What is known before a run: whether its journal sent last, prices, times, and tasks to hear the account by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kling_batch.catalog import kind
from kling_batch.model import TakeKey
from kling_batch.planning.outlook import highest_price
from kling_batch.records.account import Knowledge, Mark
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.records.journal import Journal
from kling_batch.records.lock import Lock, LockEntry
from kling_batch.running.knowledge import controls_of, is_proven, known_of

NOW = 1_790_000_000.0
SETTLE_S = 20.0
AUDIO = kind("text-to-audio")
NOTHING_KNOWN = Lock(project="p")


def row(task_id: str | None = None, **facts: Any) -> Attempt:
    """Make an attempt that this journal paid for."""
    name = f"kb-{task_id}"
    plain: dict[str, Any] = {
        "stage": Stage.DELIVERED,
        "units": Decimal("0.25"),
        "run_id": 1,
        "attempt": 1,
        "kind": AUDIO.name,
    }
    return Attempt(external_id=name, task_id=task_id, job_id="door", take=1, **(plain | facts))


def locked(task_id: str, units: str = "0.25") -> LockEntry:
    """Make a lock's entry."""
    return LockEntry(
        job_id=f"job-{task_id}", take=1, edition=1, attempt=1, kind="text-to-audio", external_id=f"kb-{task_id}",
        task_id=task_id, units=Decimal(units), request={}, files=(),
    )  # fmt: skip


def lock_of(*entries: LockEntry, retired: bool = False) -> Lock:
    """Make a lock of entries, all of which are retired or none."""
    if retired:
        return Lock(project="p", retired={entry.external_id: entry for entry in entries})
    return Lock(project="p", entries={TakeKey(entry.job_id, 1): entry for entry in entries})


# Whether the journal sent last

Proven = Callable[[Mark | None], bool]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal that has sent something."""
    opened = Journal(tmp_path, now=NOW, threaded=False)
    opened.follow(lambda *_: None)
    asyncio.run(opened.save(row(stage=Stage.INTENT)))
    yield opened
    opened.close()


@pytest.fixture
def proven(journal: Journal) -> Proven:
    """Ask, at `NOW`, whether it is proven that the journal sent last."""
    ports = cast("Any", SimpleNamespace(journal=journal, clock=SimpleNamespace(time=lambda: NOW)))
    return lambda mark: is_proven(ports, mark, SETTLE_S)


@pytest.mark.parametrize(("age_s", "is_it"), [(0.0, True), (19.9, True), (20.0, False), (86_400.0, False), (-1, False)])
def test_a_journal_is_proven_for_the_settle_time_after_its_last_intent(
    journal: Journal, proven: Proven, age_s: float, is_it: bool
) -> None:
    """For so long no other machine can have looked and sent; a clock that was set back proves nothing."""
    assert proven(Mark(token=str(journal.token()), at=NOW - age_s)) is is_it


def test_another_state_of_the_journal_proves_nothing(proven: Proven) -> None:
    """An older copy, a journal of another folder, or no mark at all."""
    assert not proven(Mark(token="another", at=NOW))
    assert not proven(None)


def test_a_journal_that_never_sent_proves_nothing(tmp_path: Path) -> None:
    """It has no token that a mark could name."""
    fresh = Journal(tmp_path, now=NOW, threaded=False)
    ports = cast("Any", SimpleNamespace(journal=fresh, clock=SimpleNamespace(time=lambda: NOW)))
    assert not is_proven(ports, Mark(token="None", at=NOW), SETTLE_S)
    fresh.close()


# Prices and times


@pytest.mark.parametrize("source", ["list", "journal", "lock", "retired"])
def test_the_highest_price_counts_wherever_it_was_seen(source: str) -> None:
    """What is reserved must never be less than what a task of this set has ever cost."""
    low, high = Decimal("0.25"), Decimal("1.00")
    rows = [row("1", units=high if source == "journal" else low)]
    entries = [locked("2", str(high if source in {"lock", "retired"} else low))]
    lock = lock_of(*entries, retired=source == "retired")
    listed = replace(AUDIO, units=high if source == "list" else low)
    assert highest_price(listed, rows, lock) == high


def test_neither_journal_nor_lock_tells_what_this_account_pays() -> None:
    """A colleague's account may have another price: only what this one was seen to charge is known of it."""
    assert known_of(Knowledge(), [row("1", units=Decimal(1))]).price is None
    assert known_of(Knowledge(price=Decimal("0.5")), []).price == Decimal("0.5")


def test_what_was_not_made_here_tells_no_time() -> None:
    """Reservations, failures, and what only the lock knew of."""
    high: dict[str, Any] = {"units": Decimal(9), "created_at": NOW, "ended_at": NOW + 99}
    rows = [row("1", run_id=0, **high)]
    rows += [row("1", stage=stage, **high) for stage in set(Stage) - {Stage.SUCCEEDED, Stage.DELIVERED}]
    assert known_of(Knowledge(), rows) == Knowledge()


def test_the_longest_generation_counts_by_the_services_times() -> None:
    """Of this journal and of what was known before."""
    rows = [row("1", created_at=NOW, ended_at=NOW + 7.5), row("2", created_at=NOW, ended_at=None)]
    assert known_of(Knowledge(longest_s=3.0), rows).longest_s == 7.5
    assert known_of(Knowledge(longest_s=9.0), rows).longest_s == 9.0


# Tasks that are known to exist


def test_the_account_is_heard_by_the_latest_tasks_first() -> None:
    """The three youngest of journal and lock: the service forgets the oldest."""
    rows = [row("9"), row("10"), replace(row("0"), task_id=None)]
    found = controls_of(rows, [locked("100"), locked("8")])
    assert [control.task_id for control in found] == ["100", "10", "9"]


def test_a_bare_machine_knows_no_task() -> None:
    """It has to send one to hear the account by."""
    assert controls_of([row()]) == []
