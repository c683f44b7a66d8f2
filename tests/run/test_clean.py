"""Sounds that nothing asks for any more: `verify` names them, and `clean` moves them away."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from kling_batch.cli import main
from tests.run.conftest import MANIFEST, TAKES


@pytest.fixture
def fewer(tavern: Any, serve: Any) -> Any:
    """A set that was made, then asked for with fewer takes and another file's name; gives the service."""
    server = serve()
    assert tavern.run("--no-store") == 0
    tavern.manifest.write_text(MANIFEST.replace("takes: 3", "takes: 1").replace("steps/{surface}/", "feet/"))
    assert tavern.run("--no-store") == 0
    return server


ORPHANS = sorted(
    [f"door-{take:02}.{form}" for take in (2, 3) for form in ("mp3", "wav")]
    + [
        f"steps/{s}/step-{s}-{take:02}.{form}"
        for s in ("oak", "wet-stone")
        for take in (1, 2)
        for form in ("mp3", "wav")
    ]
)


@pytest.mark.usefixtures("fewer")
def test_verify_is_right_again_once_orphans_are_moved_away(tavern: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """They are named as such; nothing is moved unasked, and nothing is deleted."""
    capsys.readouterr()
    assert main(["verify", str(tavern.manifest)]) == 3
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(ORPHANS)
    assert all("an orphan" in line and "kling-batch clean" in line for line in said)
    before = tavern.sounds()
    assert main(["clean", str(tavern.manifest)]) == 0
    told = capsys.readouterr()
    assert sorted(told.out.splitlines()) == ORPHANS
    assert "--yes" in told.err
    assert tavern.sounds() == before
    assert main(["clean", str(tavern.manifest), "--yes"]) == 0
    assert main(["verify", str(tavern.manifest)]) == 0
    assert len(list((tavern.out / ".kling-batch" / "replaced").iterdir())) == len(ORPHANS)
    capsys.readouterr()
    assert main(["clean", str(tavern.manifest), "--yes"]) == 0
    assert capsys.readouterr().out == ""


def test_what_was_moved_away_comes_back_when_it_is_asked_for(tavern: Any, fewer: Any) -> None:
    """From the folder where it is kept: the service is not asked, nor a store."""
    assert main(["clean", str(tavern.manifest), "--yes"]) == 0
    tavern.manifest.write_text(MANIFEST)
    asked = dict(fewer.world.ledger.requests)
    assert tavern.run("--no-store") == 0
    assert dict(fewer.world.ledger.requests) == asked
    assert len(fewer.world.ledger.tasks) == TAKES
    assert main(["verify", str(tavern.manifest)]) == 3  # the files of the other name are orphans now
    assert main(["clean", str(tavern.manifest), "--yes"]) == 0
    assert main(["verify", str(tavern.manifest)]) == 0


@pytest.mark.usefixtures("fewer")
def test_what_is_a_persons_own_stays(tavern: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """An orphan that was edited, and a sound that was never of this set, are extra and no orphans."""
    with (tavern.out / "door-02.wav").open("ab") as file:
        file.write(b"more")
    (tavern.out / "mine.wav").write_bytes(b"RIFF")
    assert main(["clean", str(tavern.manifest), "--yes"]) == 0
    capsys.readouterr()
    assert main(["verify", str(tavern.manifest)]) == 3
    assert capsys.readouterr().out.splitlines() == [
        f"extra: {name}: nothing in the manifest asks for it" for name in ("door-02.wav", "mine.wav")
    ]


@pytest.mark.usefixtures("fewer")
def test_another_manifest_cleans_nothing(tavern: Any) -> None:
    """The folder is not its own."""
    other = tavern.folder / "other.yaml"
    other.write_text("version: 1\nproject: tavern\njobs:\n  - {id: bell, prompt: A ship's bell}\n")
    before = tavern.sounds()
    assert main(["clean", str(other), "--yes"]) == 2
    assert tavern.sounds() == before


def test_pick_and_restore_write_the_page_again(tavern: Any, serve: Any, jobs: Any) -> None:
    """The page shows the choice and what came back, without `kling-batch report`."""
    serve()
    assert tavern.run("--store", "store") == 0
    assert main(["pick", str(tavern.manifest), "door=2"]) == 0
    assert jobs()["door"][5] == 2
    shutil.rmtree(tavern.out)
    assert main(["restore", str(tavern.manifest), "--store", "store"]) == 0
    assert jobs()["door"][5] == 2
