"""A plan in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from kling_batch.catalog import kind, kind_of
from kling_batch.cli.output import Line, Tone, Toned
from kling_batch.planning.drift import locked_drift
from kling_batch.planning.outlook import Outlook
from kling_batch.planning.plan import Action, Plan, Step, clones, cost_by_kind, overwritten
from kling_batch.planning.spending import Budget
from kling_batch.report.facts import units_text
from kling_batch.report.markdown import escaped, table
from kling_batch.text import counted

USD_PER_UNIT = Decimal("0.14")
"""The list price of a unit, by two readings of the official price page; what an account pays may differ."""
MOST_ASKED = 30
"""Takes of each group that are listed before a question."""

_SHOWN = {
    Action.GENERATE: ("+", "to generate", Tone.NEW),
    Action.RETRY: ("+", "to try again", Tone.NEW),
    Action.RESUME: ("~", "to resume", Tone.UNDER_WAY),
    Action.MOVED: (">", "to take over under a new name", Tone.UNDER_WAY),
    Action.FINISH: ("*", "to finish", Tone.UNDER_WAY),
    Action.RESTORE: ("<", "to restore", Tone.UNDER_WAY),
    Action.KEEP: ("=", "to keep", Tone.WRONG),
    Action.DROP: ("-", "to drop", Tone.CAUTION),
}
"""What a plan says of each action: its sign, the words for it, and its tone."""
_WIDEST_KEY = 40
_MINUTE_S = 60
_HOUR_S = 3600


def plan_json(plan: Plan, outlook: Outlook) -> dict[str, Any]:
    """Give the plan in the contract's shape, as `schemas/plan.schema.json` describes it."""
    seconds = outlook.seconds(plan)
    return {
        "schema_version": 1,
        "summary": {
            **{action.value: plan.count(action) for action in Action},
            "units": units_text(plan.units),
            "kinds": {name: _paid(takes, units) for name, (takes, units) in cost_by_kind(plan).items()},
            "usd": _usd(plan.units),
            "units_per_take": units_text(outlook.units),
            "list_units_per_take": units_text(outlook.list_units),
            "seconds": None if seconds is None else round(seconds, 1),
            "concurrency": outlook.at_once,
            "units_spent": units_text(outlook.budget.spent_whole),
            "units_spent_this_run": units_text(outlook.budget.spent),
            "max_units_left": _left(outlook.budget.run_left),
            "max_total_units_left": _left(outlook.budget.whole_left),
        },
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
        "clones": [
            {"job_id": take.key.job_id, "take": take.key.number, "name": kind_of(take.job).words_of(take.job)}
            for take in clones(plan)
        ],
    }


def _paid(takes: int, units: Decimal) -> dict[str, Any]:
    return {"takes": takes, "units": units_text(units)}


def plan_lines(plan: Plan, outlook: Outlook, *, sandbox: bool, most: int | None = None) -> Iterator[Line]:
    """Write the plan for people: what changes, in groups by what is done, then the sum. `most` limits each group."""
    for action in Action:
        groups: dict[str, list[Step]] = {}
        for step in plan.steps:
            if step.action is action and (heading := _heading(step)):
                groups.setdefault(heading, []).append(step)
        for heading, steps in groups.items():
            yield from _group(steps, heading, most)
    yield from summary_lines(plan, outlook, sandbox=sandbox)


def plan_markdown(project: str, plan: Plan, outlook: Outlook, *, sandbox: bool) -> str:
    """Write the plan for a pull request or a CI's summary page: its sum, the drift, and by job what changes and why."""
    groups: dict[tuple[str, str], list[Step]] = {}
    for step in plan.steps:
        if heading := _heading(step):
            groups.setdefault((step.key.job_id, heading), []).append(step)

    def cells(steps: list[Step]) -> Iterable[str]:
        units = Decimal(0) if sandbox else sum((step.units for step in steps), Decimal(0))
        reasons = dict.fromkeys(step.reason for step in steps)
        return steps[0].key.job_id, f"{len(steps)} {_heading(steps[0])}", units_text(units), "; ".join(reasons)

    drift = locked_drift(plan)
    covered = drift.message.partition("\n")[0] if drift else "The lock covers what is asked for"
    lines = [f"{project}: plan", *summary_lines(plan, outlook, sandbox=sandbox), f"Drift: {covered}."]
    columns, rest = ("job", "takes", "units", "why"), "kling-batch plan lists them"
    by_job = table("By job", columns, list(groups.values()), cells, rest=rest)
    return "# " + "\n\n".join(map(escaped, lines)) + "\n" + "".join(by_job)


def _heading(step: Step) -> str | None:
    """Word what is done with a take, below which a plan lists it; None for one that is kept as it is."""
    if step.action is not Action.KEEP:
        return _SHOWN[step.action][1]
    if step.failed:
        rejected = step.facts is not None and step.facts.rejected
        return "that were rejected and are left" if rejected else "that failed for good and are left"
    return "with files that were edited, and are kept" if step.facts and step.facts.edited else None


def _group(steps: list[Step], heading: str, most: int | None) -> Iterator[Line]:
    yield [Toned(f"{counted(len(steps), 'take')} {heading}:", bold=True)]
    shown = steps[:most]
    width = min(_WIDEST_KEY, max((len(str(step.key)) for step in shown if not _by_field(step)), default=0))
    for step in shown:
        yield from _step_lines(step, width)
    if len(steps) > len(shown):
        yield f"    … and {len(steps) - len(shown)} more: kling-batch plan lists them"
    yield ""


def _step_lines(step: Step, width: int) -> Iterator[Line]:
    """Write a step: on a line its reason, or under it a line for every field that changed."""
    sign, _, tone = _SHOWN[step.action]
    sign = "!" if step.action is Action.KEEP else sign
    if not _by_field(step):
        yield ["  ", Toned(f"{sign} {step.key!s:<{width}}", tone), f"  {step.reason}"]
        return
    yield ["  ", Toned(f"{sign} {step.key}", tone)]
    name_width = max(len(change.name) for change in step.changes)
    for change in step.changes:
        yield f"      ~ {change.name:<{name_width}}  {change.old} -> {change.new}"
    yield from (f"      ! {words}" for words in overwritten(step.facts))


def _by_field(step: Step) -> bool:
    return step.action is Action.GENERATE and bool(step.changes)


def summary_lines(plan: Plan, outlook: Outlook, *, sandbox: bool) -> list[str]:
    """Write the plan's sum: what is done, what it costs, how long it takes. A sandbox costs nothing."""
    counts = [f"{count} {_SHOWN[action][1]}" for action in Action if (count := plan.count(action))]
    lines = [f"Plan: {', '.join(counts) or 'nothing to do'}; {'sandbox: nothing to pay' if sandbox else _cost(plan)}."]
    costs = {} if sandbox else cost_by_kind(plan)
    if len(costs) > 1:
        parts = (
            f"{name}: {counted(takes, 'take')}, {units_text(units)} units" for name, (takes, units) in costs.items()
        )
        lines.append(f"By kind: {'; '.join(parts)}.")
    elif any(outlook.units != outlook.list_units == kind(name).units for name in costs):
        lines.append(
            f"Price: {units_text(outlook.units)} units a take, by what {counted(outlook.samples, 'take')} "
            f"of this project cost; the list says {units_text(outlook.list_units)}."
        )
    if takes := clones(plan):
        named = ", ".join(f"{take.key} ({kind_of(take.job).words_of(take.job)})" for take in takes)
        lines.append(f"Voices to clone, which needs --voice-rights: {named}.")
    if not sandbox:
        lines += _budget_lines(plan, outlook.budget)
    seconds = outlook.seconds(plan)
    if seconds:
        lines.append(
            f"Time: about {_span(seconds)} of generation, {outlook.at_once} at once; "
            f"a take of this project took {outlook.generation_s:.0f} s by median."
        )
    return lines


def _budget_lines(plan: Plan, budget: Budget) -> Iterator[str]:
    """Say what is left of each cap, and what was spent of it: by a run that this one goes on with, and by the set."""
    if budget.run is not None:
        spent = f", {units_text(budget.spent)} were spent by the run that it goes on with" if budget.spent else ""
        yield f"This run: {_left(budget.run_left)} of {units_text(budget.run)} units are left{spent}."
    if budget.whole is not None:
        spent = f", {units_text(budget.spent_whole)} are spent"
        yield f"The set: {_left(budget.whole_left)} of {units_text(budget.whole)} units are left{spent}."
    if not budget.affords(plan.units):
        yield "The plan may cost more than is left: then it ends with exit status 4, and what is done stays done."


def _left(units: Decimal | None) -> str | None:
    return None if units is None else units_text(units)


def _cost(plan: Plan) -> str:
    if not plan.pays:
        return "nothing to pay"
    return f"at most {units_text(plan.units)} units (about ${_usd(plan.units)} at list price)"


def _span(seconds: float) -> str:
    if seconds >= _HOUR_S:
        return f"{seconds / _HOUR_S:.1f} h"
    return f"{seconds / _MINUTE_S:.0f} min" if seconds >= 2 * _MINUTE_S else f"{seconds:.0f} s"


def _usd(units: Decimal) -> str:
    return str((units * USD_PER_UNIT).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))
