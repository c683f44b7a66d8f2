"""Drift: what is asked for is not what is locked. For runs that must not pay, or must not even ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kling_batch.errors import Drift
from kling_batch.planning.plan import Action, Plan, Step
from kling_batch.records.state import Presence

_SHOWN = 20


def locked_drift(plan: Plan) -> Drift | None:
    """Name the takes for which a run would have to pay, or might have to."""
    lines = [f"  {step.key}: {step.reason}" for step in plan.steps if step.may_pay]
    if not lines:
        return None
    return Drift(
        _words("The lock does not cover what is asked for: a paid call would be needed for", lines),
        hint="Run without --locked to pay for it, then commit the lock; or take back the change to the manifest.",
    )


def frozen_drift(plan: Plan) -> Drift | None:
    """Name the takes that a lock, by what it says, cannot give."""
    lines = [f"  {step.key}: {words}" for step in plan.steps if (words := _not_given(step)) is not None]
    if not lines:
        return None
    return Drift(
        _words("The lock does not give what is asked for:", lines),
        hint="Run without --frozen, then commit the lock; or take back the change to the manifest.",
    )


def incomplete(undelivered: Sequence[tuple[str, str]]) -> Drift:
    """Name the takes, each with a reason, whose files neither disk nor store had."""
    return Drift(
        _words("Lock, disk and store do not give", [f"  {key}: {reason}" for key, reason in undelivered]),
        hint="kling-batch restore asks the service for them as well, and pays nothing.",
    )


def _not_given(step: Step) -> str | None:
    if step.action is Action.DROP or (step.action is Action.KEEP and not step.failed):
        return None
    lacks_a_format = step.facts is not None and Presence.NEVER in step.facts.presence.values()
    return None if step.action is Action.RESTORE and not lacks_a_format else step.reason


def _words(head: str, lines: Iterable[str]) -> str:
    listed = list(lines)
    noun = "take" if len(listed) == 1 else "takes"
    more = [f"  and {len(listed) - _SHOWN} more"] if len(listed) > _SHOWN else []
    return "\n".join([f"{head} {len(listed)} {noun}", *listed[:_SHOWN], *more])
