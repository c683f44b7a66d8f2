"""What a run and `kling-batch report` put on the page to listen: levels, waveforms, picks and where things are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kling_batch.api.project import load
from kling_batch.cli import main
from kling_batch.records.journal import Journal
from kling_batch.records.layout import FOLDER
from kling_batch.records.snapshot import read_shapes

Jobs = dict[str, list[Any]]


def shown(jobs: Jobs) -> list[tuple[float | None, float | None, int]]:
    """Give peak, loudness and the waveform's columns of every take."""
    return [(take[8], take[9], len(take[10])) for job in jobs.values() for take in job[6]]


def test_a_run_shows_what_its_sounds_look_like(tavern: Any, serve: Any, jobs: Callable[[], Jobs]) -> None:
    """Each take with its levels and its waveform, kept by the hash of its first format alone."""
    serve()
    assert tavern.run() == 0
    levels = shown(jobs())
    assert len(levels) == 7
    for peak, loudness, columns in levels:
        assert peak is not None
        assert loudness is not None
        assert -20 < loudness < peak < 0
        assert columns == 120
    files = tavern.report()["takes"][0]["files"]
    known = read_shapes(tavern.out)
    assert [file["sha256"] in known for file in files] == [True, False]


def test_sounds_of_a_checkout_are_looked_at_once(
    tavern: Any, serve: Any, jobs: Callable[[], Jobs], capsys: pytest.CaptureFixture[str]
) -> None:
    """The report of a folder whose journal is gone has the same waveforms, but for what is modified or missing."""
    serve()
    assert tavern.run() == 0
    before = shown(jobs())
    for file in (tavern.out / FOLDER).iterdir():
        if file.name.startswith("journal"):
            file.unlink()
    (tavern.out / "door-01.wav").unlink()
    (tavern.out / "door-02.wav").write_bytes(b"edited")
    assert main(["report", str(tavern.manifest)]) == 0
    assert "Looking at 7 sounds, once" in capsys.readouterr().err
    assert shown(jobs()) == [(None, None, 0), (None, None, 0), *before[2:]]
    assert main(["report", str(tavern.manifest)]) == 0
    assert "Looking at 2 sounds" in capsys.readouterr().err


def test_a_report_while_a_run_is_at_work_does_without(
    tavern: Any, serve: Any, jobs: Callable[[], Jobs], capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder is the run's: the page is written with what is known, and the command says so."""
    serve()
    assert tavern.run() == 0
    with closing(Journal(tavern.out, now=1.0)) as held:
        held._connection.execute("DELETE FROM shapes")
        held._connection.commit()
        assert main(["report", str(tavern.manifest)]) == 0
    assert set(shown(jobs())) == {(None, None, 0)}
    assert "Without the waveforms of 7 sounds: " in capsys.readouterr().err


def test_a_run_shows_what_is_picked(tavern: Any, serve: Any, jobs: Callable[[], Jobs]) -> None:
    """After a pick, also a run that has nothing to do writes the page anew."""
    serve()
    assert tavern.run() == 0
    assert {job[5] for job in jobs().values()} == {0}
    assert main(["pick", str(tavern.manifest), "door=2"]) == 0
    assert tavern.run() == 0
    assert {name: job[5] for name, job in jobs().items()} == {"door": 2, "step-oak": 0, "step-wet-stone": 0}
    assert main(["pick", str(tavern.manifest), "door=3"]) == 0
    assert main(["report", str(tavern.manifest)]) == 0
    assert jobs()["door"][5] == 3


def test_a_project_knows_the_options_that_lead_to_it(tavern: Any) -> None:
    """Those that were given, in words of the command line; none where nothing was."""
    assert load(tavern.manifest).place == ()
    project = load(tavern.manifest, project="tavern", out=Path("a b"), lock="x.lock", sandbox=True)
    assert project.place == ("--project", "tavern", "--out", "a b", "--lock", "x.lock", "--sandbox")
