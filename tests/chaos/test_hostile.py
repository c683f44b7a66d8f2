"""Spoilt answers, streams that break, disks that fill, and a bug: each costs what it befalls, and nothing else."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kling_batch.errors import ExitStatus, InternalError
from kling_batch.model import Status
from kling_batch.running.account import Account
from kling_batch.running.locking import LockKeeper
from kling_batch.running.reconcile import Reconciler
from kling_batch.running.scheduler import Scheduler
from kling_batch.running.watch import Watcher
from tests.chaos.broken import Broken
from tests.chaos.history import End, Life
from tests.chaos.hostile import draw_hostility, play_hostile
from tests.chaos.play import Record, in_peace, machine_of
from tests.chaos.process import SOUND, Program
from tests.chaos.scenes import reference

_SEEDS_A_BLOCK = 5


@pytest.mark.parametrize("block", range(3))
def test_what_befalls_one_take_stays_with_it(block: int) -> None:
    """The other eleven are delivered and paid for once, and every run ends with a report."""
    seeds = range(block * _SEEDS_A_BLOCK, (block + 1) * _SEEDS_A_BLOCK)
    records = [play_hostile(draw_hostility(seed)) for seed in seeds]
    assert [(record.seed, record.violations) for record in records if record.violations] == []
    assert sum(record.faults.total() for record in records) > _SEEDS_A_BLOCK / 2


def test_a_program_that_lets_a_bug_through_is_caught() -> None:
    """The judge sees a take's bug end the run, and so a green proof is not an empty one."""
    through = Broken(owner=Scheduler, name="about", value=lambda *_: nullcontext())
    hostilities = (replace(draw_hostility(seed), deaf_from=None, spoilt=0.0, step=5) for seed in range(3))
    with through.applied():
        assert any(play_hostile(hostility).violations for hostility in hostilities)


async def _fails(*_: Any, **__: Any) -> None:
    raise ZeroDivisionError("of all things")


def _fails_at_once(*_: Any) -> None:
    raise ZeroDivisionError("of all things")


BUGS = {
    "the list's reading": Broken(owner=Watcher, name="_read", value=_fails),
    "the look-up": Broken(owner=Account, name="find_all", value=_fails),
    "the proof of the canary": Broken(owner=Reconciler, name="prove", value=_fails),
    "what is sent next": Broken(owner=Scheduler, name="halt_if_stuck", value=_fails_at_once),
    "the lock": Broken(owner=LockKeeper, name="write_if_due", value=_fails),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_bug_in_what_concerns_all_takes_ends_the_run_in_order(bug: Broken, tmp_path: Path) -> None:
    """It is an internal error, with a report, and the next run goes on with all that was paid for."""
    history = replace(reference(Life(end=End.ITSELF)), writes_reports=True)
    machine = machine_of(history, tmp_path)
    with bug.applied():
        outcome = Program(machine, history, history.lives[0], number=0, parts=SOUND).live()
    assert outcome is not None
    assert isinstance(outcome.stopped, InternalError)
    report = json.loads((machine.out() / "report.json").read_text())
    assert (report["exit_status"], len(report["takes"])) == (ExitStatus.INTERNAL, 20)
    assert not [take for take in report["takes"] if take["status"] == Status.FAILED]
    assert list(in_peace(history, machine, Record(seed=0), SOUND)) == []
