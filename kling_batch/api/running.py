"""A run, step by step: plan, consent, hold of the folder, work, reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from kling_batch.api.access import Access, Session, no_access, sandbox_access
from kling_batch.api.project import Project
from kling_batch.clock import SystemClock
from kling_batch.errors import BudgetStop
from kling_batch.events import Observer
from kling_batch.model import FileRecord
from kling_batch.planning.drift import frozen_drift, locked_drift
from kling_batch.planning.outlook import Outlook
from kling_batch.planning.plan import Action, Plan, Step
from kling_batch.records.journal import Journal
from kling_batch.records.lock import Lock, check_lock_place, update_lock
from kling_batch.records.looking import Snapshot, read_snapshot
from kling_batch.records.state import Presence
from kling_batch.records.store import Store
from kling_batch.report.facts import units_text
from kling_batch.running.ports import Options
from kling_batch.running.run import Outcome, Stopper
from kling_batch.running.run import run as run_plan
from kling_batch.running.standing import note_standing

_REPORTS = "reports"
"""The journal's note of which reports are there, so that those that say the same are not written again."""

Agree = Callable[[Plan, Outlook], None]
"""Is shown every plan before anything of it is done. Raises `BudgetStop` where nobody agrees to what it costs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A plan that can be carried out: it is agreed to, and nobody else works in its folder.

    `access` None: nobody is asked. `everything` tells that the plan covers the whole manifest; `expressions` are those
    by which its takes were chosen.
    """

    project: Project
    plan: Plan
    options: Options
    journal: Journal
    access: Access | None
    store: Store | None
    everything: bool
    expressions: tuple[str, ...] = ()

    async def work(self, observe: Observer, stopper: Stopper) -> Outcome:
        """Do what the plan says."""
        async with Session(self.access or no_access(), self.journal, self.store, observe) as ports:
            outcome = await run_plan(
                self.project.manifest,
                self.plan,
                self.project.lock,
                ports=ports,
                options=self.options,
                everything=self.everything,
                stopper=stopper,
            )
        return replace(outcome, result=replace(outcome.result, place=self.project.place))

    async def report(self, outcome: Outcome) -> None:
        """Write the reports, less those that say the same already, and note how everything stands now."""
        from kling_batch.report import PAGES, write_reports

        out = self.project.out
        written = write_reports(outcome.result, out, last=self.journal.get_meta(_REPORTS))
        await self.journal.set_meta(_REPORTS, written)
        await note_standing(
            self.journal,
            self.project.manifest,
            outcome,
            self.expressions,
            out=out,
            report=out / "report.json",
            pages=PAGES,
        )


class Running:
    """One run: plan, consent, and the hold of the folder in which it is carried out.

    Args:
        project: What is wanted, and where.
        options: How to do it.
        agree: Who agrees to what it costs.
        access: Gives the service and who asks it. Called only where there is something to ask.
        store: Where copies are kept.
        expressions: Which takes are meant; none means all.
        locked: End with drift where a paid call would be needed.
        change: What becomes of the lock first, once it is agreed to.
    """

    def __init__(
        self,
        project: Project,
        options: Options,
        *,
        agree: Agree,
        access: Callable[[], Access],
        store: Store | None,
        expressions: Sequence[str] = (),
        locked: bool = False,
        change: Callable[[Lock], Lock] | None = None,
    ) -> None:
        self.read = project
        self.options = options
        self.agree = agree
        self.access = access
        self.store = store
        self.expressions = expressions
        self.locked = locked
        self.change = change
        self.project = self._changed()

    @contextmanager
    def hold(self) -> Iterator[Held]:
        """Plan, agree, and keep every other run out of the folder for as long as the context lasts.

        Raises:
            BudgetStop: Nobody agreed to what it costs; nothing was sent or written.
            Drift: A paid call would be needed, or more than lock, disk and store.
            FolderHeld: Another run works in the folder.
        """
        snapshot = read_snapshot(self.project.out)
        plan = self._plan(snapshot)
        self._agree(plan, snapshot)
        access = self._access(plan)
        if not self.options.frozen:
            check_lock_place(self.project.lock_path)
        journal = Journal(self.project.out, now=SystemClock().time(), service=access.fingerprint if access else None)
        try:
            plan = self._held(journal, plan, unfinished=not (snapshot.last_run and snapshot.last_run.finished_at))
            yield Held(
                project=self.project,
                plan=plan,
                options=replace(self.options, retries=0) if self.locked else self.options,
                journal=journal,
                access=access,
                store=self.store,
                everything=not self.expressions,
                expressions=tuple(self.expressions),
            )
        finally:
            journal.close()

    def _changed(self) -> Project:
        return self.read if self.change is None else self.read.with_lock(self.change(self.read.lock))

    def _plan(self, snapshot: Snapshot) -> Plan:
        plan = self.project.plan(retries=self.options.retries, expressions=self.expressions, snapshot=snapshot)
        drift = frozen_drift(plan) if self.options.frozen else locked_drift(plan) if self.locked else None
        if drift is not None:
            raise drift
        return plan

    def _agree(self, plan: Plan, snapshot: Snapshot) -> None:
        self.agree(plan, self.project.outlook(snapshot, self.options.concurrency))

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
            lock = update_lock(self.project.lock_path, self.project.manifest.project, self.change)
            self.project = self.project.with_lock(lock)
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
        store = self.store
        if store is not None and store.has(file.sha256):
            return True
        moved = step.facts is not None and file.path != step.facts.take.path(file.format)
        return moved and (self.project.out / file.path).is_file()

    def _access(self, plan: Plan) -> Access | None:
        """Reach the service, unless there is nothing to ask it: a finished batch needs no keys."""
        if self.options.frozen:
            return None
        if self.project.sandbox:
            return sandbox_access()
        if all(step.action in {Action.KEEP, Action.DROP} for step in plan.steps):
            return None
        return self.access()


def nobody_agreed(plan: Plan, *, hint: str) -> BudgetStop:
    """Word the end of a run before it began: it would pay, or take something over, and nobody agreed to that."""
    if not plan.pays:
        renamed = plan.count(Action.MOVED)
        return BudgetStop(
            f"This run would take over {renamed} takes of renamed jobs, and nobody agreed to it.", hint=hint
        )
    amount = units_text(plan.units)
    return BudgetStop(f"This run would spend up to {amount} units, and nobody agreed to it.", hint=hint)
