"""A manifest's project, without reading the manifest: a guess, for those who can tell whether it was right."""

from __future__ import annotations

import re
from pathlib import Path

from kling_batch.manifest.loading import project_of
from kling_batch.manifest.reading import KINDS

_NAMED = {
    "yaml": re.compile(rb"""^project:[ ]*["']?([A-Za-z0-9][A-Za-z0-9._-]*)["']?[ ]*(?:#.*)?\r?$""", re.MULTILINE),
    "json": re.compile(rb"""^\s*\{[^{\[]*"project"\s*:\s*"([A-Za-z0-9][A-Za-z0-9._-]*)\""""),
}


def guess_project(path: Path) -> str | None:
    """Guess what project a manifest is of; None where there is nothing to guess from."""
    kind = KINDS.get(path.suffix.lower())
    if kind in {"csv", "jsonl"}:
        return project_of(path)
    if kind is None:
        return None
    try:
        named = _NAMED[kind].search(path.read_bytes())
    except OSError:
        return None
    return named and named[1].decode("ascii")
