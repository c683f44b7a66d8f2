"""Drift: what is asked for is not what is locked. For runs that must not pay, or must not even ask."""

from __future__ import annotations

from collections.abc import Sequence

from kling_batch.errors import Drift
from kling_batch.planning.plan import Action, Plan, Step
from kling_batch.records.state import Presence
from kling_batch.text import counted

_SHOWN = 20


def locked_drift(plan: Plan) -> Drift | None:
    """Name the takes for which a run would have to pay, or might have to."""
    return _drift(
        "The lock does not cover what is asked for: a paid call would be needed for",
        [f"{step.key}: {step.reason}" for step in plan.steps if step.may_pay],
        hint="Run without --locked to pay for it, then commit the lock; or take back the change to the manifest.",
    )


def frozen_drift(plan: Plan) -> Drift | None:
    """Name the takes that a lock, by what it says, cannot give."""
    return _drift(
        "The lock does not give what is asked for:",
        [f"{step.key}: {step.reason}" for step in plan.steps if _is_not_given(step)],
        hint="Run without --frozen, then commit the lock; or take back the change to the manifest.",
    )


def incomplete(undelivered: Sequence[tuple[str, str]]) -> Drift | None:
    """Name the takes, each with a reason, whose files neither disk nor store had."""
    return _drift(
        "Lock, disk and store do not give",
        [f"{key}: {reason}" for key, reason in undelivered],
        hint="kling-batch restore asks the service for them as well, and pays nothing.",
    )


def _is_not_given(step: Step) -> bool:
    if step.action is Action.RESTORE:
        return step.facts is not None and Presence.NEVER in step.facts.presence.values()
    return step.failed or step.action not in {Action.KEEP, Action.DROP}


def _drift(head: str, takes: Sequence[str], *, hint: str) -> Drift | None:
    if not takes:
        return None
    more = [f"  and {len(takes) - _SHOWN} more"] if len(takes) > _SHOWN else []
    listed = [f"  {take}" for take in takes[:_SHOWN]]
    return Drift("\n".join([f"{head} {counted(len(takes), 'take')}", *listed, *more]), hint=hint)
