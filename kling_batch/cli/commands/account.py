"""`kling-batch account`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from kling_batch.cli.environment import ask
from kling_batch.cli.options import text_or_json
from kling_batch.cli.output import print_json, say
from kling_batch.clock import SystemClock, iso

_YEAR_S = 366 * 86_400
_LAST_MS = 2.5e14


@click.command()
@text_or_json
def command(output: str) -> int:
    """Show the account's resource packs and what is left. Free; the service's figures lag by up to 12 hours."""
    now = SystemClock().time()
    data = ask(lambda service: service.account(int((now - _YEAR_S) * 1000), int(now * 1000)))
    packs = data.get("resource_pack_subscribe_infos")
    rows = [row for row in packs if isinstance(row, dict)] if isinstance(packs, list) else []
    if output == "json":
        print_json({"packs": rows})
        return 0
    if not rows:
        say("The account has no resource pack.")
    for row in rows:
        say(_line(row))
    return 0


def _line(row: Mapping[str, Any]) -> str:
    until = row.get("invalid_time")
    ends = f", until {iso(until / 1000)}" if isinstance(until, int | float) and abs(until) < _LAST_MS else ""
    left, total = row.get("remaining_quantity"), row.get("total_quantity")
    return f"{row.get('resource_pack_name')}: {left} of {total} units left, {row.get('status')}{ends}"
