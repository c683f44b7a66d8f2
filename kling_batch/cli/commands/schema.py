"""`kling-batch schema`."""

from __future__ import annotations

import click

from kling_batch import resources
from kling_batch.catalog.manifest import manifest_schema_text
from kling_batch.cli.output import print_own
from kling_batch.errors import UsageError


@click.command()
@click.argument("name")
def command(name: str) -> int:
    """Print one of the schemas that the program validates with, such as `manifest` or `report`."""
    try:
        print_own(manifest_schema_text() if name == "manifest" else resources.schema_text(name))
    except FileNotFoundError:
        names = ", ".join(resources.schema_names())
        raise UsageError(f"There is no schema {name!r}.", hint=f"There are: {names}.") from None
    return 0
