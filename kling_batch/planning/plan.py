"""Wanted minus present: what a run would do to each take, and why. Plain functions; no keys and no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from kling_batch.catalog import kind_of
from kling_batch.delivery.place import REPLACED
from kling_batch.identity import external_task_id
from kling_batch.model import NOTHING, Take, TakeKey, rejecting
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.records.lock import Lock, LockEntry
from kling_batch.records.state import Presence, TakeState
from kling_batch.service.codes import ABOUT_WORDS


class Action(StrEnum):
    """What a run would do to a take, in the order in which a plan tells it."""

    GENERATE = "generate"
    RETRY = "retry"
    RESUME = "resume"
    MOVED = "moved"
    FINISH = "finish"
    RESTORE = "restore"
    KEEP = "keep"
    DROP = "drop"


PAYING = {Action.GENERATE, Action.RETRY}
"""Actions that ask the service for a new task. A resumed take whose answer was lost may be sent again as well."""
REJECTED_HINT = "change its checks, raise its edition, or give --reroll-rejected"
_JUDGING = {*PAYING, Action.RESUME, Action.FINISH}
"""Actions after which a sound may be rejected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A field whose value differs from what was before, as people read it."""

    name: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.name}: {self.old} -> {self.new}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A take's part of the plan. `units` is what the step may cost; `facts` is None for a take no longer asked for.

    `changes` are the fields because of which the take is not what it was; `reason` has them in words. `rolls` is how
    often another sound may be made, each at a price, in place of one that is rejected.
    """

    key: TakeKey
    action: Action
    reason: str
    external_id: str
    units: Decimal = Decimal(0)
    changes: tuple[Change, ...] = ()
    rolls: int = 0
    facts: TakeState | None = None

    @property
    def failed(self) -> bool:
        """Whether the take failed for good, or was rejected: it is left as it is, and there is no sound."""
        facts = self.facts
        if facts is None or self.action is not Action.KEEP:
            return False
        stage = facts.attempt.stage if facts.attempt is not None and facts.finished is None else None
        return bool(facts.rejected) or stage in {Stage.FAILED, Stage.REFUSED}

    @property
    def may_pay(self) -> bool:
        """Whether a paid call may come of it, also where a lost answer has to be sent again, or a sound is rejected."""
        return self.action in PAYING or self.units > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a run would do, in the manifest's order; what is dropped comes last."""

    steps: tuple[Step, ...]

    def count(self, action: Action) -> int:
        """How many takes get this action."""
        return sum(1 for step in self.steps if step.action is action)

    @property
    def pays(self) -> bool:
        """Whether the service is asked for a new task, or may be: see `Step.may_pay`."""
        return any(step.may_pay for step in self.steps)

    @property
    def needs_consent(self) -> bool:
        """Whether somebody has to agree first: it pays, or takes over the sounds of a renamed job."""
        return self.pays or any(step.action is Action.MOVED for step in self.steps)

    @property
    def units(self) -> Decimal:
        """The most that a run of this plan would pay, retries of tasks that fail left out: those cost nothing."""
        return sum((step.units for step in self.steps), Decimal(0))


def cost_by_kind(plan: Plan) -> dict[str, tuple[int, Decimal]]:
    """Say of each kind of task that a plan may pay for how many takes those are, and what they cost at most."""
    costs: dict[str, tuple[int, Decimal]] = {}
    for step in plan.steps:
        if step.may_pay and step.facts is not None:
            name = step.facts.take.job.kind
            takes, units = costs.get(name, (0, NOTHING))
            costs[name] = (takes + 1, units + step.units)
    return costs


def clones(plan: Plan) -> list[Take]:
    """Name the takes that may be paid for and make what is somebody's: a voice."""
    takes = (step.facts.take for step in plan.steps if step.may_pay and step.facts is not None)
    return [take for take in takes if kind_of(take.job).rights]


def make_plan(
    facts: Sequence[TakeState],
    lock: Lock,
    *,
    retries: int,
    wanted: Iterable[TakeKey],
    prices: Mapping[str, Decimal] | None = None,
    reroll_rejected: int = 0,
) -> Plan:
    """Decide an action for every take.

    Args:
        facts: What is present.
        lock: What the lock says.
        retries: How many new attempts a task may have that failed for a passing reason.
        wanted: All takes of the manifest, selected or not.
        prices: What a task of a kind costs, in units, where that is not the list price.
        reroll_rejected: How many rejected sounds of a take another is made in place of.
    """
    steps = []
    for fact in facts:
        price = (prices or {}).get(fact.take.job.kind, kind_of(fact.take.job).units)
        steps.append(_step(fact, retries, price, reroll_rejected))
    moved = {fact.moved.external_id for fact in facts if fact.moved}
    dropped = [
        Step(
            key=key,
            action=Action.DROP,
            reason="locked, and no longer in the manifest; the lock keeps it as retired, and its files stay in place",
            external_id=lock.entries[key].external_id,
        )
        for key in sorted(lock.entries.keys() - {*wanted})
        if lock.entries[key].external_id not in moved
    ]
    return Plan(steps=(*steps, *dropped))


def overwritten(facts: TakeState | None) -> list[str]:
    """Say which files that a person edited a coming sound takes the place of."""
    return [
        f"{path} was edited: the new sound takes its place, and it is kept in {REPLACED}"
        for path in (facts.in_the_way if facts else ())
    ]


def _step(facts: TakeState, retries: int, price: Decimal, rolls: int) -> Step:
    step = _with_rolls(_decided(facts, retries, price), facts, price, rolls)
    if step.action is Action.KEEP:
        return step
    return replace(step, reason="; ".join([step.reason, *overwritten(facts)]))


def _with_rolls(step: Step, facts: TakeState, price: Decimal, most: int) -> Step:
    """Add what may be paid where the sound of a step is rejected, and another is made in its place."""
    may_fail = any(check["then"] == "fail" for check in facts.take.job.check.values())
    rolls = most - len(facts.rolls_before) if may_fail and step.action in _JUDGING else 0
    return replace(step, rolls=rolls, units=step.units + rolls * price) if rolls > 0 else step


def _decided(facts: TakeState, retries: int, units: Decimal) -> Step:
    take, attempt = facts.take, facts.attempt
    if facts.moved is not None:
        return _moved(facts, facts.moved)
    if facts.finished is not None or (attempt is not None and attempt.stage is Stage.DELIVERED):
        return _made(facts)
    if attempt is None or attempt.stage is Stage.WITHDRAWN:
        if facts.rolls_before:
            words = "; ".join(remark.words for remark in rejecting(facts.rolls_before[-1].remarks))
            reason = f"rejected: {words}; another is made in its place"
            return _step_of(facts, Action.GENERATE, reason, units=units)
        changes = _request_changes(take, facts.entry) if facts.entry else ()
        return _step_of(facts, Action.GENERATE, _new_reason(facts.entry, changes), units=units, changes=changes)
    return _unfinished(facts, attempt, retries, units)


def _made(facts: TakeState) -> Step:
    """Decide on a take whose sound was made."""
    job = facts.take.job
    if facts.rejected:
        words = "; ".join(remark.words for remark in facts.rejected)
        return _step_of(facts, Action.KEEP, f"rejected: {words}; {REJECTED_HINT}")
    lacking = {name: state for name, state in facts.presence.items() if state.lacks}
    if job.recipe and (facts.recipe != job.recipe or facts.finished_files.keys() < {*job.finish.get("formats", ())}):
        changes = _recipe_changes(facts.recipe, job.recipe)
        why = [*map(str, changes)] or [remark.words for remark in rejecting(facts.remarks)]
        return _step_of(facts, Action.FINISH, "; ".join(why) or "not all was finished", changes=changes)
    if lacking or any(state.lacks for state in facts.sources.values()):
        reason = "; ".join([*_lacking_reasons(facts, lacking), *_edited(facts)])
        return _step_of(facts, Action.RESTORE, reason, changes=_file_changes(facts, lacking))
    return _step_of(facts, Action.KEEP, "; ".join(_edited(facts)) or "every file is in place")


def _recipe_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """Tell which fields of a recipe, and which checks, are others than before."""
    changes = []
    for part, prefix in (("finish", ""), ("check", "check ")):
        before, after = old.get(part, {}), new.get(part, {})
        if not before or not after:
            words = (", ".join(said) or "off" for said in (before, after))
            changes += [Change(name=part, old=next(words), new=next(words))] if before or after else []
            continue
        for name in {**after, **before}:
            was, now = before.get(name), after.get(name)
            if was == now:
                continue
            if part == "check" and was and now and {**was, "then": ""} == {**now, "then": ""}:
                was, now = was["then"], now["then"]
            changes.append(Change(name=f"{prefix}{name}", old=_said(was), new=_said(now)))
    return tuple(changes)


def _said(value: Any) -> str:
    """Write a value of a recipe as people do."""
    if value is None or value is False:
        return "off"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {figure}" for name, figure in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _step_of(
    facts: TakeState, action: Action, reason: str, *, units: Decimal = NOTHING, changes: tuple[Change, ...] = ()
) -> Step:
    return Step(
        key=facts.take.key,
        action=action,
        reason=reason,
        external_id=facts.external_id,
        units=units,
        changes=changes,
        facts=facts,
    )


def _moved(facts: TakeState, entry: LockEntry) -> Step:
    old, new = entry.job_id, facts.take.job.id
    reason = f"job renamed: {old} -> {new}; the sound is adopted without paying"
    return _step_of(facts, Action.MOVED, reason, changes=(Change(name="id", old=old, new=new),))


def _unfinished(facts: TakeState, attempt: Attempt, retries: int, units: Decimal) -> Step:
    words = f"{attempt.code}: {attempt.message}" if attempt.code is not None else attempt.message
    match attempt.stage:
        case Stage.INTENT if kind_of(facts.take.job).external_id is None or not attempt.run_id:
            reason = f"its answer was lost and it cannot be looked for: {attempt.units} units may be paid; left unknown"
        case Stage.INTENT:
            reason = "its answer was lost: looked for on the service, sent again only if not there"
            return _step_of(facts, Action.RESUME, reason, units=units)
        case Stage.CREATED:
            reason = f"task {attempt.task_id} is on the service"
        case Stage.SUCCEEDED:
            reason = f"task {attempt.task_id} is done and paid for; its files are fetched"
        case Stage.REFUSED if attempt.code not in ABOUT_WORDS:
            return _step_of(facts, Action.RETRY, f"refused ({words}), which cost nothing: sent again", units=units)
        case Stage.FAILED if not attempt.final and attempt.attempt <= retries:
            step = _step_of(facts, Action.RETRY, f"attempt {attempt.attempt} failed ({words})", units=units)
            return replace(step, external_id=external_task_id(facts.take, attempt.attempt + 1))
        case _:
            reason = f"failed for good ({words}): nothing is sent; change the request or raise its edition"
            return _step_of(facts, Action.KEEP, reason)
    return _step_of(facts, Action.RESUME, reason)


def _edited(facts: TakeState) -> list[str]:
    return [f"{path} was edited, and is kept; --restore-edited puts the original back" for path in facts.edited]


def _lacking_reasons(facts: TakeState, lacking: Mapping[str, Presence]) -> list[str]:
    words = []
    for name, state in lacking.items():
        path = facts.take.path(name)
        known = facts.finished_files.get(name, facts.known_files.get(name))
        if state is Presence.NEVER:
            words.append(f"{path}: {name} is newly asked for, of a task that is paid for")
        elif state is Presence.MODIFIED:
            words.append(f"{path} was modified")
        elif state is Presence.EARLIER:
            words.append(f"{path}: another sound of this project stands there")
        elif known is not None and known.path != path:
            words.append(f"{path}: file was {known.path}")
        else:
            words.append(f"{path} is missing")
    words += [f"{facts.take.source_path(name)} is not there" for name, state in facts.sources.items() if state.lacks]
    return words


def _file_changes(facts: TakeState, lacking: Mapping[str, Presence]) -> tuple[Change, ...]:
    """Tell which fields of the manifest, other than the request, changed: `formats` and `file`."""
    changes = []
    known = facts.finished_files or facts.known_files
    if Presence.NEVER in lacking.values() and known:
        old, new = (", ".join(sorted(names)) for names in (known, facts.presence))
        changes.append(Change(name="formats", old=old, new=new))
    for name, record in known.items():
        if name in lacking and record.path != facts.take.path(name):
            changes.append(Change(name="file", old=record.path, new=facts.take.path(name)))
    return tuple(changes)


def _request_changes(take: Take, entry: LockEntry) -> tuple[Change, ...]:
    old, new = entry.request, take.job.request
    names = sorted({*old, *new}) if old != new else ()
    changes = [
        Change(name=name, old=_shown(old.get(name)), new=_shown(new.get(name)))
        for name in names
        if old.get(name) != new.get(name)
    ]
    if entry.edition != take.edition:
        changes.append(Change(name="edition", old=str(entry.edition), new=str(take.edition)))
    return tuple(changes)


def _new_reason(entry: LockEntry | None, changes: tuple[Change, ...]) -> str:
    if entry is None:
        return "new"
    return "changed: " + "; ".join(map(str, changes)) if changes else "new under this project's name"


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
