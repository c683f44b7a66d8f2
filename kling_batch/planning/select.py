"""Choosing takes by an expression: id globs, `tag:`, `status:`, `changed`. Plain functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kling_batch.errors import UsageError
from kling_batch.model import Status, Take
from kling_batch.planning.plan import Action, Plan, Step
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.records.state import TakeState

_SHOWN = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A take with what an expression may ask of it."""

    take: Take
    status: Status
    changed: bool


def candidate(step: Step, facts: TakeState) -> Candidate:
    """Make a candidate of a plan's step."""
    changed = step.action is Action.MOVED or (step.action is Action.GENERATE and facts.entry is not None)
    return Candidate(take=facts.take, status=status_of(facts), changed=changed)


def status_of(facts: TakeState) -> Status:
    """Where a take stands by what is known before a run."""
    if facts.moved is not None:
        return Status.PENDING
    if facts.finished is not None or (facts.attempt is not None and facts.attempt.stage is Stage.DELIVERED):
        return Status.SUCCEEDED
    return attempt_status(facts.attempt)


def attempt_status(attempt: Attempt | None) -> Status:
    """Where a take stands by its latest attempt."""
    if attempt is None:
        return Status.PENDING
    if attempt.stage is Stage.INTENT:
        return Status.UNKNOWN
    if attempt.stage in {Stage.FAILED, Stage.REFUSED}:
        return Status.FAILED
    return Status.SUCCEEDED if attempt.stage is Stage.DELIVERED else Status.PENDING


def select(plan: Plan, expressions: Sequence[str]) -> Plan:
    """Keep the steps that match any of the expressions; with none, all. What is dropped stays only then.

    The terms of one expression stand between commas, and all of them have to hold.

    Raises:
        UsageError: An expression is malformed or matches nothing; the message says what there is.
    """
    if not expressions:
        return plan
    candidates = [(step, candidate(step, step.facts)) for step in plan.steps if step.facts is not None]
    chosen: set[int] = set()
    for expression in expressions:
        matching = {index for index, (_, one) in enumerate(candidates) if _matches(expression, one)}
        if not matching:
            raise UsageError(f"--select {expression!r} matches nothing.", hint=_there_is(one for _, one in candidates))
        chosen |= matching
    return Plan(steps=tuple(step for index, (step, _) in enumerate(candidates) if index in chosen))


def _matches(expression: str, one: Candidate) -> bool:
    return all(_term(term.strip(), one) for term in expression.split(","))


def _term(term: str, one: Candidate) -> bool:
    if term == "changed":
        return one.changed
    if term.startswith("tag:"):
        return any(fnmatchcase(tag, term.removeprefix("tag:")) for tag in one.take.job.tags)
    if term.startswith("status:"):
        wanted = term.removeprefix("status:")
        if wanted not in {status.value for status in Status}:
            allowed = ", ".join(status.value for status in Status)
            raise UsageError(f"--select: there is no status {wanted!r}.", hint=f"Use one of: {allowed}.")
        return one.status.value == wanted
    if not term:
        raise UsageError(
            "--select: an expression is empty.", hint="Give an id, a glob, tag:NAME, status:NAME or changed."
        )
    return fnmatchcase(one.take.job.id, term) or fnmatchcase(str(one.take.key), term)


def _there_is(candidates: Iterable[Candidate]) -> str:
    ids: dict[str, None] = {}
    tags: dict[str, None] = {}
    statuses: dict[str, None] = {}
    for one in candidates:
        ids[one.take.job.id] = None
        tags |= dict.fromkeys(one.take.job.tags)
        statuses[one.status.value] = None
    words = [f"the ids {_some(list(ids))}", *([f"the tags {_some(list(tags))}"] if tags else [])]
    return f"There are {', '.join(words)}, and the statuses {', '.join(statuses)}."


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
