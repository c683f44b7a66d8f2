"""What has to hold, by the books of the sandbox alone: the program's own words are what is judged, never the judge."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from kling_batch.catalog import kind
from kling_batch.errors import AccountStop, BudgetStop, Interrupted, NotFinished
from kling_batch.identity import external_task_id
from kling_batch.model import Status, Take, TakeResult
from kling_batch.records.lock import read_lock
from kling_batch.running.run import Outcome
from kling_batch.sandbox.careless import careless
from kling_batch.sandbox.clips import ClipSpec
from kling_batch.sandbox.filehost import _corrupted
from kling_batch.sandbox.ledger import Ledger, LedgerTask
from kling_batch.sandbox.quick import quick_clip
from kling_batch.sandbox.world import World
from tests.chaos.history import History, Place
from tests.chaos.process import COLLEAGUE, Machine

_DAMAGES = {"corrupt", "wrong-type", "wrong-format", "wrong-length", "cut"}
OTHERS = "other-"
"""How the external ids of other programs' tasks begin."""


class Truth:
    """The books of one history."""

    def __init__(self, history: History, machine: Machine, place: Place = Place.FOLDER) -> None:
        self.history = history
        self.machine = machine
        self.place = place

    def is_forgotten(self, external_id: str) -> bool:
        """Whether the service hid a task of this name for a while: nobody can know of it then."""
        task = self.world._shelf.by_external_id(external_id)
        return task is not None and task.forgotten_to > task.forgotten_from

    def cannot_be_had(self, words: str) -> bool:
        """Whether a sound is not delivered for what the service gave: its bytes, or where it says they are."""
        leads_nowhere = any(rule.effect.name == "task-url" for rule in self.history.rules)
        bad_url = leads_nowhere and ("URL" in words or "has no host" in words)
        names = {rule.effect.name for rule in self.history.rules}
        damaged = "the same bytes came twice" in words and bool(names & _DAMAGES)
        changed = "other bytes than the lock names" in words and "changed" in names
        return bad_url or damaged or changed

    @property
    def forgets(self) -> bool:
        """Whether the service hid any task."""
        return any(self.is_forgotten(task.external_id) for task in self.ledger.tasks)

    @property
    def world(self) -> World:
        """The service."""
        return self.machine.world

    @property
    def ledger(self) -> Ledger:
        """The service's books, up to the present."""
        self.world.settle()
        return self.world.ledger

    def posts(self) -> dict[str, int]:
        """Count the create calls that arrived, by external id."""
        return {name: count for name, count in self.ledger.posts.items() if not name.startswith(OTHERS)}

    def tasks_of(self, take: Take) -> list[LedgerTask]:
        """Give the tasks of a take, attempt by attempt."""
        names = [external_task_id(take, attempt) for attempt in range(1, self.history.retries + 2)]
        return [task for name in names for task in self.ledger.tasks if task.external_id == name]

    def paid_sounds(self) -> int:
        """Count the charges for tasks that made a sound."""
        good = {task.task_id for task in self.ledger.tasks if task.failure is None}
        return sum(1 for c in self.ledger.charges if c.task_id in good and not c.external_id.startswith(OTHERS))

    def units_of(self, task_id: str | None) -> Decimal:
        """Say what a task was charged."""
        return sum((charge.units for charge in self.ledger.charges if charge.task_id == task_id), Decimal(0))

    def sounds_of(self, task_id: str | None, audio_format: str) -> set[str]:
        """Give the hashes of every version of a task's sound."""
        task = self.world._shelf.find(task_id or "", float("inf"))
        if task is None:
            return set()
        seeds = [task.seed, *(f"{task.seed}:{revision}" for revision in range(1, task.revision + 1))]
        settings = self.world.settings
        made = replace(task, revision=0).clip(audio_format, settings)
        lengths = {made.duration_s * factor for factor in (1.0, *self._values_of("wrong-length"))}
        damages = (0, *self._values_of("corrupt"))
        return {
            _sound(replace(made, seed=seed, duration_s=length), damage)
            for seed in seeds
            for length in lengths
            for damage in damages
        }

    def _values_of(self, effect: str) -> set[Any]:
        """Give what the faults of one name do: a program cannot tell the same damage twice from what was made."""
        return {rule.effect.value for rule in self.history.rules if rule.effect.name == effect}


@lru_cache(maxsize=4096)
def _sound(spec: ClipSpec, damage: int) -> str:
    return hashlib.sha256(_corrupted(careless(quick_clip(spec), spec), damage)).hexdigest()


def always(truth: Truth) -> Iterator[str]:
    """Say what is wrong although it must hold at every instant."""
    history, ledger = truth.history, truth.ledger
    wanted = {external_task_id(take, n): take for take in history.manifest.takes for n in range(1, history.retries + 2)}
    twice = [name for name, n in ledger.tasks_by_external_id.items() if n > 1 and not truth.is_forgotten(name)]
    # On an account that shows nothing, the canary of every start may be a second one: that is the limit, and stated.
    if len(twice) > (len(history.lives) if history.silent else 0):
        yield f"several tasks were made under {twice[:3]}"
    for name in truth.posts():
        if name not in wanted:
            yield f"a task was asked for under {name}, which is no attempt of a take"
    for take in history.manifest.takes:
        good = [task for task in truth.tasks_of(take) if task.failure is None]
        if (
            len(good) > 1
            and not history.silent
            and not any(truth.is_forgotten(task.external_id) for task in truth.tasks_of(take))
        ):
            yield f"{take.key} has {len(good)} tasks that do not fail"
    known = not history.silent and (history.keeps_all or not truth.forgets)
    if known and history.concurrency is not None and ledger.in_flight_max > history.concurrency:
        yield f"{ledger.in_flight_max} tasks were in flight, {history.concurrency} were allowed"
    if history.max_units is not None and _charged(ledger) > history.max_units + _surprise(truth):
        yield f"{_charged(ledger)} units were charged, {history.max_units} were allowed"
    if truth.machine.intrusions:
        yield "a second program got into a folder that was held"
    if ledger.token_leaks:
        yield f"{ledger.token_leaks} calls took the token to the file host"
    yield from _final_names(truth)


def _surprise(truth: Truth) -> Decimal:
    """Say by how much prices that nobody could know exceed a budget: the canary's, and of what runs as they rise."""
    first = max(Decimal(0), truth.history.settings.behaviour.units - kind("text-to-audio").units)
    rises = any(rule.effect.name == "price" for rule in truth.history.rules)
    return first + (Decimal("1.50") * truth.ledger.in_flight_max if rises else Decimal(0))


def _charged(ledger: Ledger) -> Decimal:
    return sum((c.units for c in ledger.charges if not c.external_id.startswith(OTHERS)), Decimal(0))


def _final_names(truth: Truth) -> Iterator[str]:
    """Look at every file under a final name: it has to be a whole sound of its take."""
    for take in truth.history.manifest.takes:
        for audio_format in take.job.formats:
            path = truth.machine.out(truth.place) / take.path(audio_format)
            if path.is_file() and not _is_sound(truth, take, audio_format):
                yield f"{path.name} is not the sound of its task"


def _is_sound(truth: Truth, take: Take, audio_format: str) -> bool:
    found = hashlib.sha256((truth.machine.out(truth.place) / take.path(audio_format)).read_bytes()).hexdigest()
    return any(found in truth.sounds_of(task.task_id, audio_format) for task in truth.tasks_of(take))


def merged(truth: Truth) -> Iterator[str]:
    """Say whether what somebody else put into the lock while the program ran is gone."""
    if truth.machine.colleague is truth.place:
        lock = read_lock(truth.machine.lock_path(truth.place), project=truth.history.manifest.project)
        if all(entry.external_id != COLLEAGUE for entry in lock.everything()):
            yield "what a colleague put into the lock is gone"


def told(truth: Truth, outcome: Outcome, selected: Sequence[Take]) -> Iterator[str]:
    """Say what a report says wrongly, whenever the run ended."""
    result = outcome.result
    if [each.take for each in result.takes] != list(selected):
        yield "the report does not have every take once, in order"
    statuses = {each.status for each in result.takes}
    if result.exit_status != _exit_wanted(outcome, statuses):
        yield f"exit {result.exit_status} with {sorted(statuses)} and {outcome.stopped!r}"
    for each in result.takes:
        if each.status is Status.SUCCEEDED:
            yield from _delivered(truth, each)
        elif each.error is None and each.status is not Status.PENDING:
            yield f"{each.take.key} is {each.status} without a reason"


def named(truth: Truth, outcome: Outcome) -> Iterator[str]:
    """Say which tasks a report does not name, of a run that could know them all."""
    for each in outcome.result.takes:
        tasks = truth.tasks_of(each.take)
        if not tasks or each.status in {Status.SUCCEEDED, Status.UNKNOWN}:
            continue
        if tasks[-1].failure is None and each.task_id != tasks[-1].task_id:
            yield f"{each.take.key} is {each.status} and its task {tasks[-1].task_id} is not named"


def _exit_wanted(outcome: Outcome, statuses: set[Status]) -> int:
    stops = ((AccountStop, 5), (Interrupted, 130), (NotFinished, 6))
    for stop, status in stops:
        if isinstance(outcome.stopped, stop):
            return status
    if Status.UNKNOWN in statuses:
        return 6
    if isinstance(outcome.stopped, BudgetStop):
        return 4
    if Status.PENDING in statuses:
        return 6
    return 1 if Status.FAILED in statuses else 0


def _delivered(truth: Truth, each: TakeResult) -> Iterator[str]:
    """Check a take that is said to have succeeded: paid once, its files there, whole and as reported."""
    key = each.take.key
    tasks = {task.task_id: task for task in truth.tasks_of(each.take)}
    task = tasks.get(each.task_id or "")
    if task is None or task.failure is not None or each.external_id != task.external_id:
        yield f"{key} is said to be task {each.task_id}, which is no good task of it"
        return
    charged = sum((truth.units_of(task_id) for task_id in tasks), Decimal(0))
    if each.units != charged and not any(truth.is_forgotten(each.external_id) for each in tasks.values()):
        yield f"{key} is said to have cost {each.units}, and was charged {charged}"
    if [file.format for file in each.files] != list(each.take.job.formats):
        yield f"{key} lacks a format"
    for file in each.files:
        path = truth.machine.out(truth.place) / file.path
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != file.sha256 or len(data) != file.bytes:
            yield f"{file.path} is not on the disk as it is reported"
        if file.sha256 not in truth.sounds_of(each.task_id, file.format):
            yield f"{file.path} is not the sound of task {each.task_id}"


def finished(truth: Truth, outcome: Outcome) -> Iterator[str]:
    """Say what is missing at the end, when the service has been well for a whole run."""
    ledger = truth.ledger
    if ledger.in_flight:
        yield f"{ledger.in_flight} tasks are still in flight"
    lock = read_lock(truth.machine.lock_path(truth.place), project=truth.history.manifest.project)
    for each in outcome.result.takes:
        key = each.take.key
        entry = lock.entries.get(key)
        if each.status is Status.SUCCEEDED:
            if entry is None or entry.files != each.files or entry.task_id != each.task_id:
                yield f"{key}: the lock does not say what the report says"
        elif truth.history.deaf and each.status in {Status.UNKNOWN, Status.PENDING}:
            continue  # where only the list shows names, it may show them too late to be heard
        elif each.status is Status.UNKNOWN and not truth.paid_sounds():
            continue  # on an account without a single task of ours, nothing can be heard
        elif each.status is not Status.FAILED and not truth.cannot_be_had(_words(each)):
            yield f"{key} is still {each.status}: {each.error}"
        elif each.status is Status.FAILED:
            yield from _rightly_failed(truth, each)
    yield from _sums(truth, outcome)


def _rightly_failed(truth: Truth, each: TakeResult) -> Iterator[str]:
    """A take may fail for good when its last task failed and no attempt is left, or when it was refused."""
    tasks = truth.tasks_of(each.take)
    if any(truth.is_forgotten(task.external_id) for task in tasks):
        return
    code = each.error.code if each.error else None
    if _refused_here(truth, each):
        return
    if not tasks or tasks[-1].external_id != each.external_id:
        if code not in {1200, 1201, 1203, 1300, 1301}:
            yield f"{each.take.key} failed and was not refused: {each.error}"
    elif tasks[-1].failure is None and not truth.cannot_be_had(_words(each)):
        yield f"{each.take.key} is paid for and not delivered: {each.error}"
    elif "risk" not in (tasks[-1].failure or "risk") and len(tasks) <= truth.history.retries and not _hopeless(truth):
        yield f"{each.take.key} failed for a passing reason and was not tried again"


def _refused_here(truth: Truth, each: TakeResult) -> bool:
    """Whether a take's words were refused: another machine's may have been taken later, and are not asked for."""
    return each.error is not None and each.error.code in {1300, 1301} and not truth.history.keeps_all


def _words(each: TakeResult) -> str:
    return each.error.message if each.error else ""


def _hopeless(truth: Truth) -> bool:
    return sum(1 for task in truth.ledger.tasks if task.failure is not None) > 50


def _sums(truth: Truth, outcome: Outcome) -> Iterator[str]:
    """Compare the report's sum with the books: all that was charged for its takes."""
    charged = _charged(truth.ledger)
    if truth.forgets or any(
        each.status is Status.UNKNOWN or _refused_here(truth, each) for each in outcome.result.takes
    ):
        return
    if outcome.result.units != charged:
        yield f"the report sums up to {outcome.result.units} units, {charged} were charged"
