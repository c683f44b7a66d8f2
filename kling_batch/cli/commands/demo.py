"""`kling-batch demo`."""

from __future__ import annotations

import os
import webbrowser
from contextlib import suppress
from pathlib import Path

import click

from kling_batch import resources
from kling_batch.api.project import load
from kling_batch.cli.commands.init import write_new
from kling_batch.cli.execute import execute
from kling_batch.cli.output import can_ask, say
from kling_batch.cli.progress import View
from kling_batch.running.options import Options

MANIFEST = "fireworks.yaml"


@click.command()
@click.argument(
    "folder", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=Path("kling-batch-demo")
)
@click.option("--no-open", is_flag=True, help="Do not open the page in a browser.")
def command(folder: Path, no_open: bool) -> int:
    """Make the sounds of a night of fireworks with the sandbox, and open the page to listen: no keys, nothing spent.

    Writes into DIR. The page is not opened in CI or off a terminal.
    """
    manifest = folder / MANIFEST
    write_new(manifest, resources.starter_text(MANIFEST).partition("\n")[2])
    project = load(manifest, out=folder / "out" / "fireworks.sandbox", sandbox=True)
    view = View(quiet=False, verbose=False)
    status = execute(project, Options(), view=view, store=None).exit_status
    say(f"Its manifest: {manifest}. Change it, then: cd {folder} && kling-batch run {MANIFEST} --sandbox", err=True)
    if not no_open and can_ask() and not os.environ.get("CI"):
        _open(project.out / "report.html")
    return status


def _open(page: Path) -> None:
    """Open a page in a browser, if there is one outside of the terminal, or one that the user has chosen."""
    with suppress(webbrowser.Error):
        browser = webbrowser.get()
        if type(browser) is not webbrowser.GenericBrowser or os.environ.get("BROWSER"):
            browser.open(page.resolve().as_uri())
