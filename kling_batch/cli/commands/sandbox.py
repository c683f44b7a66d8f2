"""`kling-batch sandbox`."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from kling_batch.cli.options import Finite
from kling_batch.cli.output import say
from kling_batch.errors import ManifestInvalid, UsageError
from kling_batch.manifest.nodes import Node, Page, Table, descend, plain
from kling_batch.manifest.reading import read_document
from kling_batch.sandbox.faults import Scenario
from kling_batch.sandbox.scenario import HINT, Place, scenario_of
from kling_batch.sandbox.settings import Span, WorldSettings


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, show_default=True, help="The API's port; 0 takes a free one."
)
@click.option(
    "--concurrency", type=click.IntRange(1, 10_000), help="Most tasks in flight that it allows (default: 10)."
)
@click.option("--generation-seconds", type=Finite(0, 86_400), help="How long a task takes (default: 2).")
@click.option(
    "--faults",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A schedule of faults and behaviours to rehearse, in YAML or JSON: see docs/faults.md.",
)
def command(port: int, concurrency: int | None, generation_seconds: float | None, faults: Path | None) -> int:
    """Serve a stand-in for the service on this machine, which really synthesises sound.

    Prints its URL as the first line of stdout, for KLING_BASE_URL. Keys are taken from the same variables as for the
    service; without them it uses a fixed pair, and prints it. Needs the extra `sandbox`.
    """
    try:
        from kling_batch.sandbox.app import SandboxServer
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The sandbox server needs {error.name}, which is not installed.",
            hint="Install it: pip install 'kling-batch[sandbox]'. kling-batch run --sandbox needs no extra.",
        ) from None
    scenario = read_faults(faults) if faults is not None else Scenario()
    secrets = os.environ.get("KLING_WEBHOOK_SECRET", "").split()
    signing = scenario_of({"callbacks": {"secrets": secrets}} if secrets else {})
    settings, keys = _with_keys(signing.over(scenario.over(WorldSettings())))
    if concurrency is not None:
        settings = replace(settings, concurrency=concurrency)
    if generation_seconds is not None:
        queue = scenario.settings.get("queue", Span.fixed(0.0))
        settings = replace(settings, generation=Span.fixed(generation_seconds), queue=queue)
    server = SandboxServer(settings, port=port, rules=scenario.rules or ())
    say(server.url, *keys)
    say(f"The ledger of what it did: {server.url}/sandbox/ledger. Stop it with Ctrl-C.", err=True)
    server.run()
    return 0


def read_faults(path: Path) -> Scenario:
    """Read a fault file: YAML, as which JSON can be read as well.

    Raises:
        UsageError: It cannot be read, or is not as the schema says; every problem is named with its line.
    """
    try:
        document = read_document(path, shown=str(path), stay_in=None, form="faults")
    except ManifestInvalid as error:
        raise UsageError(error.message, hint=HINT) from None
    tree, page = document.content, document.page
    if page.problems or isinstance(tree, Table):
        raise UsageError("\n".join(map(str, page.problems)), hint=HINT)
    return scenario_of(plain(tree, ()), partial(_named, page, tree))


def _named(page: Page, tree: Node, place: Place) -> str:
    """Say where in a file a value stands."""
    line, _ = page.place(descend(tree, place).at)
    return f"{page.path}:{line}: "


def _with_keys(settings: WorldSettings) -> tuple[WorldSettings, list[str]]:
    """Take the keys from the environment, else the fixed ones, and say which: those open nothing but a sandbox."""
    api_key = os.environ.get("KLING_API_KEY", "").strip()
    access, secret = (os.environ.get(name, "").strip() for name in ("KLING_ACCESS_KEY", "KLING_SECRET_KEY"))
    if api_key or (access and secret):
        return replace(
            settings,
            api_key=api_key or settings.api_key,
            access_key=access or settings.access_key,
            secret_key=secret or settings.secret_key,
        ), []
    return settings, [f"KLING_ACCESS_KEY={settings.access_key}", f"KLING_SECRET_KEY={settings.secret_key}"]
