"""`kling-batch tasks`."""

from __future__ import annotations

from typing import Any

import click

from kling_batch.catalog import DEFAULT, kind, kinds
from kling_batch.cli.environment import ask
from kling_batch.cli.options import text_or_json
from kling_batch.cli.output import print_json, say
from kling_batch.clock import iso
from kling_batch.model import Task
from kling_batch.service.client import LONGEST_PAGE
from kling_batch.text import counted


@click.command()
@click.option(
    "--kind",
    "kind_name",
    type=click.Choice([name for name, each in kinds().items() if not each.synchronous]),
    default=DEFAULT,
    show_default=True,
    help="Tasks of which kind.",
)
@click.option("--page", type=click.IntRange(1, 1000), default=1, show_default=True, help="Which page of the list.")
@click.option(
    "--page-size",
    type=click.IntRange(1, LONGEST_PAGE),
    default=30,
    show_default=True,
    help="Tasks a page.",
)
@text_or_json
def command(kind_name: str, page: int, page_size: int, output: str) -> int:
    """List the account's tasks of a kind, as the service orders them. Free."""
    found = ask(lambda service: service.page(kind(kind_name), page, page_size))
    if output == "json":
        print_json({"tasks": [_json(task) for task in found.tasks]})
        return 0
    for task in found.tasks:
        words = f"  {task.message}" if task.message else ""
        say(f"{task.task_id}  {task.status.value:<10}  {_created(task)}  {task.external_id or '-'}{words}")
    say(f"{counted(len(found.tasks), 'task')} on page {page}.", err=True)
    return 0


def _created(task: Task) -> str:
    return iso(task.created_ms / 1000 if task.created_ms is not None else None) or "-"


def _json(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "external_task_id": task.external_id,
        "status": task.status.value,
        "message": task.message,
        "units": None if task.units is None else str(task.units),
        "created_at": iso(task.created_ms / 1000) if task.created_ms is not None else None,
        "urls": [url for audio in task.audios for url in audio.urls.values()],
    }
