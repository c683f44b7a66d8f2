"""`kling-batch stats`, over what real runs made."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from kling_batch.cli import main

OTHER = "version: 1\nproject: forest\njobs:\n  - {id: owl, prompt: An owl hoots, duration: 3.0, tags: [night]}\n"


def test_figures_of_two_manifests(tavern: Any, serve: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Units, seconds and loudness of what was made; what was not made counts as a take without a sound."""
    serve()
    assert tavern.run() == 0
    (tavern.folder / "forest.yaml").write_text(OTHER)
    written = tmp_path / "stats.csv"
    words = ["stats", str(tavern.manifest), "forest.yaml", "--by", "project", "--format", "csv"]
    assert main([*words, "--output", str(written)]) == 0
    forest, made = csv.DictReader(written.read_text().splitlines())
    assert (forest["project"], forest["takes"], forest["succeeded"], forest["units"]) == ("forest", "1", "0", "0.0")
    assert (made["takes"], made["succeeded"], made["units"]) == ("7", "7", "1.75")
    assert float(made["seconds"]) > 20
    assert -70 < float(made["loudness"]) < 0
    capsys.readouterr()
    assert main(["stats", str(tavern.manifest), "--by", "tag", "--by", "job"]) == 0
    assert capsys.readouterr().out.split()[:3] == ["tag", "job", "takes"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a.yaml", "b.yaml", "--out", "x"], "one manifest"),
        (["a.yaml", "--format", "parquet"], "--output"),
        (["a.yaml", "--by", "colour"], "'colour'"),
    ],
)
def test_what_cannot_be_is_told(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With exit status 2 and what to do."""
    assert main(["stats", *words]) == 2
    assert told in capsys.readouterr().err
