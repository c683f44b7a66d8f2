"""The examples are what they say they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from kling_batch.manifest import load

EXAMPLES = Path(__file__).parents[2] / "examples"
SCHEMA = EXAMPLES.parent / "schemas" / "manifest.schema.json"
SCHEMA_LINE = "# yaml-language-server: $schema="


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_yaml_example_is_valid_and_known_to_editors(path: Path) -> None:
    """It loads, and its first line tells an editor where the schema is."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(SCHEMA_LINE)
    assert (path.parent / first.removeprefix(SCHEMA_LINE)).resolve() == SCHEMA
    assert load(path).takes


def test_the_demo_is_a_dozen_takes_and_more() -> None:
    """It shows matrix and takes, both formats, tags and notes, in clips short enough to wait for."""
    manifest = load(EXAMPLES / "fireworks.yaml")
    assert manifest.project == "fireworks"
    assert 12 <= len(manifest.takes) <= 20
    assert all(
        job.formats == ("wav", "mp3") and 3.0 <= job.request["duration"] <= 6.0 and job.tags for job in manifest.jobs
    )


def test_the_csv_example_is_a_manifest() -> None:
    """A spreadsheet alone is enough."""
    manifest = load(EXAMPLES / "tavern.csv")
    assert (manifest.project, len(manifest.jobs), len(manifest.takes)) == ("tavern", 8, 15)


def test_the_table_example_uses_columns_as_folders() -> None:
    """Notes from a table's columns name the files."""
    assert load(EXAMPLES / "birds.yaml").takes[4].stem == "wood/tawny-owl-01"
