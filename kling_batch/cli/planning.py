"""A plan in words and as JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from kling_batch.engine.plan import PAYING, Action, Plan

USD_PER_UNIT = Decimal("0.14")
"""The list price of a unit, by two readings of the official price page; what an account pays may differ."""

_SIGNS = {
    Action.GENERATE: "+",
    Action.RETRY: "+",
    Action.RESUME: "~",
    Action.RESTORE: "<",
    Action.KEEP: "=",
    Action.DROP: "-",
}
_VERBS = {
    Action.GENERATE: "to generate",
    Action.RETRY: "to try again",
    Action.RESUME: "to resume",
    Action.RESTORE: "to restore",
    Action.KEEP: "to keep",
    Action.DROP: "to drop",
}


def units_text(units: Decimal) -> str:
    """Write units with two decimals at least: `0.25`, `2.00`, `0.125`."""
    return f"{units:.2f}" if units == units.quantize(Decimal("0.01")) else f"{units.normalize():f}"


def plan_json(plan: Plan) -> dict[str, Any]:
    """Give the plan in the contract's shape, as `schemas/plan.schema.json` describes it."""
    counts = {action.value: plan.count(action) for action in Action}
    return {
        "schema_version": 1,
        "summary": {**counts, "units": units_text(plan.units), "usd": _usd(plan.units)},
        "takes": [
            {
                "job_id": step.key.job_id,
                "take": step.key.number,
                "action": step.action.value,
                "reason": step.reason,
                "external_task_id": step.external_id,
                "units": units_text(step.units),
            }
            for step in plan.steps
        ],
    }


def plan_lines(plan: Plan, *, keep: bool = False) -> list[str]:
    """Write the plan for people: what changes take by take, then the sum. `keep` lists what stays as well."""
    shown = [step for step in plan.steps if keep or step.action is not Action.KEEP or "failed" in step.reason]
    width = max((len(str(step.key)) for step in shown), default=0)
    lines = [f"  {_SIGNS[step.action]} {step.key!s:<{width}}  {step.action.value:<8}  {step.reason}" for step in shown]
    return [*lines, *([""] if lines else []), summary_line(plan)]


def summary_line(plan: Plan) -> str:
    """Write the plan's sum."""
    counts = [f"{count} {_VERBS[action]}" for action in Action if (count := plan.count(action))]
    cost = f"at most {units_text(plan.units)} units (about ${_usd(plan.units)} at list price)"
    paying = any(step.action in PAYING for step in plan.steps)
    return f"Plan: {', '.join(counts) or 'nothing to do'}; " + (cost if paying else "nothing to pay") + "."


def _usd(units: Decimal) -> str:
    return f"{units * USD_PER_UNIT:.2f}"
