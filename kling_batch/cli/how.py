"""How a run is to be done: the options of the commands that work on the service, as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import click

from kling_batch.api.bounds import CONCURRENCY, DEADLINE_S, PATIENCE_S, POLL_INTERVAL_S, SETTLE_TIME_S
from kling_batch.api.project import open_store
from kling_batch.cli.environment import own_store
from kling_batch.cli.options import retries_option
from kling_batch.planning.project import Project
from kling_batch.records.store import Store
from kling_batch.running.ports import Options

F = TypeVar("F", bound=Callable[..., Any])


class _Concurrency(click.ParamType[int | str]):
    """A number, or `auto`."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Read it."""
        if value == "auto":
            return "auto"
        least, most = CONCURRENCY
        if str(value).isdigit() and least <= int(value) <= most:
            return int(value)
        return self.fail(f"{value!r} is neither auto nor a number from {least} to {most}.", param, ctx)


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


concurrency_option = click.option(
    "--concurrency", type=_Concurrency(), help="Most tasks in flight (default: the manifest's, else auto)."
)
_store_options = (
    click.option(
        "--store",
        metavar="DIR-OR-URL",
        help="Where finished sounds are kept for reuse: a folder, or s3://, gs://, az:// (default: the user's cache).",
    ),
    click.option("--no-store", is_flag=True, help="Keep no copies of finished sounds, and take none."),
)
_patience_option = click.option(
    "--patience",
    type=click.FloatRange(*PATIENCE_S),
    default=900.0,
    show_default=True,
    metavar="S",
    help="Stop when nothing moved for so many seconds (exit 6).",
)
_shown_options = (
    click.option("--quiet", is_flag=True, help="Show errors only."),
    click.option("--verbose", is_flag=True, help="Show a line for every change."),
    click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True),
)
_paying_options = (
    click.option("--yes", is_flag=True, help="Spend what the plan says, and take renamed jobs over, without asking."),
    click.option(
        "--max-units", type=_Units(), help="Spend at most this many units, earlier runs of this folder included."
    ),
    concurrency_option,
    click.option(
        "--poll-interval",
        type=click.FloatRange(*POLL_INTERVAL_S),
        default=1.0,
        show_default=True,
        metavar="S",
        help="Least seconds between two polls.",
    ),
    click.option(
        "--settle-time",
        type=click.FloatRange(*SETTLE_TIME_S),
        default=20.0,
        show_default=True,
        metavar="S",
        help="Seconds for which a task may stay invisible after its answer was lost, before it is sent again.",
    ),
    click.option(
        "--hold-unclear", is_flag=True, help="Never send again what may be paid for: leave it unknown (exit 6)."
    ),
    click.option(
        "--unproven",
        is_flag=True,
        help="Go on where the account shows no task by its external id: what other machines sent cannot be known.",
    ),
    retries_option,
    click.option(
        "--deadline", type=click.FloatRange(*DEADLINE_S), metavar="S", help="Stop after so many seconds (exit 6)."
    ),
)


def paying_options(function: F) -> F:
    """Add what a run that may pay takes. The command gets them as keywords for `How`."""
    return _added(function, (*_paying_options, _patience_option, *_store_options, *_shown_options))


def fetching_options(function: F) -> F:
    """Add what a run that only fetches takes. The command gets them as keywords for `How`."""
    return _added(function, (_patience_option, *_store_options, *_shown_options))


def store_options(function: F) -> F:
    """Add what says which store is meant, if any."""
    return _added(function, _store_options)


def _added(function: F, options: tuple[Callable[[F], F], ...]) -> F:
    for option in reversed(options):
        function = option(function)
    return function


@dataclass(frozen=True, kw_only=True, slots=True)
class How:
    """The options as they were given; see their help. Times are seconds."""

    patience: float
    store: str | None
    no_store: bool
    quiet: bool
    verbose: bool
    log_format: str
    yes: bool = False
    max_units: Decimal | None = None
    concurrency: int | str | None = None
    poll_interval: float = 1.0
    settle_time: float = 20.0
    hold_unclear: bool = False
    unproven: bool = False
    retries: int = 0
    deadline: float | None = None

    @property
    def consented(self) -> bool:
        """Whether spending was agreed to beforehand."""
        return self.yes or self.max_units is not None

    def options(
        self, project: Project, *, select: tuple[str, ...] = (), locked: bool = False, frozen: bool = False
    ) -> Options:
        """Give the engine's options."""
        chosen = self.concurrency if self.concurrency is not None else project.manifest.concurrency
        return Options(
            out=project.out,
            lock_path=project.lock_path,
            select=select,
            consented=self.consented or project.sandbox,
            locked=locked,
            concurrency=chosen if isinstance(chosen, int) else None,
            max_units=self.max_units,
            poll_interval_s=self.poll_interval,
            settle_time_s=self.settle_time,
            hold_unclear=self.hold_unclear,
            retries=self.retries,
            deadline_s=self.deadline,
            patience_s=self.patience,
            unproven=self.unproven,
            newborn=project.sandbox,
            frozen=frozen,
        )

    def open_store(self, project: Project) -> Store | None:
        """Open the store that was asked for, if one was.

        Raises:
            UsageError: There can be no store there, or what object storage needs is missing.
        """
        return None if self.no_store else open_store(self.store or own_store(), sandbox=project.sandbox)
