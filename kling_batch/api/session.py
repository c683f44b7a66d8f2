"""A session with everything real around it: the system's clock, the network, the disk, the reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kling_batch.api.access import Access, no_access, sandbox_access
from kling_batch.clock import SystemClock
from kling_batch.errors import BudgetStop
from kling_batch.model import RunResult
from kling_batch.planning.plan import Action, Plan, Step
from kling_batch.planning.project import Project
from kling_batch.records.journal import Journal
from kling_batch.records.lock import Lock
from kling_batch.records.store import Store
from kling_batch.report.facts import units_text
from kling_batch.running.ports import Options
from kling_batch.running.session import Agree, Session


def session_of(
    project: Project,
    options: Options,
    *,
    agree: Agree,
    access: Callable[[], Access],
    store: Store | None,
    change: Callable[[Lock], Lock] | None = None,
    only: Callable[[Step], bool] | None = None,
) -> Session:
    """Make a session; see `Session` for what it is given. A project of the sandbox has one in the process."""
    return Session(
        project,
        options,
        agree=agree,
        access=sandbox_access if project.sandbox else access,
        nobody=no_access(),
        open_journal=lambda out: Journal(out, now=SystemClock().time(), service=None),
        report=_report,
        store=store,
        change=change,
        only=only,
    )


def _report(result: RunResult, out: Path, *, last: str | None) -> str:
    from kling_batch.report import write_reports

    return write_reports(result, out, last=last)


def nobody_agreed(plan: Plan, *, hint: str) -> BudgetStop:
    """Word the end of a run before it began: it would pay, or take something over, and nobody agreed to that."""
    if not plan.pays:
        renamed = plan.count(Action.MOVED)
        return BudgetStop(
            f"This run would take over {renamed} takes of renamed jobs, and nobody agreed to it.", hint=hint
        )
    amount = units_text(plan.units)
    return BudgetStop(f"This run would spend up to {amount} units, and nobody agreed to it.", hint=hint)
