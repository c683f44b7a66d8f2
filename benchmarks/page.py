"""The results as a page: the tables of `page.md` are filled in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.local import as_table

_TEMPLATE = Path(__file__).with_name("page.md")
_PLACE = re.compile(r"<!-- (\w+) -->")
_NOT_YET = "Not measured yet."


def page(results: dict[str, Any]) -> str:
    """Write the page."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    tables = {name: as_table(rows) for name, rows in results.items() if isinstance(rows, list)}
    tables["machine"] = f"{results['machine']}; {versions}."
    return _PLACE.sub(lambda place: tables.get(place[1], _NOT_YET), _TEMPLATE.read_text(encoding="utf-8"))
