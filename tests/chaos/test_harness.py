"""The simulation's own parts."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from pathlib import Path

import pytest

from kling_batch.catalog import kinds
from kling_batch.sandbox.faults import EFFECTS
from kling_batch.sandbox.settings import Behaviour, Callbacks
from kling_batch.sandbox.world import World
from tests.chaos.history import End, Kept, Life, Place, draw
from tests.chaos.process import SOUND, Body, Killed, Machine, Program, forget
from tests.chaos.scenes import reference
from tests.chaos.truth import Truth, always
from tests.chaos.virtual import Stuck, Time, VirtualClock, run_virtual
from tests.quick_clips import quick_clip


def test_time_jumps_to_the_next_timer() -> None:
    """An hour of waiting passes at once, and in order."""
    time = Time()
    seen: list[float] = []

    async def wait(seconds: float) -> None:
        await VirtualClock(time).sleep(seconds)
        seen.append(time.now)

    async def main() -> None:
        await asyncio.gather(wait(3600.0), wait(1.0), wait(60.0))

    run_virtual(time, main())
    assert seen == [1.0, 60.0, 3600.0]


def test_seeds_use_every_switch_of_the_sandbox() -> None:
    """Whatever habit or fault the sandbox can have, and whatever can be asked of it, some history has it."""
    used = frozenset[str]().union(*(draw(seed).switches for seed in range(1500)))
    habits = {habit.name for habit in fields(Behaviour)} | {f"callbacks {habit.name}" for habit in fields(Callbacks)}
    assert habits | {f"fault {name}" for name in EFFECTS} | {f"kind {name}" for name in kinds()} <= used


def test_a_program_that_waits_for_nothing_is_found() -> None:
    """Where a real program would hang, the simulation says so."""
    with pytest.raises(Stuck):
        run_virtual(Time(), asyncio.Event().wait())


def test_nothing_happens_after_death() -> None:
    """The deadly effect does not happen, and none after it."""
    told: list[str] = []
    body = Body(Life(end=End.EFFECT, at=2), at_death=lambda: told.append("dead"), tell=told.append)
    body.probe("write")
    for effect in ("send", "rename"):
        with pytest.raises(Killed):
            body.probe(effect)
    assert told == ["write", "send", "dead"]


def test_the_disk_is_as_it_was_at_the_instant_of_death(machine: Machine) -> None:
    """What a dying program still cleans up is not on the disk that the next life finds."""
    life = Life(end=End.EFFECT, at=60)
    assert Program(machine, reference(life), life, number=0, parts=SOUND).live() is None
    assert machine.out().is_dir()
    assert machine.kills == 1
    assert not (machine.root / "photograph").exists()


def test_a_bare_machine_has_nothing(machine: Machine) -> None:
    """With everything deleted, neither journal, files, lock nor store is left."""
    by_itself = Life(end=End.ITSELF)
    Program(machine, reference(), by_itself, number=0, parts=SOUND).live()
    assert {path.name for path in machine.home(Place.FOLDER).iterdir()} == {"out", "state", "store", "chaos.yaml.lock"}
    forget(machine, Kept.NOTHING)
    assert list(machine.home(Place.FOLDER).iterdir()) == []


def test_the_judge_sees_what_the_books_say(machine: Machine) -> None:
    """The same books are in order for the limit that was given, and a violation for a lower one."""
    Program(machine, reference(), Life(end=End.ITSELF), number=0, parts=SOUND).live()
    assert list(always(Truth(reference(), machine))) == []
    lower = replace(reference(), concurrency=2)
    assert list(always(Truth(lower, machine))) == ["5 tasks were in flight, 2 were allowed"]


def test_the_judge_sees_a_changed_file(machine: Machine) -> None:
    """A file under a final name that is not the sound of its task is a violation."""
    Program(machine, reference(), Life(end=End.ITSELF), number=0, parts=SOUND).live()
    (machine.out() / "job-1-01.wav").write_bytes(b"RIFF")
    assert list(always(Truth(reference(), machine))) == ["job-1-01.wav is not the sound of its task"]


def test_histories_differ() -> None:
    """Each seed stands for another history, the same one every time."""
    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    time = Time()
    world = World(reference().settings, now=VirtualClock(time).time, synth=quick_clip)
    machine = Machine(root=tmp_path, time=time, world=world)
    machine.home(Place.FOLDER).mkdir()
    return machine
