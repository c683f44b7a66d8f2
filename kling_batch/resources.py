"""Where the schemas and the starter files are: in the wheel beside this file, in a checkout beside the package."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent


def _place(packaged: str, in_checkout: str) -> Path:
    place = _PACKAGE / packaged
    return place if place.is_dir() else _PACKAGE.parent / in_checkout


SCHEMAS = _place("schemas", "schemas")
STARTER = _place("starter", "examples")


def schema_names() -> list[str]:
    """Name every schema, as `kling-batch schema NAME` takes it: `manifest`, `tasks/text-to-audio` ..."""
    return sorted(
        path.relative_to(SCHEMAS).as_posix().removesuffix(".schema.json").removesuffix(".json")
        for path in SCHEMAS.rglob("*.json")
    )


def schema_text(name: str) -> str:
    """Read a schema's file.

    Raises:
        FileNotFoundError: There is no schema of this name.
    """
    for suffix in (".schema.json", ".json"):
        path = SCHEMAS / f"{name}{suffix}"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError(name)


def starter_text(name: str) -> str:
    """Read one of the files that a new project begins with, or the demo."""
    return (STARTER / name).read_text(encoding="utf-8")


@cache
def schema(name: str) -> Any:
    """Read a schema as JSON. Treat it as read-only: it is shared.

    Raises:
        FileNotFoundError: There is no schema of this name.
    """
    return json.loads(schema_text(name))
