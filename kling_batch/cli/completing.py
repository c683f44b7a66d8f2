"""What a shell may complete where a manifest is wanted. Imported with the options, so it imports nothing itself."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

MANIFEST_SUFFIXES = (".yaml", ".yml", ".csv", ".json", ".jsonl")
_PLAIN = re.compile(r"[\w./+@-]+")
"""Names that no shell needs quotes for."""


def complete_manifest(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the manifests of a folder, and its folders; where that says nothing, leave it to the shell."""
    from click.shell_completion import CompletionItem

    del ctx, param
    names = _candidates(incomplete)
    if not any(name.endswith(MANIFEST_SUFFIXES) for name in names) or not all(map(_PLAIN.fullmatch, names)):
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(name) for name in names]


def _candidates(incomplete: str) -> list[str]:
    """List what begins so: manifests, and folders with a `/` behind. Hidden names only where a dot was typed."""
    head, slash, begun = incomplete.rpartition("/")
    folder = head + slash
    try:
        found = sorted(Path(folder or os.curdir).iterdir())
    except OSError:
        return []
    names = [
        f"{folder}{path.name}{'/' if path.is_dir() else ''}"
        for path in found
        if path.name.startswith(begun) and (begun or not path.name.startswith("."))
    ]
    return [name for name in names if name.endswith(("/", *MANIFEST_SUFFIXES))]
