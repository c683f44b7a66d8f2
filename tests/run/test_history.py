"""What was there before, on the page: sounds that others took the place of, and another report to compare with."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kling_batch.cli import main
from kling_batch.records.layout import FOLDER

Jobs = dict[str, list[Any]]
EARLIER = 4
"""The status of an earlier sound on the page, after the four that a take may have."""


@pytest.fixture
def edit(tavern: Any) -> Callable[[str, str], None]:
    """Change the manifest's text, where it has it."""

    def change(old: str, new: str) -> None:
        text = tavern.manifest.read_text()
        assert old in text
        tavern.manifest.write_text(text.replace(old, new))

    return change


@pytest.fixture
def earlier(tavern: Any, jobs: Callable[[], Jobs]) -> Callable[[], list[tuple[str, int, int, str]]]:
    """Read the earlier sounds off the page: job, take, edition, and the hash of the file that is linked."""

    def read() -> list[tuple[str, int, int, str]]:
        takes = [(name, take) for name, job in jobs().items() for take in job[6] if take[1] == EARLIER]
        linked = [(name, take, (tavern.out / take[5][0][0]).read_bytes()) for name, take in takes]
        return [(name, take[0], take[-1], hashlib.sha256(data).hexdigest()) for name, take, data in linked]

    return read


def hashed(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_a_reroll_or_an_edition_replaced_is_listened_to(
    tavern: Any, serve: Any, edit: Any, earlier: Any, jobs: Callable[[], Jobs]
) -> None:
    """The latest first, each with its waveform; a page of the whole set, also after a reroll."""
    serve()
    assert tavern.run() == 0
    assert earlier() == []
    first, third = hashed(tavern.out / "door-02.wav"), hashed(tavern.out / "door-03.wav")
    assert main(["reroll", str(tavern.manifest), "door:2", "--yes", "--settle-time", "0.2"]) == 0
    assert earlier() == [("door", 2, 1, first)]
    assert len(jobs()) == 3
    second = hashed(tavern.out / "door-02.wav")
    edit("takes: 3\n", "takes: 3\n    edition: 2\n")
    assert tavern.run() == 0
    assert [row for row in earlier() if row[1] > 1] == [
        ("door", 2, 2, second),
        ("door", 2, 1, first),
        ("door", 3, 1, third),
    ]
    assert all(len(take[10]) == 120 for take in jobs()["door"][6])


def test_earlier_sounds_come_from_the_store(
    tavern: Any, serve: Any, earlier: Any, jobs: Callable[[], Jobs], tmp_path: Path
) -> None:
    """By `report`, on a machine that has not got them; where the store has them no more, the page goes without."""
    serve()
    store = ["--store", str(tmp_path / "store")]
    assert tavern.run(*store) == 0
    before = hashed(tavern.out / "door-02.wav")
    again = ["reroll", str(tavern.manifest), "door:2", "--yes", "--settle-time", "0.2", *store]
    assert main(again) == 0
    shutil.rmtree(tavern.out)
    assert main(["restore", str(tavern.manifest), *store]) == 0
    assert earlier() == []
    assert main(["report", str(tavern.manifest), *store]) == 0
    assert earlier() == [("door", 2, 1, before)]
    assert len(jobs()["door"][6][-1][10]) == 120
    shutil.rmtree(tavern.out / FOLDER / "replaced")
    shutil.rmtree(tmp_path / "store")
    assert main(["report", str(tavern.manifest), *store]) == 0
    assert earlier() == []


def test_two_reports_are_compared(
    tavern: Any, serve: Any, edit: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What is new, gone and changed, on the page and as lines; the reports may be of one folder."""
    serve()
    assert tavern.run() == 0
    old = shutil.copy(tavern.out / "report.json", tmp_path / "night.json")
    edit("[oak, wet stone]", "[oak, snow]")
    assert tavern.run() == 0
    assert main(["reroll", str(tavern.manifest), "door:1", "--yes", "--settle-time", "0.2"]) == 0
    capsys.readouterr()
    assert main(["report", str(tavern.manifest), "--against", str(old)]) == 0
    said = capsys.readouterr()
    assert re.sub(r", [0-9.]+ LU \w+", "", said.out).splitlines() == [
        "door:1: changed",
        "step-snow:1: new",
        "step-snow:2: new",
        "step-wet-stone:1: gone",
        "step-wet-stone:2: gone",
    ]
    assert "Against night.json: 2 new, 2 gone, 1 changed" in said.err
    page = (tavern.out / "report.html").read_text()
    assert "2 new, 2 gone, 1 changed" in page
    assert "step-wet-stone:1" in page
    assert main(["report", str(tavern.manifest), "--against", str(tavern.out / "report.json")]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"takes": [1]}', '{"takes": [{"job_id": "a", "take": "x", "files": []}]}', "[" * 9999]
)
def test_what_is_no_report_is_refused(
    tavern: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    """By its name, and nothing is written."""
    (tmp_path / "old.json").write_text(text)
    assert main(["report", str(tavern.manifest), "--against", str(tmp_path / "old.json")]) == 2
    assert "old.json is no report of kling-batch" in capsys.readouterr().err
    assert not (tavern.out / "report.html").exists()


def test_a_report_that_is_not_there_is_named(tavern: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """With its path."""
    assert main(["report", str(tavern.manifest), "--against", "old.json"]) == 2
    assert "old.json: there is no such report" in capsys.readouterr().err
