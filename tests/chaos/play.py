"""Playing a history: its lives under faults, then a run in peace, a run that has nothing to do, and a bare one."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from kling_batch.model import Origin, Status
from kling_batch.records.snapshot import read_snapshot
from kling_batch.running.run import Outcome
from kling_batch.sandbox.faults import Scenario
from kling_batch.sandbox.settings import Span
from kling_batch.sandbox.wire import Request
from kling_batch.sandbox.world import TASKS_PATH, World
from tests.chaos.history import RECIPES, End, History, Kept, Life, Place, manifest_of
from tests.chaos.process import SOUND, Machine, Parts, Program, back_up, forget
from tests.chaos.truth import OTHERS, Truth, always, finished, merged, named, text_of, told
from tests.chaos.virtual import Time, VirtualClock
from tests.quick_clips import quick_clip

_PEACEFUL_RUNS = 5
"""Runs without faults after which nothing may be left open."""
_REST_S = 3600.0
"""Time between them, in which what nobody could see has surely ended."""
_SHM = Path("/dev/shm")  # noqa: S108 - a folder in memory, where there is one; each simulation makes its own in it
_ANEW = 1000
"""The number of the first program that is asked for other recipes."""
_BY_ITSELF = Life(end=End.ITSELF)


@dataclass(kw_only=True, slots=True)
class Record:
    """What came of a history."""

    seed: int
    violations: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    switches: frozenset[str] = frozenset()
    kills: int = 0
    effects: int = 0
    takes: int = 0
    delivered: int = 0
    charges: int = 0
    digest: str = ""
    log: list[str] = field(default_factory=list)


@contextmanager
def workshop() -> Iterator[Path]:
    """Lend an empty folder, in memory where there is such a thing."""
    root = Path(tempfile.mkdtemp(prefix="kling-chaos-", dir=_SHM if _SHM.is_dir() else None))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def play(history: History, *, parts: Parts = SOUND) -> Record:
    """Play a history to its end, or to its first violation."""
    record = Record(seed=history.seed, takes=len(history.manifest.takes), switches=history.switches)
    with workshop() as root:
        machine = machine_of(history, root)
        try:
            for violation in _violations(history, machine, record, parts):
                record.violations.append(violation)
                break
        except Exception as error:  # noqa: BLE001 - whatever the program raises is what is looked for
            record.violations.append(f"{type(error).__name__}: {error}")
        truth = Truth(history, machine)
        record.faults = Counter(truth.ledger.faults)
        record.effects = machine.effects[0]
        record.kills = machine.kills
        record.log = machine.log
        record.digest = hashlib.sha256("\n".join(machine.log).encode()).hexdigest()
    return record


def machine_of(history: History, root: Path) -> Machine:
    """Set up a machine, and the service of a history."""
    time = Time()
    world = World(history.settings, now=VirtualClock(time).time, synth=quick_clip)
    _crowd(world, history)
    world.apply(Scenario(rules=history.rules))
    machine = Machine(root=root, time=time, world=world)
    for place in Place:
        machine.home(place).mkdir(exist_ok=True)
    return machine


def _crowd(world: World, history: History) -> None:
    """Fill the account with other programs' tasks, which have ended long ago."""
    was = world.settings
    world.apply(Scenario(settings={"generation": Span.fixed(0), "queue": Span.fixed(0)}))
    for number in range(history.others):
        body = b'{"prompt":"Other","duration":5.0,"external_task_id":"%b%d"}' % (OTHERS.encode(), number)
        world.handle(
            Request(method="POST", path=TASKS_PATH, headers={"authorization": f"Bearer {was.api_key}"}, body=body)
        )
    world.apply(Scenario(settings={"generation": was.generation, "queue": was.queue}))


def _violations(history: History, machine: Machine, record: Record, parts: Parts) -> Iterator[str]:
    knows_all = True
    programs = _programs(history, machine, parts)
    for program in programs:
        life = program.life
        truth = Truth(history, machine, life.place)
        machine.colleague = None
        back_up(machine, life.place)
        outcome = program.live()
        yield from always(truth)
        yield from merged(truth)
        if outcome is not None and not history.silent:
            yield from told(truth, outcome, life.takes(history.manifest))
            if knows_all and life.place is Place.FOLDER and not truth.forgets:
                yield from named(truth, outcome)
        knows_all = knows_all and life.kept is Kept.ALL and life.place is Place.FOLDER
        forget(machine, life.kept, life.place)
        machine.pass_time(life.pause_s)
    if history.keeps_all or not history.silent:  # else nobody could know what was sent
        yield from in_peace(history, machine, record, parts)


def _programs(history: History, machine: Machine, parts: Parts) -> list[Program]:
    """Make the lives' programs: each knows the one after it, which may ask its question while it lives."""
    later: Program | None = None
    made: list[Program] = []
    for number, life in reversed(list(enumerate(history.lives))):
        later = Program(machine, history, life, number=number, parts=parts, later=later)
        made.append(later)
    return made[::-1]


def in_peace(history: History, machine: Machine, record: Record, parts: Parts) -> Iterator[str]:
    """Turn the faults off: now everything has to come right, and to stay so."""
    machine.world.apply(Scenario(rules=()))
    calm = replace(history, max_units=None, hold_unclear=False, lingering=0.0, unproven=history.silent)
    truth = Truth(calm, machine)
    number = len(history.lives)
    outcome, number = yield from _to_the_end(calm, machine, number, parts)
    if history.silent:
        return
    yield from finished(truth, outcome)
    record.delivered = outcome.result.count(Status.SUCCEEDED)
    record.charges = truth.paid_sounds()
    if history.deaf:
        return
    yield from _nothing_to_do(calm, machine, number, parts, outcome)
    if any(job.finish for job in calm.manifest.jobs):
        yield from _finished_anew(calm, machine, parts, outcome)
    yield from _bare(calm, machine, number + 1, parts)


def _to_the_end(
    history: History, machine: Machine, number: int, parts: Parts
) -> Generator[str, None, tuple[Outcome, int]]:
    """Run until nothing is open, with rests in which what nobody could see ends. Gives the next program's number."""
    truth = Truth(history, machine)
    runs = 0
    while True:
        outcome = _by_itself(history, machine, number + runs, parts)
        runs += 1
        yield from always(truth)
        if not history.silent:
            yield from told(truth, outcome, history.manifest.takes)
        if outcome.result.exit_status in {0, 1} or _lacks_only_speech(outcome) or runs == _PEACEFUL_RUNS:
            return outcome, number + runs
        machine.pass_time(_REST_S)


def _lacks_only_speech(outcome: Outcome) -> bool:
    """Whether all that is left is speech whose answer was lost: that is never known."""
    left = [each for each in outcome.result.takes if each.status in {Status.PENDING, Status.UNKNOWN}]
    return all(each.status is Status.UNKNOWN and text_of(each.take) is not None for each in left)


def _nothing_to_do(history: History, machine: Machine, number: int, parts: Parts, before: Outcome) -> Iterator[str]:
    truth = Truth(history, machine)
    posts = truth.posts()
    outcome = _by_itself(history, machine, number, parts)
    yield from told(truth, outcome, history.manifest.takes)
    if truth.posts() != posts and not truth.forgets:
        yield "a further run sent something"
    statuses = [[each.status for each in one.result.takes] for one in (before, outcome)]
    if statuses[0] != statuses[1] and not truth.forgets:
        yield "a further run reports something else"
    if any(each.origin not in {Origin.KEPT, None} for each in outcome.result.takes) and not truth.forgets:
        yield "a further run did something"


def _finished_anew(history: History, machine: Machine, parts: Parts, before: Outcome) -> Iterator[str]:
    """Ask for other recipes, be killed, and go on: all of it is made of what is paid for."""
    turn = {json.dumps(one): other for one, other in pairwise((*RECIPES[1:], RECIPES[1]))}
    jobs = [replace(job, finish=turn.get(json.dumps(job.finish), job.finish)) for job in history.manifest.jobs]
    changed = replace(history, manifest=manifest_of(history.manifest.project, jobs))
    truth = Truth(changed, machine, before=history.manifest)
    posts = truth.posts()
    killed = Life(end=End.EFFECT, at=float(random.Random(f"anew {history.seed}").randint(1, 200)))
    Program(machine, changed, killed, number=_ANEW, parts=parts).live()
    yield from always(truth)
    outcome = _by_itself(changed, machine, _ANEW + 1, parts)
    if outcome.result.count(Status.SUCCEEDED) < before.result.count(Status.SUCCEEDED):
        # A copy in the store was torn by a power cut, and found out where nobody was to be asked: the next run asks.
        outcome = _by_itself(changed, machine, _ANEW + 2, parts)
    yield from always(truth)
    yield from told(truth, outcome, changed.manifest.takes)
    if truth.posts() != posts and not truth.forgets:
        yield "another recipe was paid for"
    for one, other in zip(before.result.takes, outcome.result.takes, strict=True):
        if one.status is Status.SUCCEEDED and not (other.status is Status.SUCCEEDED or truth.cannot_be_had(other)):
            yield f"{other.take.key} was there, and is {other.status} for another recipe: {other.error}"


def _bare(history: History, machine: Machine, number: int, parts: Parts) -> Iterator[str]:
    """Start on a machine that knows nothing but the manifest."""
    truth = Truth(history, machine)
    there = {task.external_id for task in truth.ledger.tasks} - truth.texts.keys()
    posts = truth.posts()
    forget(machine, Kept.NOTHING)
    outcome, _ = yield from _to_the_end(history, machine, number, parts)
    again = sorted(name for name in there if truth.posts().get(name, 0) > posts.get(name, 0))
    if again and not truth.forgets:
        yield f"a bare start asked again for {again}"
    yield from finished(truth, outcome)


def _by_itself(history: History, machine: Machine, number: int, parts: Parts) -> Outcome:
    life = replace(_BY_ITSELF, rotated=read_snapshot(machine.out()).service == "rotated")
    outcome = Program(machine, history, life, number=number, parts=parts).live()
    assert outcome is not None
    return outcome
