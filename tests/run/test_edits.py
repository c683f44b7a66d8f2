"""Files that a person edited stay as they are, and are named; damaged ones are put back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from kling_batch.cli import main

Edit = Callable[..., bytes]
MANIFEST = """
version: 1
project: tavern
jobs:
  - {id: door, prompt: Old oak door, duration: 3.0, formats: [wav, mp3], takes: 2}
"""


@pytest.fixture
def edit(tavern: Any, serve: Any) -> Edit:
    """Make the set, then trim a sound in place as a sound designer does; gives the bytes that stand there now."""
    serve()
    tavern.manifest.write_text(MANIFEST)
    tavern.run("--store", "store")

    def trim(name: str = "door-01.wav") -> bytes:
        samples, rate = soundfile.read(tavern.out / name)
        soundfile.write(tavern.out / name, samples[: len(samples) // 3], rate)
        edited: bytes = (tavern.out / name).read_bytes()
        return edited

    return trim


def replaced(out: Path) -> list[bytes]:
    folder = out / ".kling-batch" / "replaced"
    return [file.read_bytes() for file in folder.iterdir()] if folder.is_dir() else []


@pytest.mark.parametrize("command", [["run", "--yes"], ["run", "--frozen"], ["run", "--locked"], ["restore"]])
def test_an_edited_file_is_kept_and_named(
    tavern: Any, edit: Edit, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The take has succeeded and is kept; its warning says that it was edited, in the reports and on the terminal."""
    edited = edit()
    lock = (tavern.folder / "tavern.yaml.lock").read_bytes()
    capsys.readouterr()
    assert main([command[0], str(tavern.manifest), *command[1:], "--store", "store"]) == 0
    assert "door:1: door-01.wav: edited; it is kept" in capsys.readouterr().err
    assert (tavern.out / "door-01.wav").read_bytes() == edited
    take = tavern.report()["takes"][0]
    assert (take["status"], take["origin"]) == ("succeeded", "kept")
    assert "door-01.wav: edited" in take["warnings"][0]
    assert "door-01.wav: edited" in (tavern.out / "report.html").read_text()
    assert (tavern.folder / "tavern.yaml.lock").read_bytes() == lock
    assert replaced(tavern.out) == []


def test_it_is_still_an_edit_for_a_later_run(tavern: Any, edit: Edit, capsys: pytest.CaptureFixture[str]) -> None:
    """Also one that has the original's size, and where the journal is lost, or another file of the take is missing."""
    edit()
    path = tavern.out / "door-02.wav"
    data = bytearray(path.read_bytes())
    data[-200:] = bytes(200)
    path.write_bytes(data)
    (tavern.out / "door-02.mp3").unlink()
    for journal in (tavern.out / ".kling-batch").glob("journal*"):
        journal.unlink()
    for _ in range(2):
        assert tavern.run("--store", "store") == 0
        assert path.read_bytes() == data
    assert "door:2: door-02.wav: edited" in capsys.readouterr().err
    assert (tavern.out / "door-02.mp3").exists()


def test_a_plan_keeps_it_and_says_why(tavern: Any, edit: Edit, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON and for people."""
    edit()
    capsys.readouterr()
    assert main(["plan", str(tavern.manifest), "--format", "json"]) == 0
    step = json.loads(capsys.readouterr().out)["takes"][0]
    assert step["action"] == "keep"
    assert step["reason"] == "door-01.wav was edited, and is kept; --restore-edited puts the original back"
    assert main(["plan", str(tavern.manifest)]) == 0
    said = capsys.readouterr().out
    assert "1 take with files that were edited, and are kept:\n  ! door:1  door-01.wav was edited" in said


def test_a_plan_says_which_edits_a_new_sound_takes_the_place_of(
    tavern: Any, edit: Edit, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of an edition that was raised, for people and as JSON; a file that nobody edited is not named."""
    edit()
    tavern.manifest.write_text(MANIFEST.replace("takes: 2", "takes: 2, edition: 2"))
    capsys.readouterr()
    words = "door-01.wav was edited: the new sound takes its place, and it is kept in .kling-batch/replaced"
    assert main(["plan", str(tavern.manifest)]) == 0
    assert f"      ! {words}" in capsys.readouterr().out
    assert main(["plan", str(tavern.manifest), "--format", "json"]) == 0
    reasons = [take["reason"] for take in json.loads(capsys.readouterr().out)["takes"]]
    assert reasons == [f"changed: edition: 1 -> 2; {words}", "changed: edition: 1 -> 2"]


def test_verify_tells_edited_from_damaged(tavern: Any, edit: Edit, capsys: pytest.CaptureFixture[str]) -> None:
    """Both are modified, and not what is locked: exit status 3."""
    edit()
    (tavern.out / "door-02.wav").write_bytes(b"damaged")
    capsys.readouterr()
    assert main(["verify", str(tavern.manifest)]) == 3
    said = capsys.readouterr()
    assert "modified: door-01.wav: edited: it has" in said.out
    assert "modified: door-02.wav: it has 7 bytes" in said.out
    assert "keeps what was edited" in said.err


@pytest.mark.parametrize("command", ["run", "restore"])
def test_restore_edited_puts_the_original_back(
    tavern: Any, edit: Edit, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says where the edit went, and nothing of it is lost."""
    before = (tavern.out / "door-01.wav").read_bytes()
    edited = edit()
    capsys.readouterr()
    assert main([command, str(tavern.manifest), "--store", "store", "--restore-edited"]) == 0
    assert (tavern.out / "door-01.wav").read_bytes() == before
    assert replaced(tavern.out) == [edited]
    assert "what stood there is kept as .kling-batch/replaced/door-01." in capsys.readouterr().err


def test_restore_says_that_not_every_file_is_the_locked_one(
    tavern: Any, edit: Edit, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words, and as JSON by its path."""
    edit()
    (tavern.out / "door-02.wav").unlink()
    assert main(["restore", str(tavern.manifest), "--store", "store"]) == 0
    assert "Every locked file is in place, but for 1 edited file: 1 take restored." in capsys.readouterr().err
    assert main(["restore", str(tavern.manifest), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"restored": True, "lost": [], "edited": ["door-01.wav"]}


@pytest.mark.parametrize("damage", ["empty", "garbage", "cut"])
@pytest.mark.parametrize("name", ["door-01.wav", "door-01.mp3"])
def test_a_damaged_file_is_put_back(tavern: Any, edit: Edit, name: str, damage: str) -> None:
    """What is empty, cannot be decoded or is cut is no edit; it is kept aside."""
    del edit
    before = (tavern.out / name).read_bytes()
    damaged = {"empty": b"", "garbage": b"no sound", "cut": before[: len(before) // 2 + 1]}[damage]
    (tavern.out / name).write_bytes(damaged)
    assert tavern.run("--store", "store") == 0
    assert (tavern.out / name).read_bytes() == before
    assert replaced(tavern.out) == [damaged]
    assert f"{name}: the original is back" in tavern.report()["takes"][0]["warnings"][0]


def test_an_earlier_sound_is_no_edit(tavern: Any, edit: Edit, capsys: pytest.CaptureFixture[str]) -> None:
    """A lock that names a fresh sound, as one that somebody else rolled and committed, brings that."""
    del edit
    lock, old = tavern.folder / "tavern.yaml.lock", (tavern.out / "door-01.wav").read_bytes()
    assert main(["reroll", str(tavern.manifest), "door:1", "--yes", "--store", "store"]) == 0
    fresh = (tavern.out / "door-01.wav").read_bytes()
    (tavern.out / "door-01.wav").write_bytes(old)
    for journal in (tavern.out / ".kling-batch").glob("journal*"):
        journal.unlink()
    capsys.readouterr()
    assert main(["plan", str(tavern.manifest), "--format", "json"]) == 0
    assert "another sound of this project stands there" in json.loads(capsys.readouterr().out)["takes"][0]["reason"]
    assert main(["run", str(tavern.manifest), "--frozen", "--store", "store"]) == 0
    assert (tavern.out / "door-01.wav").read_bytes() == fresh
    assert tavern.report()["takes"][0]["warnings"] == []
    assert lock.exists()


@pytest.mark.parametrize("how", ["reroll", "edition"])
def test_a_new_sound_says_where_an_edited_file_went(
    tavern: Any, edit: Edit, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named; that of a take that nobody edited is not."""
    edited = edit()
    capsys.readouterr()
    if how == "edition":
        tavern.manifest.write_text(MANIFEST.replace("takes: 2", "takes: 2, edition: 2"))
        assert tavern.run("--store", "store") == 0
        assert "door-01.wav: replaced" in tavern.report()["takes"][0]["warnings"][0]
    else:
        assert main(["reroll", str(tavern.manifest), "door:1", "door:2", "--yes", "--store", "store"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "replaced" in line]
    assert len(said) == 1
    assert "door-01.wav: replaced; what stood there is kept as .kling-batch/replaced/door-01." in said[0]
    assert edited in replaced(tavern.out)


def test_an_edited_pick_is_kept(tavern: Any, edit: Edit, capsys: pytest.CaptureFixture[str]) -> None:
    """The copy under the job's plain name is what people edit most."""
    assert main(["pick", str(tavern.manifest), "door=1"]) == 0
    edited = edit("door.wav")
    capsys.readouterr()
    assert tavern.run("--store", "store", "--verbose") == 0
    assert "door.wav: edited; it is kept" in capsys.readouterr().err
    assert (tavern.out / "door.wav").read_bytes() == edited
    assert main(["restore", str(tavern.manifest), "--store", "store", "--restore-edited"]) == 0
    assert "door.wav: the pick is in place, and what stood there is kept as" in capsys.readouterr().err
    assert (tavern.out / "door.wav").read_bytes() == (tavern.out / "door-01.wav").read_bytes()
    assert replaced(tavern.out) == [edited]
