"""A run from the command line: plan, consent, work, reports. Every command that works on the service goes this way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import click

from kling_batch.api.access import Access, Session, sandbox_access
from kling_batch.api.project import Project
from kling_batch.cli import catch_termination, show_error
from kling_batch.cli.environment import own_access
from kling_batch.cli.how import How
from kling_batch.cli.planning import MOST_ASKED, plan_lines, summary_lines, units_text
from kling_batch.cli.progress import Bar, Heartbeat, JsonLines, Lines, Tally
from kling_batch.clock import SystemClock
from kling_batch.engine.drift import frozen_drift, locked_drift
from kling_batch.engine.facts import Presence
from kling_batch.engine.plan import PAYING, Action, Plan, Step
from kling_batch.engine.ports import Options
from kling_batch.engine.run import Outcome, Stopper
from kling_batch.engine.run import run as run_plan
from kling_batch.engine.standing import note_standing
from kling_batch.errors import BudgetStop, Interrupted, KlingBatchError, Terminated
from kling_batch.events import Event
from kling_batch.files.lock import Lock, check_lock_place, write_lock
from kling_batch.files.store import Store
from kling_batch.journal.journal import Journal, Snapshot, read_snapshot
from kling_batch.model import FileRecord, RunResult, Status
from kling_batch.report.facts import money

_REPORTS = "reports"
"""The journal's note of which reports are there, so that those that say the same are not written again."""


class Worker:
    """Carries a plan out while somebody watches.

    Args:
        how: What is shown, among others.
        store: Where copies are kept.
        everything: Whether the plan covers the whole manifest.
    """

    def __init__(self, how: How, store: Store | None, *, everything: bool) -> None:
        self.how = how
        self.store = store
        self.everything = everything

    def work(self, project: Project, plan: Plan, options: Options, access: Access | None, journal: Journal) -> Outcome:
        """Do what a plan says. `access` None: nobody is asked."""
        try:
            return asyncio.run(self._work(project, plan, options, access or _no_access(), journal))
        finally:
            catch_termination()

    async def _work(self, project: Project, plan: Plan, options: Options, access: Access, journal: Journal) -> Outcome:
        tally = Tally()
        heartbeat = Heartbeat(tally, SystemClock())
        show = self._observer(tally, heartbeat)

        def observe(event: Event) -> None:
            tally(event)
            if show is not None:
                show(event)

        stopper = Stopper()
        _catch_signals(stopper)
        beating = asyncio.create_task(heartbeat.beat(), name="heartbeat") if show is heartbeat else None
        try:
            async with Session(access, journal, self.store, observe) as ports:
                return await run_plan(
                    project.manifest,
                    plan,
                    project.lock,
                    ports=ports,
                    options=options,
                    everything=self.everything,
                    stopper=stopper,
                )
        finally:
            if beating is not None:
                beating.cancel()

    def _observer(self, tally: Tally, heartbeat: Heartbeat) -> Callable[[Event], None] | None:
        if self.how.log_format == "json":
            return JsonLines()
        if self.how.quiet:
            return None
        if self.how.verbose:
            return Lines()
        return Bar(tally) if sys.stderr.isatty() else heartbeat


class Running:
    """One run: plan, consent, work, reports.

    Args:
        project: What is wanted, and where.
        how: How to do it.
        expressions: Which takes are meant; none means all.
        locked: End with drift where a paid call would be needed.
        frozen: Use lock, disk and store alone.
        change: What becomes of the lock first, once it is agreed to.
    """

    def __init__(
        self,
        project: Project,
        how: How,
        expressions: tuple[str, ...],
        *,
        locked: bool = False,
        frozen: bool = False,
        change: Callable[[Lock], Lock] | None = None,
    ) -> None:
        self.read = project
        self.how = how
        self.expressions = expressions
        self.locked = locked
        self.frozen = frozen
        self.change = change
        self.project = self._changed()
        self.worker = Worker(how, how.open_store(project), everything=not expressions)

    def go(self) -> Outcome:
        """Do it all.

        Raises:
            BudgetStop: Nobody agreed to what it costs; nothing was sent or written.
            Drift: A paid call would be needed, or more than lock, disk and store.
        """
        snapshot = read_snapshot(self.project.out)
        plan = self._plan(snapshot)
        self._agree(plan, snapshot)
        access = self._access(plan)
        if not self.frozen:
            check_lock_place(self.project.lock_path)
        journal = Journal(self.project.out, now=SystemClock().time(), service=access.fingerprint if access else None)
        try:
            plan = self._held(journal, plan, unfinished=not (snapshot.last_run and snapshot.last_run.finished_at))
            retries = 0 if self.locked else None
            options = self.how.options(self.project, retries=retries, frozen=self.frozen)
            outcome = self.worker.work(self.project, plan, options, access, journal)
            self._report(outcome, journal)
            asyncio.run(self._note_standing(outcome, journal))
        finally:
            journal.close()
        return outcome

    def _changed(self) -> Project:
        return self.read if self.change is None else self.read.with_lock(self.change(self.read.lock))

    def _plan(self, snapshot: Snapshot) -> Plan:
        plan = self.project.plan(retries=self.how.retries, expressions=self.expressions, snapshot=snapshot)
        drift = frozen_drift(plan) if self.frozen else locked_drift(plan) if self.locked else None
        if drift is not None:
            raise drift
        return plan

    def _held(self, journal: Journal, plan: Plan, *, unfinished: bool) -> Plan:
        """Plan again, now that nobody else works in the folder, if anything was different before."""
        if self.project.sandbox:
            journal.forget_unfinished()
        current = self.read.current()
        if current is not self.read or self.project.sandbox or unfinished:
            self.read = current
            self.project = self._changed()
            snapshot = read_snapshot(self.project.out)
            again = self._plan(snapshot)
            if again.units > plan.units:
                self._agree(again, snapshot)
            plan = again
        if self.project.sandbox:
            plan = self._without_gone(journal, plan)
        if self.change is not None:
            write_lock(self.project.lock_path, self.project.lock)
        return plan

    def _without_gone(self, journal: Journal, plan: Plan) -> Plan:
        """Make anew what an earlier sandbox made and nobody kept: that sandbox is gone, and nothing was paid."""
        gone = {step.key: step.external_id for step in plan.steps if self._is_gone(step)}
        if not gone:
            return plan
        journal.forget(gone.values())
        entries = {key: entry for key, entry in self.project.lock.entries.items() if key not in gone}
        self.project = self.project.with_lock(Lock(project=self.project.lock.project, entries=entries))
        return self._plan(read_snapshot(self.project.out))

    def _is_gone(self, step: Step) -> bool:
        if step.action is not Action.RESTORE or step.facts is None:
            return False
        lacking = [name for name, state in step.facts.presence.items() if state is not Presence.PRESENT]
        known = [step.facts.known_files.get(name) for name in lacking]
        return not all(file is not None and self._has(file, step) for file in known)

    def _has(self, file: FileRecord, step: Step) -> bool:
        """Whether a file's bytes stand somewhere: where it was before it was renamed, or in the store."""
        store = self.worker.store
        if store is not None and store.has(file.sha256):
            return True
        moved = step.facts is not None and file.path != step.facts.take.path(file.format)
        return moved and (self.project.out / file.path).is_file()

    def _access(self, plan: Plan) -> Access | None:
        """Reach the service, unless there is nothing to ask it: a finished batch needs no keys."""
        if self.frozen:
            return None
        if self.project.sandbox:
            return sandbox_access()
        if all(step.action in {Action.KEEP, Action.DROP} for step in plan.steps):
            return None
        return own_access()

    def _agree(self, plan: Plan, snapshot: Snapshot) -> None:
        """Show the plan, and ask where it pays or takes something over.

        Raises:
            BudgetStop: Nobody agreed.
        """
        outlook = self.project.outlook(snapshot, _number(self.how.concurrency))
        asks = any(step.action in PAYING or step.action is Action.MOVED for step in plan.steps)
        if not asks or self.how.consented or self.project.sandbox:
            if not self.how.quiet:
                click.echo("\n".join(summary_lines(plan, outlook)), err=True)
            return
        click.echo("\n".join(plan_lines(plan, outlook, most=MOST_ASKED)), err=True)
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise _nobody_agreed(plan)
        if not click.confirm(_question(plan), default=False, err=True):
            raise BudgetStop("Nothing was sent.", hint="Run it again and agree, or add --yes.")

    async def _note_standing(self, outcome: Outcome, journal: Journal) -> None:
        out = self.project.out
        await note_standing(
            journal, self.project.manifest, outcome, self.expressions, out=out, report=out / "report.json"
        )

    def _report(self, outcome: Outcome, journal: Journal) -> None:
        from kling_batch.report import write_reports

        written = write_reports(outcome.result, self.project.out, last=journal.get_meta(_REPORTS))
        asyncio.run(journal.set_meta(_REPORTS, written))
        if not self.how.quiet:
            click.echo(_summary(outcome.result), err=True)
            click.echo(f"Report: {self.project.out / 'report.html'}", err=True)
        for result in outcome.result.takes:
            if result.error is not None and not self.how.quiet:
                click.echo(f"  {result.take.key}: {result.error.message} {result.error.hint or ''}".rstrip(), err=True)
        if outcome.stopped is not None:
            show_error(outcome.stopped)


def _number(value: int | str | None) -> int | None:
    return value if isinstance(value, int) else None


def _question(plan: Plan) -> str:
    renamed = plan.count(Action.MOVED)
    parts = [f"take {renamed} renamed over without paying"] if renamed else []
    if any(step.action in PAYING for step in plan.steps):
        parts.append(f"spend up to {units_text(plan.units)} units")
    return f"{' and '.join(parts)}?".capitalize()


def _nobody_agreed(plan: Plan) -> BudgetStop:
    renamed = plan.count(Action.MOVED)
    takes_over = f" --yes takes the {renamed} of renamed jobs over without paying." if renamed else ""
    if not any(step.action in PAYING for step in plan.steps):
        message = f"This run would take over {renamed} takes of renamed jobs, and nobody agreed to it."
        return BudgetStop(message, hint=f"Look at it with kling-batch plan.{takes_over}")
    amount = units_text(plan.units)
    return BudgetStop(
        f"This run would spend up to {amount} units, and nobody agreed to it.",
        hint=f"Look at it with kling-batch plan; then add --yes, or --max-units {amount}.{takes_over}",
    )


def _summary(result: RunResult) -> str:
    counts = ", ".join(f"{count} {status.value}" for status in Status if (count := result.count(status)))
    seconds = result.finished_at - result.started_at
    return (
        f"{len(result.takes)} takes: {counts or 'none'}. "
        f"{money(result)}, {seconds:.1f} s, {result.api_requests} API requests."
    )


def _no_access() -> Access:
    """Stand in for a service that nobody will ask: a batch that is finished."""
    from kling_batch.service.auth import Keys

    return Access(base_url="https://nobody.invalid", keys=Keys(api_key="none"), fingerprint="")


def _catch_signals(stopper: Stopper) -> None:
    """Stop softly at the first signal: save, report, end. A second one ends at once: all that is known is saved."""
    loop = asyncio.get_running_loop()
    caught: list[int] = []

    def stop(number: signal.Signals, error: KlingBatchError) -> None:
        if caught:
            os._exit(int(error.exit_status))
        caught.append(number)
        click.echo("Stopping: saving what is known. Once more stops at once.", err=True)
        stopper.stop(error)

    hint = "Run the same command again: it resumes where this one stopped."
    errors = {
        signal.SIGINT: Interrupted("Interrupted.", hint=hint),
        signal.SIGTERM: Terminated("Terminated.", hint=hint),
    }
    for number, error in errors.items():
        try:
            loop.add_signal_handler(number, stop, number, error)
        except NotImplementedError:
            # Windows: KeyboardInterrupt ends the run, and the journal holds what is known.
            return
