"""Options that several commands share, each with the same words, and what a command gets for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields
from decimal import Decimal
from functools import partial, wraps
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kling_batch.cli.progress import View
from kling_batch.errors import UsageError
from kling_batch.running.options import BOUNDS, REROLLS, RETRIES, Options

if TYPE_CHECKING:
    from kling_batch.planning.project import Project

F = TypeVar("F", bound=Callable[..., Any])
Command = Callable[..., int]
Load = Callable[[], "Project"]

_MOST_UNITS = 10**12


class _Concurrency(click.ParamType[int | str]):
    """A number, or `auto`."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Read it."""
        least, most = BOUNDS["concurrency"]
        if value == "auto":
            return "auto"
        with suppress(ValueError):  # too long a number is none, either
            if most is not None and least <= int(value) <= most:
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
        if not units.is_finite() or not 0 <= units < _MOST_UNITS:
            self.fail(f"{value!r} is not an amount of units, such as 2.50.", param, ctx)
        return units


class Finite(click.FloatRange):
    """A number within bounds, which neither `nan` nor `inf` is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        number = float(super().convert(value, param, ctx))
        return number if isfinite(number) else self.fail(f"{value!r} is no number of use.", param, ctx)


def _seconds(option: str, name: str, help_text: str, **settings: Any) -> Callable[[F], F]:
    bounds = Finite(*BOUNDS[name])
    return click.option(option, name, type=bounds, metavar="S", help=help_text, **settings)


project_option = click.option(
    "--project", metavar="NAME", help="The project's name, for tables (default: the file's stem)."
)
out_option = click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Where the sounds go (default: out/<project>)."
)
select_option = click.option(
    "--select",
    metavar="EXPR",
    multiple=True,
    help="Only takes that match: an id glob (door-*, door-creak:2), tag:NAME, status:failed or changed. A comma "
    "means both; giving the option again means either.",
)
max_units_option = click.option(
    "--max-units", type=_Units(), help="Add at most this many units; a run that was stopped goes on with what is left."
)
max_total_units_option = click.option(
    "--max-total-units", type=_Units(), help="Let the whole set cost at most this many units, by lock and journal."
)
concurrency_option = click.option(
    "--concurrency", type=_Concurrency(), help="Most tasks in flight (default: the manifest's, else auto)."
)
retries_option = click.option(
    "--retries",
    type=click.IntRange(*RETRIES),
    default=2,
    show_default=True,
    metavar="N",
    help="New attempts for a task that failed for a passing reason.",
)
keep_sources_option = click.option(
    "--keep-sources", is_flag=True, help="Also have finished sounds stand under sources/, as they were delivered."
)
reroll_rejected_option = click.option(
    "--reroll-rejected",
    type=click.IntRange(*REROLLS),
    default=0,
    metavar="N",
    help="Pay for another sound in place of one that a check rejects, up to N times a take (default: never).",
)
restore_edited_option = click.option(
    "--restore-edited", is_flag=True, help="Put the original back where a file was edited; the edit is kept aside."
)
manifests_argument = click.argument(
    "manifests", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="MANIFEST..."
)


def format_option(*forms: str, help_text: str) -> Callable[[F], F]:
    """Let a person choose how a command prints; the first form is what it is without a choice."""
    return click.option(
        "--format", "output", type=click.Choice(forms), default=forms[0], show_default=True, help=help_text
    )


text_or_json = format_option("text", "json", help_text="How to print.")
store_option = click.option(
    "--store",
    metavar="DIR-OR-URL",
    help="Where finished sounds are kept for reuse: a folder, or s3://, gs://, az:// (default: the user's cache).",
)
lock_option = click.option(
    "--lock",
    "lock_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The lock (default: the manifest's path + .lock).",
)
allow_outside_option = click.option(
    "--allow-outside", is_flag=True, help="Let manifest, tables and lock lead outside of their folder."
)
flatten_option = click.option("--flatten", is_flag=True, help="Put all files into one folder: a/b becomes a_b.")
sandbox_option = click.option(
    "--sandbox", is_flag=True, help="Use a sandbox inside the process: no keys, nothing spent, kept apart."
)
_PROJECT = (
    project_option,
    out_option,
    lock_option,
    sandbox_option,
    allow_outside_option,
    flatten_option,
    click.option("--adopt", is_flag=True, help="Take over the output folder of a manifest that was renamed."),
)
_STORE = (
    store_option,
    click.option("--no-store", is_flag=True, help="Keep no copies of finished sounds, and take none."),
)
workers_option = click.option(
    "--workers",
    metavar="N-OR-URL",
    help="Have so many processes, or those of a Dask scheduler (tcp://HOST:8786), fetch, verify and finish.",
)
_WATCHED = (
    workers_option,
    keep_sources_option,
    click.option("--quiet", is_flag=True, help="Show errors only."),
    click.option("--verbose", is_flag=True, help="Show a line for every change."),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        expose_value=False,  # `output.log_format` looks for it before anything can be wrong
        help="How stderr is written: json is an object a line and nothing else, and no question is asked.",
    ),
)
_FETCHING = (
    _seconds(
        "--patience",
        "patience_s",
        "Stop when nothing moved for so many seconds (exit 6; default: 900, or 30 before the service has answered).",
    ),
    click.option(
        "--rebind",
        is_flag=True,
        help="Take over a folder of another account, or of one whose tasks are too old to recognise it by a new key.",
    ),
)
_PAYING = (
    click.option(
        "--yes", "consented", is_flag=True, help="Spend what the plan says, and take renamed jobs over, without asking."
    ),
    max_units_option,
    max_total_units_option,
    concurrency_option,
    _seconds("--poll-interval", "poll_interval_s", "Least seconds between two polls.", default=1.0, show_default=True),
    _seconds(
        "--settle-time",
        "settle_time_s",
        "Seconds for which a task may stay invisible after its answer was lost, before it is sent again.",
        default=20.0,
        show_default=True,
    ),
    click.option(
        "--hold-unclear", is_flag=True, help="Never send again what may be paid for: leave it unknown (exit 6)."
    ),
    click.option(
        "--unproven",
        is_flag=True,
        help="Go on where the account shows no task by its external id: what other machines sent cannot be known.",
    ),
    click.option(
        "--uploads",
        metavar="URL",
        help="Where video and voice files are put for the service to read: s3://, gs:// or az://.",
    ),
    click.option(
        "--voice-rights",
        metavar="WHO",
        help="Let voices be cloned: says who has the rights in them and agrees, for the lock. --yes does not cover it.",
    ),
    click.option(
        "--callback-url", metavar="URL", help="Where the service tells of tasks; it has to lead to what --listen names."
    ),
    click.option("--listen", metavar="HOST:PORT", help="Where callbacks are heard, such as 0.0.0.0:8765."),
    retries_option,
    _seconds(
        "--wait",
        "wait_s",
        "Where another machine works on the set, wait so many seconds for it (with a store in object storage).",
        default=0.0,
        show_default=True,
    ),
    reroll_rejected_option,
    _seconds("--deadline", "deadline_s", "Stop after so many seconds (exit 6)."),
)


def project_options(command: Command) -> Command:
    """Add what says which manifest is meant and where its things are. The command gets `project`, loaded."""

    @wraps(command)
    def with_project(*, manifest: Path, **others: Any) -> int:
        [load], others = _loading([manifest], others)
        return command(project=load(), **others)

    return _added(with_project, (click.argument("manifest", type=click.Path(path_type=Path)), *_PROJECT))


def projects_options(command: Command) -> Command:
    """Add the same for a command about one or more manifests. It gets `projects`, each of which loads one."""

    @wraps(command)
    def with_projects(*, manifests: Sequence[Path], **others: Any) -> int:
        if len(manifests) > 1 and any(others[name] for name in ("project", "out", "lock_path")):
            words = "--project, --out and --lock are about one manifest, and several are given."
            raise UsageError(words, hint="Leave them out, or call it once for each.")
        projects, others = _loading(manifests, others)
        return command(projects=projects, **others)

    return _added(with_projects, (manifests_argument, *_PROJECT))


def _loading(manifests: Sequence[Path], options: dict[str, Any]) -> tuple[list[Load], dict[str, Any]]:
    """Have manifests loaded by the options that say where things are; give what is left of the options as well."""
    from kling_batch.api.project import load

    place = {name: options.pop(name) for name in ("project", "out", "sandbox", "allow_outside", "flatten", "adopt")}
    place["lock"] = options.pop("lock_path")
    return [partial(load, manifest, **place) for manifest in manifests], options


def store_options(command: Command) -> Command:
    """Add what says which store is meant, if any. The command gets its place as `store`."""

    @wraps(command)
    def with_store(*, store: str | None, no_store: bool, **others: Any) -> int:
        from kling_batch.cli.environment import own_store

        return command(store=None if no_store else store or own_store(), **others)

    return _added(with_store, _STORE)


def watched_options(command: Command) -> Command:
    """Add what is taken by whatever works on takes. The command gets `options` and `view`, and `store` as above.

    Every parameter of the command that has the name of a field of `Options` goes there.
    """

    @wraps(command)
    def with_options(*, quiet: bool, verbose: bool, **others: Any) -> int:
        given = {field.name: others.pop(field.name) for field in fields(Options) if field.name in others}
        view = View(quiet=quiet, verbose=verbose)
        return command(options=Options(**given), view=view, **others)

    return _added(store_options(with_options), _WATCHED)


def fetching_options(command: Command) -> Command:
    """Add what a run that only fetches takes. The command gets what `watched_options` gives."""
    return _added(watched_options(command), _FETCHING)


def paying_options(command: Command) -> Command:
    """Add what a run that may pay takes. The command gets what `fetching_options` gives."""
    return _added(fetching_options(command), _PAYING)


def _added(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
