"""Choosing takes by an expression: id globs, `tag:`, `status:`, `changed`. Plain functions."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from kling_batch.errors import UsageError
from kling_batch.model import Status, TakeKey, rejecting
from kling_batch.planning.plan import Action, Plan
from kling_batch.records.attempts import Stage
from kling_batch.records.state import TakeState
from kling_batch.text import some

_SHOWN = 12


def status_of(facts: TakeState) -> Status:
    """Say where a take stands by what is known before a run."""
    stage = facts.attempt.stage if facts.attempt is not None else None
    if facts.moved is not None:
        return Status.PENDING
    if rejecting(facts.remarks):
        return Status.FAILED
    if facts.finished is not None or stage is Stage.DELIVERED:
        return Status.SUCCEEDED
    if stage is Stage.INTENT:
        return Status.UNKNOWN
    return Status.FAILED if stage in {Stage.FAILED, Stage.REFUSED} else Status.PENDING


def select(plan: Plan, expressions: Sequence[str]) -> Plan:
    """Keep the steps that match any of the expressions; with none, all. What is dropped stays only then.

    The terms of one expression stand between commas, and all of them have to hold.

    Raises:
        UsageError: An expression is malformed or matches nothing; the message says what there is.
    """
    if not expressions:
        return plan
    asked_for = [(step, step.facts) for step in plan.steps if step.facts is not None]
    chosen: set[TakeKey] = set()
    for expression in expressions:
        terms = [term.strip() for term in expression.split(",")]
        matching = {step.key for step, facts in asked_for if all(_matches(term, step.action, facts) for term in terms)}
        if not matching:
            hint = _there_is([facts for _, facts in asked_for])
            raise UsageError(f"--select {expression!r} matches nothing.", hint=hint)
        chosen |= matching
    return Plan(steps=tuple(step for step, _ in asked_for if step.key in chosen))


def _matches(term: str, action: Action, facts: TakeState) -> bool:
    take = facts.take
    if term == "changed":
        return action in {Action.MOVED, Action.FINISH} or (action is Action.GENERATE and facts.entry is not None)
    if term.startswith("tag:"):
        return any(fnmatchcase(tag, term.removeprefix("tag:")) for tag in take.job.tags)
    if term.startswith("status:"):
        wanted = term.removeprefix("status:")
        if wanted not in {status.value for status in Status}:
            allowed = ", ".join(status.value for status in Status)
            raise UsageError(f"--select: there is no status {wanted!r}.", hint=f"Use one of: {allowed}.")
        return status_of(facts).value == wanted
    if not term:
        raise UsageError(
            "--select: an expression is empty.", hint="Give an id, a glob, tag:NAME, status:NAME or changed."
        )
    return fnmatchcase(take.job.id, term) or fnmatchcase(str(take.key), term)


def _there_is(known: Sequence[TakeState]) -> str:
    ids = dict.fromkeys(facts.take.job.id for facts in known)
    tags = dict.fromkeys(tag for facts in known for tag in facts.take.job.tags)
    statuses = dict.fromkeys(status_of(facts).value for facts in known)
    words = [f"the ids {some(ids, _SHOWN)}", *([f"the tags {some(tags, _SHOWN)}"] if tags else [])]
    return f"There are {', '.join(words)}, and the statuses {', '.join(statuses)}."
