"""Ways to write a manifest and read it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kling_batch.errors import ManifestInvalid
from kling_batch.manifest import load
from kling_batch.model import Manifest

Write = Callable[[str, str], Path]
Jobs = Callable[[str], Manifest]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file into an empty folder, line ends as given."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    return write_file


@pytest.fixture
def jobs(write: Write) -> Jobs:
    """Load a YAML manifest of the given jobs (YAML in one line, or lines indented by two)."""

    def load_jobs(text: str) -> Manifest:
        return load(write("m.yaml", f"version: 1\nproject: p\njobs:\n{text}\n"))

    return load_jobs


@pytest.fixture
def problems() -> Callable[[Path], list[str]]:
    """Load a manifest that is wrong, and give its problems as `LINE:COLUMN: message`."""

    def problems_of(path: Path) -> list[str]:
        with pytest.raises(ManifestInvalid) as caught:
            load(path)
        return [f"{each.line}:{each.column}: {each.message}" for each in caught.value.problems]

    return problems_of


@pytest.fixture
def as_json(write: Write) -> Callable[[Any], Path]:
    """Write a value as a JSON manifest."""
    return lambda value: write("m.json", json.dumps(value))
