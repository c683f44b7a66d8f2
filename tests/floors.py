"""Prints the lowest versions that pyproject.toml allows, as pip's constraints: `make floors` tests with them."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
EXTRAS = ("callbacks", "excel", "finish", "sandbox", "video")
"""Extras whose floors are tested, too."""
_FLOOR = re.compile(r"([A-Za-z0-9_.-]+)>=([0-9.]+)")


def floors(project: dict[str, Any]) -> Iterator[str]:
    """Pin each dependency of a project to the lowest version it allows."""
    extras = project["optional-dependencies"]
    for dependency in [*project["dependencies"], *(each for extra in EXTRAS for each in extras[extra])]:
        found = _FLOOR.fullmatch(dependency)
        if found is None:
            raise ValueError(f"pyproject.toml: {dependency!r} does not state a lowest version, as name>=1.2")
        yield f"{found[1]}=={found[2]}"


if __name__ == "__main__":
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    sys.stdout.writelines(f"{pin}\n" for pin in floors(project))
