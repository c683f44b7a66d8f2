"""Wanted minus present: what a run would do to each take, and why. Plain functions; no keys and no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from kling_batch.engine.facts import Facts, Presence
from kling_batch.files.lock import Lock, LockEntry
from kling_batch.identity import external_task_id
from kling_batch.journal.records import Attempt, Stage
from kling_batch.model import Take, TakeKey
from kling_batch.service.catalog import kind


class Action(StrEnum):
    """What a run would do to a take."""

    GENERATE = "generate"
    RESUME = "resume"
    RESTORE = "restore"
    KEEP = "keep"
    RETRY = "retry"
    DROP = "drop"


PAYING = {Action.GENERATE, Action.RETRY}
"""Actions that ask the service for a new task. A resumed take whose answer was lost may be sent again as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A take's part of the plan. `units` is what the step may cost; `facts` is None for a take no longer asked for."""

    key: TakeKey
    action: Action
    reason: str
    external_id: str
    units: Decimal = Decimal(0)
    facts: Facts | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a run would do, in the manifest's order; what is dropped comes last."""

    steps: tuple[Step, ...]

    def count(self, action: Action) -> int:
        """How many takes get this action."""
        return sum(1 for step in self.steps if step.action is action)

    @property
    def units(self) -> Decimal:
        """The most that a run of this plan would pay, retries of tasks that fail left out: those cost nothing."""
        return sum((step.units for step in self.steps), Decimal(0))


def make_plan(facts: Sequence[Facts], lock: Lock, *, retries: int, wanted: Iterable[TakeKey]) -> Plan:
    """Decide an action for every take. `wanted` names all takes of the manifest, selected or not."""
    steps = [_step(fact, retries) for fact in facts]
    asked_for = set(wanted)
    dropped = [
        Step(
            key=key,
            action=Action.DROP,
            reason="locked, and no longer in the manifest; its files stay where they are",
            external_id=entry.external_id,
        )
        for key, entry in sorted(lock.entries.items())
        if key not in asked_for
    ]
    return Plan(steps=(*steps, *dropped))


def _step(facts: Facts, retries: int) -> Step:
    take, attempt = facts.take, facts.attempt
    price = kind(take.job.kind).units

    def step(action: Action, reason: str, units: Decimal = Decimal(0), attempt_number: int | None = None) -> Step:
        number = attempt_number or (facts.finished.attempt if facts.finished else attempt.attempt if attempt else 1)
        return Step(
            key=take.key,
            action=action,
            reason=reason,
            external_id=external_task_id(take, number),
            units=units,
            facts=facts,
        )

    if facts.finished is not None or (attempt is not None and attempt.stage is Stage.DELIVERED):
        lacking = {name: state for name, state in facts.presence.items() if state is not Presence.PRESENT}
        if not lacking:
            return step(Action.KEEP, "every file is in place")
        return step(Action.RESTORE, _lacking_reason(facts, lacking))
    if attempt is None or attempt.stage is Stage.WITHDRAWN:
        return step(Action.GENERATE, _new_reason(take, facts.entry), price)
    return _unfinished(attempt, retries, price, step)


def _unfinished(attempt: Attempt, retries: int, price: Decimal, step: Any) -> Step:
    words = f"{attempt.code}: {attempt.message}" if attempt.code is not None else attempt.message
    match attempt.stage:
        case Stage.INTENT:
            made: Step = step(
                Action.RESUME, "its answer was lost: looked for on the service, sent again only if not there"
            )
        case Stage.CREATED:
            made = step(Action.RESUME, f"task {attempt.task_id} is on the service")
        case Stage.SUCCEEDED:
            made = step(Action.RESUME, f"task {attempt.task_id} is done and paid for; its files are fetched")
        case Stage.FAILED if not attempt.final and attempt.attempt <= retries:
            made = step(Action.RETRY, f"attempt {attempt.attempt} failed ({words})", price, attempt.attempt + 1)
        case _:
            made = step(
                Action.KEEP, f"failed for good ({words}): nothing is sent; change the request or raise its edition"
            )
    return made


def _lacking_reason(facts: Facts, lacking: Mapping[str, Presence]) -> str:
    words = []
    for name, state in lacking.items():
        path = facts.take.path(name)
        known = facts.known_files.get(name)
        if state is Presence.NEVER:
            words.append(f"{path}: {name} is newly asked for, of a task that is paid for")
        elif state is Presence.MODIFIED:
            words.append(f"{path} was modified")
        elif known is not None and known.path != path:
            words.append(f"{path}: file was {known.path}")
        else:
            words.append(f"{path} is missing")
    return "; ".join(words)


def _new_reason(take: Take, entry: LockEntry | None) -> str:
    if entry is None:
        return "new"
    changes = [
        f"{name}: {_shown(entry.request.get(name))} -> {_shown(take.job.request.get(name))}"
        for name in sorted({*entry.request, *take.job.request})
        if entry.request.get(name) != take.job.request.get(name)
    ]
    if entry.edition != take.edition:
        changes.append(f"edition: {entry.edition} -> {take.edition}")
    return "changed: " + "; ".join(changes) if changes else "new under this project's name"


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
