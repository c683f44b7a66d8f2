"""`kling-batch run`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from kling_batch.cli import show_error
from kling_batch.cli.options import place_options, retries_option
from kling_batch.cli.planning import plan_lines, summary_line, units_text
from kling_batch.cli.progress import Bar, Heartbeat, JsonLines, Lines, Tally
from kling_batch.cli.project import Project, open_project, open_store
from kling_batch.cli.session import Access, Session, real_access, sandbox_access
from kling_batch.clock import SystemClock
from kling_batch.engine.plan import Action, Plan
from kling_batch.engine.ports import Options
from kling_batch.engine.run import Outcome, Stopper
from kling_batch.engine.run import run as run_plan
from kling_batch.errors import BudgetStop, Interrupted, KlingBatchError, Terminated
from kling_batch.events import Event
from kling_batch.files.store import Store
from kling_batch.journal.journal import Journal, read_snapshot
from kling_batch.model import RunResult, Status

_MOST_CONCURRENCY = 1000


class _Concurrency(click.ParamType[int | str]):
    """A number, or `auto`."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Read it."""
        if value == "auto":
            return "auto"
        if str(value).isdigit() and 1 <= int(value) <= _MOST_CONCURRENCY:
            return int(value)
        return self.fail(f"{value!r} is neither auto nor a number from 1 to {_MOST_CONCURRENCY}.", param, ctx)


class _Units(click.ParamType[Decimal]):
    """An amount of units, exact."""

    name = "U"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Read it."""
        try:
            units = Decimal(str(value))
        except ArithmeticError:
            units = Decimal("NaN")
        if not units.is_finite() or units < 0:
            self.fail(f"{value!r} is not an amount of units, such as 2.50.", param, ctx)
        return units


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """How much a run shows."""

    quiet: bool
    verbose: bool
    json_lines: bool


@click.command()
@place_options
@click.option("--yes", is_flag=True, help="Spend what the plan says without asking.")
@click.option("--max-units", type=_Units(), help="Spend at most this many units, earlier runs of this folder included.")
@click.option("--concurrency", type=_Concurrency(), help="Most tasks in flight (default: the manifest's, else auto).")
@click.option(
    "--poll-interval",
    type=click.FloatRange(0.05, 3600),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Least seconds between two polls.",
)
@click.option(
    "--settle-time",
    type=click.FloatRange(0, 3600),
    default=20.0,
    show_default=True,
    metavar="S",
    help="Seconds for which a task may stay invisible after its answer was lost, before it is sent again.",
)
@click.option("--hold-unclear", is_flag=True, help="Never send again what may be paid for: leave it unknown (exit 6).")
@retries_option
@click.option("--deadline", type=click.FloatRange(min=0.1), metavar="S", help="Stop after so many seconds (exit 6).")
@click.option(
    "--patience",
    type=click.FloatRange(min=1),
    default=900.0,
    show_default=True,
    metavar="S",
    help="Stop when nothing moved for so many seconds (exit 6).",
)
@click.option("--store", metavar="DIR", help="Where finished sounds are kept for reuse (default: the user's cache).")
@click.option("--no-store", is_flag=True, help="Keep no copies of finished sounds.")
@click.option("--quiet", is_flag=True, help="Show errors only.")
@click.option("--verbose", is_flag=True, help="Show a line for every change.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    manifest: Path,
    project: str | None,
    out: Path | None,
    lock_path: Path | None,
    select: tuple[str, ...],
    sandbox: bool,
    yes: bool,
    max_units: Decimal | None,
    concurrency: int | str | None,
    poll_interval: float,
    settle_time: float,
    hold_unclear: bool,
    retries: int,
    deadline: float | None,
    patience: float,
    store: str | None,
    no_store: bool,
    quiet: bool,
    verbose: bool,
    log_format: str,
) -> int:
    """Turn the manifest into sounds. Running it again resumes it and pays for nothing twice.

    It shows the plan and asks before it spends; without a terminal it needs --yes or --max-units.
    """
    opened = open_project(manifest, project=project, out=out, lock_path=lock_path, sandbox=sandbox)
    chosen = concurrency if concurrency is not None else opened.manifest.concurrency
    options = Options(
        out=opened.out,
        lock_path=opened.lock_path,
        concurrency=chosen if isinstance(chosen, int) else None,
        max_units=max_units,
        poll_interval_s=poll_interval,
        settle_time_s=settle_time,
        hold_unclear=hold_unclear,
        retries=retries,
        deadline_s=deadline,
        patience_s=patience,
        newborn=sandbox,
    )
    shown = Shown(quiet=quiet, verbose=verbose, json_lines=log_format == "json")
    kept = None if no_store else open_store(store, sandbox=sandbox)
    outcome = _Run(opened, options, select, kept, shown).go(consented=yes or max_units is not None or sandbox)
    return outcome.result.exit_status


class _Run:
    """One call of the command: plan, consent, work, reports."""

    def __init__(
        self, project: Project, options: Options, expressions: tuple[str, ...], store: Store | None, shown: Shown
    ) -> None:
        self.project = project
        self.options = options
        self.expressions = expressions
        self.store = store
        self.shown = shown

    def go(self, *, consented: bool) -> Outcome:
        """Do it all."""
        before = read_snapshot(self.project.out)
        plan = self._plan()
        access = self._access(plan)
        if plan.units and not consented:
            _ask_consent(plan)
        elif not self.shown.quiet:
            click.echo(summary_line(plan), err=True)
        journal = Journal(self.project.out, now=SystemClock().time(), service=access.fingerprint if access else None)
        try:
            if self.project.sandbox:
                journal.forget_unfinished()
            if self.project.sandbox or before.last_run is None or before.last_run.finished_at is None:
                plan = self._plan()
            outcome = asyncio.run(self._work(plan, access or _no_access(), journal))
        finally:
            journal.close()
        self._report(outcome)
        return outcome

    def _plan(self) -> Plan:
        return self.project.plan(retries=self.options.retries, expressions=self.expressions)

    def _access(self, plan: Plan) -> Access | None:
        """Reach the service, unless there is nothing to ask it: a finished batch needs no keys."""
        if self.project.sandbox:
            return sandbox_access()
        if all(step.action in {Action.KEEP, Action.DROP} for step in plan.steps):
            return None
        return real_access()

    async def _work(self, plan: Plan, access: Access, journal: Journal) -> Outcome:
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
                    self.project.manifest,
                    plan,
                    self.project.lock,
                    ports=ports,
                    options=self.options,
                    everything=not self.expressions,
                    stopper=stopper,
                )
        finally:
            if beating is not None:
                beating.cancel()

    def _observer(self, tally: Tally, heartbeat: Heartbeat) -> Callable[[Event], None] | None:
        if self.shown.json_lines:
            return JsonLines()
        if self.shown.quiet:
            return None
        if self.shown.verbose:
            return Lines()
        return Bar(tally) if sys.stderr.isatty() else heartbeat

    def _report(self, outcome: Outcome) -> None:
        from kling_batch.report import write_reports

        write_reports(outcome.result, self.project.out)
        if not self.shown.quiet:
            click.echo(_summary(outcome.result), err=True)
            click.echo(f"Report: {self.project.out / 'report.html'}", err=True)
        for result in outcome.result.takes:
            if result.error is not None and not self.shown.quiet:
                click.echo(f"  {result.take.key}: {result.error.message} {result.error.hint or ''}".rstrip(), err=True)
        if outcome.stopped is not None:
            show_error(outcome.stopped)


def _summary(result: RunResult) -> str:
    counts = ", ".join(f"{count} {status.value}" for status in Status if (count := result.count(status)))
    seconds = result.finished_at - result.started_at
    return (
        f"{len(result.takes)} takes: {counts or 'none'}. "
        f"{units_text(result.units)} units in all, {seconds:.1f} s, {result.api_requests} API requests."
    )


def _ask_consent(plan: Plan) -> None:
    """Show the plan and ask, on a terminal; elsewhere stop.

    Raises:
        BudgetStop: Nobody agreed.
    """
    amount = f"{units_text(plan.units)} units"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BudgetStop(
            f"This run would spend up to {amount}, and nobody agreed to it.",
            hint=f"Look at it with kling-batch plan; then add --yes, or --max-units {units_text(plan.units)}.",
        )
    click.echo("\n".join(plan_lines(plan)), err=True)
    if not click.confirm(f"Spend up to {amount}?", default=False, err=True):
        raise BudgetStop("Nothing was sent.", hint="Run it again and agree, or add --yes.")


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
