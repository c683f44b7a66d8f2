"""How a project stands, told again from journal and lock, without a run."""

from __future__ import annotations

from collections.abc import Sequence

from kling_batch.model import Origin, RunResult, Status, TakeResult, rejecting
from kling_batch.planning.earlier import earlier_sounds
from kling_batch.planning.picks import notes_of, recorded
from kling_batch.planning.plan import Step
from kling_batch.planning.project import Project
from kling_batch.planning.select import status_of
from kling_batch.planning.spending import budget
from kling_batch.records.attempts import Stage
from kling_batch.records.snapshot import Snapshot
from kling_batch.running.endings import exit_status_of, failure
from kling_batch.running.work import Work, work_of


def recount(
    project: Project, expressions: Sequence[str] = (), snapshot: Snapshot | None = None, *, now: float
) -> RunResult:
    """Tell the latest run's result again.

    Args:
        project: What is wanted, and where.
        expressions: Which takes are meant; none means all.
        snapshot: The journal, if it was read a moment ago.
        now: When a run that was killed counts as ended, in Unix seconds.
    """
    snapshot = snapshot or project.snapshot()
    plan = project.plan(retries=0, expressions=expressions, snapshot=snapshot)
    manifest, run = project.manifest, snapshot.last_run
    takes = tuple(_result(step, run.id if run else 0) for step in plan.steps if step.facts is not None)
    spent = budget(project.lock, snapshot, since=run.started_at if run else now)
    return RunResult(
        project=manifest.project,
        manifest=manifest.path,
        started_at=run.started_at if run else now,
        finished_at=run.finished_at if run and run.finished_at is not None else now,
        exit_status=(
            run.exit_status
            if run and run.exit_status is not None
            else exit_status_of(None, (take.status for take in takes))
        ),
        takes=takes,
        api_requests=run.api_requests if run else 0,
        limits=run.limits if run else (),
        picks=recorded(plan.steps),
        notes=notes_of(plan.steps),
        earlier=earlier_sounds(project.lock, {take.take.key for take in takes}, project.out),
        place=project.place,
        sandbox=project.sandbox,
        units=spent.spent_whole,
        units_this_run=spent.spent,
        note=run.note if run else None,
    )


def _result(step: Step, latest_run: int) -> TakeResult:
    facts = step.facts
    assert facts is not None  # noqa: S101 - its caller leaves out what is dropped
    work: Work = work_of(step, facts, run_id=0, order=0)
    if facts.attempt is not None and facts.attempt.stage in {Stage.FAILED, Stage.REFUSED}:
        work.row = facts.attempt
        work.error = failure(work.row)
    work.status = status_of(facts)
    if work.status is Status.SUCCEEDED or rejecting(facts.remarks):
        work.origin = Origin.GENERATED if work.row.run_id == latest_run and latest_run else Origin.KEPT
        work.as_known()
    return work.result()
