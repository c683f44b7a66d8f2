"""The only way into a run: open, plan, consent, hold, plan again, execute, report.

A question may be asked before the folder is held; what is done is planned from journal, lock and disk as they are once
it is held, every time. What that costs beyond what was agreed to is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from math import inf
from pathlib import Path
from typing import Protocol, Self

from kling_batch.catalog import kind_of
from kling_batch.errors import BudgetStop, DiskUnusable, LockInvalid, UsageError
from kling_batch.events import Observer, Staffed, Warned, best_effort
from kling_batch.model import NOTHING, InputFile, RunResult
from kling_batch.planning.drift import frozen_drift, locked_drift
from kling_batch.planning.outlook import Outlook
from kling_batch.planning.plan import Action, Plan, Step, clones
from kling_batch.planning.project import Project
from kling_batch.planning.sources import SERVICE, sources
from kling_batch.planning.spending import Budget, budget
from kling_batch.records.account import AccountMemory
from kling_batch.records.attempts import Attempt
from kling_batch.records.journal import Journal
from kling_batch.records.lease import Lease
from kling_batch.records.lock import Lock, check_lock_place, update_lock
from kling_batch.records.shared_lock import SharedLock
from kling_batch.records.snapshot import Snapshot
from kling_batch.records.store import Store
from kling_batch.running.crew import OpenCrew
from kling_batch.running.endings import another_account
from kling_batch.running.fence import FencedService
from kling_batch.running.knowledge import made_all, unanswered_rows
from kling_batch.running.options import Options
from kling_batch.running.ports import Access, Ports
from kling_batch.running.reading import Reader
from kling_batch.running.run import Outcome, Run, Stopper
from kling_batch.running.uploads import UploadingService

_REPORTS = "reports"
"""The journal's note of which reports are there, so that those that say the same are not written again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """What the machines of a team have in common in object storage.

    `lease_of` gives the lease of the set for an account, by its fingerprint; `lock` is the set's lock there.
    """

    lease_of: Callable[[str], Lease]
    lock: SharedLock


Agree = Callable[[Plan, Outlook], None]
"""Is shown a plan before anything of it is done. Raises `BudgetStop` where nobody agrees to what it costs."""


class Report(Protocol):
    """Writes the reports of a run; gives a note by which it knows those that say the same already."""

    def __call__(self, result: RunResult, out: Path, *, last: str | None) -> str:
        """Write them."""
        ...


@dataclass(kw_only=True, eq=False)
class Session:
    """One run, for the command line, for other programs and for the simulation.

    Args:
        project: What is wanted, and where.
        options: How to do it.
        agree: Who agrees to what it costs.
        access: Gives the service and who asks it. Called only where there is something to ask.
        nobody: Stands in for a service that is not asked.
        open_journal: Opens the journal of an output folder, and keeps every other run out of it.
        report_to: Writes the reports.
        store: Where copies are kept.
        team: What machines have in common, where they do.
        crew: Gives workers; None has none.
        tell: Is told whom a run waits for before it begins.
        change: What becomes of the lock first, once it is agreed to.
        at_hand: Whether disk and store have to do: the service is not asked.
        only: Which steps of the plan are carried out; the others are in `left_out`. None means all.
    """

    project: Project
    options: Options
    agree: Agree
    access: Callable[[], Access]
    nobody: Access
    open_journal: Callable[[Path], Journal]
    report_to: Report
    store: Store | None
    team: Team | None = None
    crew: OpenCrew | None = None
    tell: Callable[[str], None] = lambda _: None
    change: Callable[[Lock], Lock] | None = None
    at_hand: bool = False
    only: Callable[[Step], bool] | None = None

    plan: Plan = field(default=Plan(steps=()), init=False)
    left_out: tuple[Step, ...] = field(default=(), init=False)
    _agreed: Plan | None = field(default=None, init=False)
    _journal: Journal = field(init=False)
    _lease: Lease | None = field(default=None, init=False)
    _knows_all: bool = field(default=False, init=False)
    _snapshot: Snapshot = field(init=False)

    def __post_init__(self) -> None:
        self._asked = self.nobody
        self._read = self.project
        self.project = self._changed()

    def consent(self) -> None:
        """Plan from what is there now, and ask whether to do it. Nothing is held meanwhile: a person may take long.

        Raises:
            BudgetStop: Nobody agreed to what it costs; nothing was sent or written.
            Drift: A paid call would be needed, or more than lock, disk and store.
        """
        snapshot = self.project.snapshot()
        snapshot = replace(snapshot, attempts=snapshot.attempts | self._unanswered(snapshot))
        self._ask(self._made(snapshot), snapshot)

    @contextmanager
    def hold(self) -> Iterator[Self]:
        """Keep every other run out for as long as the context lasts, and plan what is done in it.

        That is any run in this folder; and, where there is a team and the run may pay, any of this set.

        Raises:
            BudgetStop: It costs more than was agreed to; nothing was sent.
            Drift: A paid call would be needed, or more than lock, disk and store.
            FolderHeld: Another run works in the folder.
            LeaseHeld: Another run of the team works on the set.
            UsageError: There are no keys.
        """
        options = self.options
        if self._agreed is None and (options.locked or options.frozen or not options.consented):
            self.consent()
        if not options.frozen:
            check_lock_place(self.project.lock_path)
        self._journal = self.open_journal(self.project.out)
        with ExitStack() as held:
            held.callback(self._journal.close)
            self.project.check_folder(self._journal.get_meta("service"), self._journal.get_meta("manifest"))
            self._journal.claim(self.project.manifest_from_out)
            self._plan_again()
            if self.team is not None and self._may_send():
                held.enter_context(self._alone(self.team))
                self._plan_again()
            self._agree_again()
            yield self

    async def execute(self, observe: Observer, stopper: Stopper) -> Outcome:
        """Do what the plan says. Only while the folder is held.

        Raises:
            UsageError: The folder belongs to another account.
            AccountStop: The service does not accept the keys.
        """
        async with AsyncExitStack() as stack:
            ports = await stack.enter_async_context(self._asked.open(self._journal, self.store, best_effort(observe)))
            ports = await self._staffed(ports, stack)
            patience_s = self.options.patience_s
            reader = Reader(ports.service, ports.clock, ports.rng, ports.observe, patience_s=patience_s)
            if self._asked.fingerprint:
                await self._bind(reader, stopper)
            self._change_lock()
            run = Run(
                manifest=self.project.manifest,
                plan=self.plan,
                lock=self.project.lock,
                known=self._snapshot.attempts,
                ports=self._guarded(ports, stopper),
                reader=reader,
                options=replace(self.options, retries=0) if self.options.locked else self.options,
                budget=self._budget(self._snapshot, ports.clock.time()),
                spends=self.only is None,
                everything=not self.options.select and self.only is None,
                unanswered=self._calls(),
                vouched_for=self._lease is not None and self._lease.claim.vouches_for(self._journal.token()),
                memory=self._asked.memory,
                stopper=stopper,
                offline=self._asked is self.nobody,
            )
            outcome = await run.execute()
            self._knows_all = run.knows_all()
            if self._lease is not None:
                self._lease.calls = run.unanswered
        return replace(outcome, result=self._told(outcome.result))

    async def report(self, outcome: Outcome) -> None:
        """Write the reports, less those that say the same already. Only while the folder is held."""
        written = self.report_to(outcome.result, self.project.out, last=self._journal.get_meta(_REPORTS))
        with suppress(DiskUnusable):  # then they are written again by the next run
            await self._journal.set_meta(_REPORTS, written)

    def _may_send(self) -> bool:
        """Whether a paid call may come of the plan, also where a task fails that was sent before."""
        never = self.options.locked or self.options.frozen or self.only is not None
        return not never and any(step.may_pay or step.action is Action.RESUME for step in self.plan.steps)

    @contextmanager
    def _alone(self, team: Team) -> Iterator[None]:
        """Hold the lease, and bring in what the team's lock says."""
        lease = team.lease_of(self.access().fingerprint)
        try:
            lease.take(wait_s=self.options.wait_s, tell=self.tell)
            self._lease = lease
            team.lock.pull()
            yield
        finally:
            lease.end(self._journal.token() if self._knows_all else None)

    def _guarded(self, ports: Ports, stopper: Stopper) -> Ports:
        """Have nothing paid for but under the lease, and the files that the service shall read put where it can."""
        service, uploads, files = ports.service, self._asked.uploads, self.project.inputs
        if self.team is not None:
            service = FencedService(service, self._lease, offload=ports.offload, stop=stopper.stop)
        if uploads is not None and files:
            service = UploadingService(service, uploads, files, stop=stopper.stop)
        share = None
        if self.team is not None and self._lease is not None:
            share = partial(_share, self.team.lock, self._lease)
        return replace(ports, service=service, share=share)

    async def _staffed(self, ports: Ports, stack: AsyncExitStack) -> Ports:
        """Have workers, where there is anything to do for them."""
        if self.crew is None or all(step.action in {Action.KEEP, Action.DROP} for step in self.plan.steps):
            return ports

        def tell(words: str) -> None:
            ports.observe(Warned(at=ports.clock.time(), message=words))

        crew = await stack.enter_async_context(self.crew(tell))
        ports.observe(Staffed(at=ports.clock.time(), workers=crew.workers))
        return replace(ports, crew=crew)

    def _told(self, result: RunResult) -> RunResult:
        """Add where things are, and what was paid, by lock and journal as they are now."""
        project, snapshot = self.project, self._snapshot
        if self._asks_the_service():
            with suppress(DiskUnusable, LockInvalid):  # the run is to be told of all the same
                project, snapshot = project.current(), project.snapshot()
        spent = budget(project.lock, snapshot, since=result.started_at)
        result = replace(result, place=project.place, sandbox=project.sandbox)
        return replace(result, units=spent.spent_whole, units_this_run=spent.spent)

    def _changed(self) -> Project:
        return self._read if self.change is None else self._read.with_lock(self.change(self._read.lock))

    def _made(self, snapshot: Snapshot) -> Plan:
        plan = self.project.plan(
            retries=self.options.retries,
            expressions=self.options.select,
            snapshot=snapshot,
            prices=self._known_prices(),
            restore_edited=self.options.restore_edited,
            keep_sources=self.options.keep_sources,
            reroll_rejected=self.options.reroll_rejected,
        )
        if self.only is not None:
            chosen = tuple(step for step in plan.steps if self.only(step))
            self.left_out = tuple(step for step in plan.steps if step.facts is not None and step not in chosen)
            return self._allowed(Plan(steps=chosen))
        drift = frozen_drift(plan) if self.options.frozen else locked_drift(plan) if self.options.locked else None
        if drift is not None:
            raise drift
        return self._allowed(plan)

    def _allowed(self, plan: Plan) -> Plan:
        """Give the plan back, unless it clones voices and nobody said who agrees: no other consent covers that.

        Raises:
            BudgetStop: It does.
        """
        takes = [] if self.project.sandbox or self.options.voice_rights else clones(plan)
        if takes:
            named = ", ".join(f"{take.key} ({kind_of(take.job).words_of(take.job)})" for take in takes)
            raise BudgetStop(
                f"This run would clone voices, and nobody said who has the rights in them and agrees: {named}.",
                hint="--voice-rights WHO says so, and the lock keeps it; --yes and --max-units do not cover it.",
            )
        return plan

    def _memory(self) -> AccountMemory | None:
        """Give what this machine knows of the account, where there are keys to know that by."""
        if self.project.sandbox or self.options.frozen:
            return None
        try:
            return self.access().memory
        except UsageError:
            return None

    def _known_prices(self) -> dict[str, Decimal]:
        """Say what the account was charged at most for each kind."""
        if (memory := self._memory()) is None:
            return {}
        known = {kind.name: memory.knowledge(kind.name).price for kind in self.project.kinds}
        return {name: price for name, price in known.items() if price is not None}

    def _calls(self) -> dict[str, float]:
        """Give the calls that this machine or the lease knows of: see `AccountMemory.unanswered`."""
        memory, lease = self._memory(), self._lease
        here = memory.unanswered(self.project.manifest.project) if memory is not None else {}
        return here if lease is None else {**lease.calls, **here}

    def _unanswered(self, snapshot: Snapshot) -> dict[str, Attempt]:
        """Give calls that cannot be looked for, and of which this journal does not tell: theirs is elsewhere."""
        manifest, calls = self.project.manifest, self._calls()
        if not calls or self.options.unproven:
            return {}
        known = {entry.external_id for entry in self.project.lock.everything()} | snapshot.attempts.keys()
        prices = self._known_prices()
        found: dict[str, Attempt] = {}
        for take in manifest.takes:
            if (kind := kind_of(take.job)).external_id is None:
                units = max(kind.units, prices.get(kind.name, NOTHING))
                rows = unanswered_rows(take, calls, units=units, retries=self.options.retries)
                found |= {} if rows.keys() & known else rows
        return found

    def _ask(self, plan: Plan, snapshot: Snapshot) -> None:
        if self.options.uploads is None and not self.project.sandbox and (files := _handed_over(plan)):
            raise UsageError(
                f"The service has to read {files[0].path}, and nothing says where it can.",
                hint="--uploads s3://BUCKET/PREFIX (gs://, az://) puts such files there. Or write the address of one "
                "that is there already into the manifest.",
            )
        self.agree(plan, self.project.outlook(snapshot, self.options.cap, self._budget(snapshot)))
        self._agreed = plan

    def _budget(self, snapshot: Snapshot, now: float = inf) -> Budget:
        options = self.options
        caps = {"run": options.max_units, "whole": options.max_total_units}
        return budget(self.project.lock, snapshot, since=snapshot.spends_since or now, **caps)

    def _plan_again(self) -> None:
        """Plan from journal, lock and disk as they are now that nobody else works here."""
        if self.project.sandbox:
            self._journal.forget_unfinished()
        self._read = self._read.current()
        self.project = self._changed()
        self._snapshot = self.project.snapshot()
        if unanswered := self._unanswered(self._snapshot):
            self._journal.recall(unanswered.values())
            self._snapshot = replace(self._snapshot, attempts=self._snapshot.attempts | unanswered)
        self.plan = self._made(self._snapshot)

    def _agree_again(self) -> None:
        """Ask again where the plan costs more than was agreed to, and open the way to the service."""
        if self.project.sandbox and self.only is None:
            self._make_gone_ones_anew()
        agreed = self._agreed
        if agreed is None or self.plan.units > agreed.units or (self.plan.needs_consent and not agreed.needs_consent):
            self._ask(self.plan, self._snapshot)
        if not self.options.frozen and self._asks_the_service():
            try:
                self._asked = self.access()
            except UsageError:
                if any(map(self._needs_the_service, self.plan.steps)):
                    raise

    async def _bind(self, reader: Reader, stopper: Stopper) -> None:
        """Have the folder belong to the account that is asked, by its tasks or by consent."""
        mine, its, rows = self._asked.fingerprint, self._snapshot.account, self._snapshot.attempts.values()
        strange = its not in {None, mine} and not await stopper.before(partial(made_all, reader, rows))
        if strange and not self.options.rebind:
            raise another_account(self.project.out)
        self._journal.bind(mine, disown=strange)
        if strange:
            self._snapshot = self.project.snapshot()
            self.plan = self._made(self._snapshot)

    def _change_lock(self) -> None:
        if self.change is not None:
            lock = update_lock(self.project.lock_path, self.project.manifest.project, self.change)
            self.project = self.project.with_lock(lock)
            self.plan = self._made(self._snapshot)

    def _asks_the_service(self) -> bool:
        """Whether there is anything to ask: a finished batch needs no keys, nor does one to be finished from here."""
        if self.at_hand:
            return False
        steps = self.plan.steps
        return self.project.sandbox or any(s.action is Action.RESTORE or self._needs_the_service(s) for s in steps)

    def _needs_the_service(self, step: Step) -> bool:
        """Whether a step cannot be done with what is on the disk and in the store, as far as that can be seen."""
        if step.action in {Action.RESTORE, Action.FINISH} and not step.may_pay:
            return SERVICE in sources(step, self.project.out, self.store)
        return step.action not in {Action.KEEP, Action.DROP}

    def _make_gone_ones_anew(self) -> None:
        """Make anew what an earlier sandbox made and nobody kept: that sandbox is gone, and nothing was paid."""
        restored = (step for step in self.plan.steps if step.action in {Action.RESTORE, Action.FINISH})
        lost = (step for step in restored if SERVICE in sources(step, self.project.out, self.store))
        gone = {step.key: step.external_id for step in lost}
        if not gone:
            return
        self._journal.forget(gone.values())
        entries = {key: entry for key, entry in self.project.lock.entries.items() if key not in gone}
        self.project = self.project.with_lock(replace(self.project.lock, entries=entries))
        self._snapshot = self.project.snapshot()
        self.plan = self._made(self._snapshot)


def _share(shared: SharedLock, lease: Lease) -> None:
    """Bring the lock to the team. Blocks."""
    lease.forget({entry.external_id for entry in shared.push().everything()})


def _handed_over(plan: Plan) -> list[InputFile]:
    """Name the files that the service has to read for what a plan may pay for."""
    jobs = [step.facts.take.job for step in plan.steps if step.may_pay and step.facts is not None]
    return list(dict.fromkeys(file for job in jobs for file in job.inputs))
