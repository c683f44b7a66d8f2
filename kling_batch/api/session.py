"""A session with everything real around it: the system's clock, the network, the disk, the reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kling_batch.api.access import Access, no_access, sandbox_access
from kling_batch.api.project import open_store
from kling_batch.clock import SystemClock
from kling_batch.disk import disk_border, hash_file
from kling_batch.errors import BudgetStop, UsageError
from kling_batch.planning.plan import Action, Plan, Step
from kling_batch.planning.project import Project
from kling_batch.records.fields import VOICE
from kling_batch.records.journal import Journal
from kling_batch.records.lease import Lease
from kling_batch.records.lock import Lock
from kling_batch.records.shared_lock import SharedLock
from kling_batch.records.store import Store
from kling_batch.records.store_at import Place, documents_at, uploads_at
from kling_batch.report import write_reports
from kling_batch.report.facts import units_text
from kling_batch.running.crew import OpenCrew
from kling_batch.running.crew_at import crew_at
from kling_batch.running.options import BOUNDS, Options
from kling_batch.running.session import Agree, Session, Team
from kling_batch.service.callbacks import Address, address_of
from kling_batch.text import counted

_BOTH = "Give both --callback-url and --listen, or neither: see docs/callbacks.md."


def options_for(project: Project, options: Options) -> Options:
    """Check options, and add what the project says.

    Raises:
        UsageError: One of them is not allowed.
    """
    if options.locked and options.frozen:
        raise UsageError("--locked and --frozen exclude each other.", hint="--frozen is the stricter one: keep that.")
    for name in ("max_units", "max_total_units"):
        units = getattr(options, name)
        if units is not None and not (units.is_finite() and units >= 0):
            words = f"{name} is {units}, which is no amount of units."
            raise UsageError(words, hint="Give one such as Decimal('2.50').")
    rights = options.voice_rights
    if rights is not None and not (VOICE["rights_by"](rights) and rights.strip()):
        words = "voice_rights says nobody, or more than 200 characters."
        raise UsageError(words, hint="Say who has the rights in the voices, and agrees.")
    if (options.callback_url is None) != (options.listen is None):
        lacking = "--callback-url" if options.callback_url is None else "--listen"
        raise UsageError(
            f"{lacking} is missing: the service calls --callback-url, which has to lead to --listen.", hint=_BOTH
        )
    if (callbacks := _callbacks(options)) is not None and project.sandbox:
        raise UsageError(
            f"--callback-url {callbacks.url}: a sandbox inside the process sends no callbacks.",
            hint="Start one beside it, kling-batch sandbox, and set KLING_BASE_URL and its keys.",
        )
    for name, (least, most) in BOUNDS.items():
        value = getattr(options, name)
        if value not in {None, "auto"} and not least <= value <= (float("inf") if most is None else most):
            span = f"at least {least:g}" if most is None else f"from {least:g} to {most:g}"
            raise UsageError(f"{name} is {value}.", hint=f"Give a number {span}.")
    return replace(
        options,
        out=project.out,
        lock_path=project.lock_path,
        empty_account=project.sandbox,
        consented=options.consented or options.max_units is not None or project.sandbox,
        reroll_rejected=0 if options.locked or options.frozen else options.reroll_rejected,
        concurrency=project.manifest.concurrency if options.concurrency is None else options.concurrency,
    )


def session_of(
    project: Project,
    options: Options,
    *,
    agree: Agree,
    access: Callable[[], Access],
    store: str | Path | None,
    tell: Callable[[str], None] = lambda _: None,
    change: Callable[[Lock], Lock] | None = None,
    at_hand: bool = False,
    only: Callable[[Step], bool] | None = None,
) -> Session:
    """Make a session; see `Session` for what it is given. A project of the sandbox has one in the process.

    Args:
        project: What is wanted, and where.
        options: What `options_for` gave.
        agree: Who agrees to what it costs.
        access: Gives the service and who asks it.
        store: Where copies are kept, a folder or a URL; None keeps none.
        tell: Is told whom a run waits for before it begins.
        change: What becomes of the lock first.
        at_hand: Whether disk and store have to do: the service is not asked.
        only: Which steps of the plan are carried out.
    """
    opened = None if store is None else open_store(store, sandbox=project.sandbox)
    return Session(
        project=project,
        options=options,
        agree=agree,
        access=sandbox_access if project.sandbox else lambda: _reached(access(), options),
        nobody=no_access(),
        open_journal=lambda out: Journal(out, now=SystemClock().time()),
        report_to=write_reports,
        store=opened,
        team=_team_at(store, project),
        crew=crew_of(options.workers, opened, sandbox=project.sandbox, pays=only is None and not options.frozen),
        tell=tell,
        change=change,
        at_hand=at_hand,
        only=only,
    )


def crew_of(workers: str | None, store: Store | None, *, sandbox: bool, pays: bool = False) -> OpenCrew | None:
    """Say how to have workers; None where nobody asked for them. Nothing is started yet.

    Raises:
        UsageError: There can be none.
    """
    if workers is None:
        return None
    if sandbox and pays:
        raise UsageError(
            f"--workers {workers}: workers cannot reach a sandbox inside the process.",
            hint="Start one beside it, kling-batch sandbox, and set KLING_BASE_URL and its keys.",
        )
    if store is None:
        raise UsageError(
            f"--workers {workers}: workers hand sounds over by the store, and there is none.",
            hint="Leave --no-store out, or name one with --store that all of them reach.",
        )
    return crew_at(workers, place_of(store, sandbox=sandbox))


def place_of(store: Store, *, sandbox: bool) -> Place:
    """Say where a store is, for others to open it."""
    return Place(location=store.location, namespace="sandbox" if sandbox else "live")


def team_of(store: str | Path | None, project: Project) -> Team:
    """Open what the machines of a team have in common.

    Raises:
        UsageError: The store is no object storage, or what that needs is missing; or the project is a sandbox's.
    """
    if (team := _team_at(store, project)) is not None:
        return team
    if project.sandbox:
        raise UsageError("A sandbox inside the process is not shared.", hint="Leave --sandbox out.")
    raise UsageError(
        f"The store, {store or 'none'}, is no object storage: only there machines have something in common.",
        hint="Name the team's with --store s3://BUCKET/PREFIX, gs:// or az://.",
    )


def _team_at(store: str | Path | None, project: Project) -> Team | None:
    if project.sandbox or store is None:
        return None
    documents, hurried = documents_at(str(store)), documents_at(str(store), hurried=True)
    if documents is None or hurried is None:
        return None
    name = project.manifest.project

    def lease_of(account: str) -> Lease:
        path = Path(project.manifest.path)
        with disk_border(path):
            return Lease(hurried, account, name, manifest=hash_file(path))

    return Team(
        lease_of=lease_of,
        lock=SharedLock(documents, name, lock_path=project.lock_path, out=project.out),
    )


def _reached(access: Access, options: Options) -> Access:
    """Add where the service reads files, and where it tells of tasks."""
    uploads = access.uploads if options.uploads is None else uploads_at(options.uploads)
    return replace(access, uploads=uploads, callbacks=_callbacks(options))


def _callbacks(options: Options) -> Address | None:
    if options.callback_url is None or options.listen is None:
        return None
    return address_of(options.callback_url, options.listen)


def nobody_agreed(plan: Plan, *, hint: str) -> BudgetStop:
    """Word the end of a run before it began: it would pay, or take something over, and nobody agreed to that."""
    if not plan.pays:
        renamed = plan.count(Action.MOVED)
        return BudgetStop(
            f"This run would take over {counted(renamed, 'take')} of renamed jobs, and nobody agreed to it.", hint=hint
        )
    amount = units_text(plan.units)
    return BudgetStop(f"This run would spend up to {amount} units, and nobody agreed to it.", hint=hint)
