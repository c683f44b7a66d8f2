"""An output folder belongs to one manifest."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kling_batch.cli import main

OTHER = "version: 1\nproject: tavern\njobs:\n  - {id: bell, prompt: A ship's bell, duration: 3.0}\n"


@pytest.fixture
def other(tavern: Any) -> Path:
    """A second manifest with the project's name, in the same folder."""
    path: Path = tavern.folder / "other.yaml"
    path.write_text(OTHER)
    return path


@pytest.mark.parametrize("verb", ["plan", "run", "status", "report", "restore", "pick", "verify"])
def test_another_manifest_is_refused(
    tavern: Any, serve: Any, other: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """With the ways on, before anything is sent or written; the first manifest goes on as before."""
    server = serve()
    assert tavern.run() == 0
    requests, before = dict(server.world.ledger.requests), tavern.sounds()
    capsys.readouterr()
    assert main([verb, str(other), *(["bell=1"] if verb == "pick" else [])]) == 2
    said = capsys.readouterr().err
    assert "holds the sounds of tavern.yaml" in said
    assert all(way in said for way in ("--out", "--project", "--adopt"))
    assert (dict(server.world.ledger.requests), tavern.sounds()) == (requests, before)
    assert main(["verify", str(tavern.manifest)]) == 0


def test_a_folder_of_its_own_or_a_name_of_its_own_is_the_way_on(tavern: Any, serve: Any, other: Path) -> None:
    """Nothing of the first set is touched."""
    serve()
    assert tavern.run() == 0
    assert main(["run", str(other), "--yes", "--out", "out/other", "--settle-time", "0.2"]) == 0
    assert main(["verify", str(tavern.manifest)]) == 0


def test_a_renamed_manifest_adopts_its_folder(tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """By consent and once; nothing is paid for again."""
    server = serve()
    assert tavern.run() == 0
    for name in ("tavern.yaml", "tavern.yaml.lock"):
        (tavern.folder / name).rename(tavern.folder / name.replace("tavern", "inn"))
    assert main(["run", "inn.yaml", "--yes"]) == 2
    assert "--adopt" in capsys.readouterr().err
    assert main(["plan", "inn.yaml", "--adopt"]) == 0
    assert main(["run", "inn.yaml", "--yes", "--adopt"]) == 0
    assert main(["run", "inn.yaml", "--yes"]) == 0
    assert len(server.world.ledger.tasks) == 7


def test_a_project_that_is_moved_goes_on(
    tavern: Any, serve: Any, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Manifest and sounds together, or the manifest alone where the folder is named."""
    serve()
    assert tavern.run() == 0
    place = tmp_path_factory.mktemp("elsewhere") / "tavern"
    shutil.move(tavern.folder, place)
    monkeypatch.chdir(place)
    assert main(["run", "tavern.yaml", "--yes"]) == 0
    (place / "deep").mkdir()
    for name in ("tavern.yaml", "tavern.yaml.lock"):
        (place / name).rename(place / "deep" / name)
    assert main(["run", "deep/tavern.yaml", "--yes"]) == 0


def test_a_folder_of_an_earlier_version_goes_on(tavern: Any, serve: Any, other: Path) -> None:
    """It remembers no manifest, and belongs to the first that runs there."""
    serve()
    assert tavern.run() == 0
    with closing(sqlite3.connect(tavern.out / ".kling-batch" / "journal.sqlite3")) as journal, journal:
        assert journal.execute("DELETE FROM meta WHERE key = 'manifest'").rowcount == 1
    assert tavern.run() == 0
    assert main(["run", str(other), "--yes"]) == 2
