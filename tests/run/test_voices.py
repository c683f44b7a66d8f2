"""Cloned voices: somebody's, so that nobody clones one without saying who agrees; kept by their id."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest
import soundfile

from kling_batch.cli import main
from kling_batch.model import TakeKey
from kling_batch.records.lock import read_lock

CLONE = """
version: 1
project: tavern
jobs:
  - {id: barkeeper, kind: voice-clone, voice_name: Barkeeper, voice_url: 'https://example.com/b.wav'}
"""
LOCAL = CLONE.replace("voice_url: 'https://example.com/b.wav'", "voice: takes/b.wav")


@pytest.fixture
def voices(tavern: Any) -> Any:
    """Write a manifest of one voice."""
    tavern.manifest.write_text(CLONE, encoding="utf-8")
    return tavern


def recording(seconds: float, form: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, [0.0] * int(8000 * seconds), 8000, format=form)
    return file.getvalue()


def locked(project: Any) -> Any:
    return read_lock(project.folder / "tavern.yaml.lock", project="tavern").entries[TakeKey("barkeeper", 1)]


@pytest.mark.parametrize("consent", [(), ("--max-units", "1"), ("--voice-rights", " ")])
def test_no_voice_is_cloned_unless_somebody_agrees(
    voices: Any, serve: Any, consent: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither --yes nor a budget covers it: nothing is sent, and the flag that does is named."""
    server = serve()
    assert voices.run(*consent) == (2 if " " in consent else 4)
    said = capsys.readouterr().err
    assert server.world.ledger.posts.total() == 0
    assert "voice_rights" in said or ("barkeeper:1 (Barkeeper)" in said and "--voice-rights WHO" in said)


def test_a_voice_without_an_id_is_not_done(voices: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id is what was paid for: without it the take is pending, and asked for again until the service says it."""
    server = serve()
    with monkeypatch.context() as patch:
        patch.setattr("kling_batch.sandbox.rows.voice_id", lambda _: "")
        assert voices.run("--voice-rights", "Ada, by contract", "--settle-time", "1") == 6
    (take,) = voices.report()["takes"]
    assert (take["status"], take["voice_id"]) == ("pending", None)
    assert "does not say the id of what it made" in take["error"]["message"]
    words = {"behaviour": {"success_word": "succeeded"}}  # another answer than the one that the sandbox has ready
    httpx.post(f"{server.url}/sandbox/settings", json=words, trust_env=False).raise_for_status()
    assert voices.run("--voice-rights", "Ada, by contract") == 0
    assert voices.report()["takes"][0]["voice_id"]
    assert server.world.ledger.posts.total() == 1


def test_a_voice_is_cloned_and_kept(voices: Any, serve: Any) -> None:
    """The lock and the report have its id, the lock who agreed and when; nothing is sent again."""
    server = serve()
    assert voices.run("--voice-rights", "Ada, by contract") == 0
    (take,) = voices.report()["takes"]
    made = take["voice_id"]
    assert made
    assert (take["units"], voices.sounds()) == ("0.05", ["barkeeper-01.mp3"])
    entry = locked(voices)
    assert (entry.voice_id, entry.rights_by, entry.rights_at[:2]) == (made, "Ada, by contract", "20")
    before = (voices.folder / "tavern.yaml.lock").read_bytes()
    assert main(["verify", str(voices.manifest)]) == 0
    assert voices.run() == 0
    assert voices.report()["takes"][0]["voice_id"] == made
    assert server.world.ledger.posts.total() == 1
    assert (voices.folder / "tavern.yaml.lock").read_bytes() == before


def test_a_lock_alone_remembers_the_voice(voices: Any, serve: Any, tmp_path: Any) -> None:
    """On another machine the trial comes back without the flag, for nothing is cloned; the lock stays as it is."""
    server = serve()
    assert voices.run("--voice-rights", "Ada") == 0
    before = locked(voices)
    assert voices.run("--out", str(tmp_path / "other")) == 0
    assert voices.report(tmp_path / "other")["takes"][0]["voice_id"] == before.voice_id
    assert locked(voices) == before
    assert server.world.ledger.posts.total() == 1


def test_who_agreed_outlives_a_run_that_was_stopped(voices: Any, serve: Any, rule: Any) -> None:
    """The next run brings the voice home without the flag: what was said stands in the journal."""
    server = serve(rules=(rule("status", 503, on="download"),))
    assert voices.run("--voice-rights", "Ada", "--deadline", "2", "--patience", "1") == 6
    httpx.post(f"{server.url}/sandbox/settings", json={"rules": []}, trust_env=False).raise_for_status()
    assert voices.run() == 0
    assert locked(voices).rights_by == "Ada"
    assert server.world.ledger.posts.total() == 1


def test_a_fresh_clone_needs_consent_anew(voices: Any, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What was agreed to was one voice: `reroll` changes neither lock nor account without the flag."""
    server = serve()
    assert voices.run("--voice-rights", "Ada") == 0
    before = (voices.folder / "tavern.yaml.lock").read_bytes()
    assert main(["reroll", str(voices.manifest), "barkeeper:1", "--yes"]) == 4
    assert "--voice-rights WHO" in capsys.readouterr().err
    assert (voices.folder / "tavern.yaml.lock").read_bytes() == before
    assert server.world.ledger.posts.total() == 1


def test_the_plan_names_every_clone(voices: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """In words and as JSON; what is made already is not named."""
    assert main(["plan", str(voices.manifest), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["clones"] == [{"job_id": "barkeeper", "take": 1, "name": "Barkeeper"}]
    assert main(["plan", str(voices.manifest)]) == 0
    assert "Voices to clone, which needs --voice-rights: barkeeper:1 (Barkeeper)." in capsys.readouterr().out


@pytest.mark.parametrize(("name", "form"), [("b.wav", "WAV"), ("b.mp3", "MP3")])
def test_a_recording_is_handed_over(voices: Any, name: str, form: str) -> None:
    """A file of one's own is put where the service reads it; in the sandbox of the process no voice is anybody's."""
    (voices.folder / "takes").mkdir()
    (voices.folder / "takes" / name).write_bytes(recording(5.0, form))
    voices.manifest.write_text(LOCAL.replace("b.wav", name))
    assert voices.run("--sandbox") == 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (recording(4.9), "lasts 4.90 s, and the service takes 5 to 30 s"),
        (recording(31), "lasts 31.00 s"),
        (recording(6, "FLAC"), "is no MP3, WAV, MP4 or MOV"),
        (b"<html>", "is no MP3, WAV, MP4 or MOV"),
        (b"", "is no MP3, WAV, MP4 or MOV"),
    ],
)
def test_a_recording_is_checked(voices: Any, data: bytes, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the service would refuse is told at its place, before anything is paid."""
    (voices.folder / "takes").mkdir()
    (voices.folder / "takes" / "b.wav").write_bytes(data)
    voices.manifest.write_text(LOCAL)
    assert main(["validate", str(voices.manifest)]) == 2
    said = capsys.readouterr().out
    assert "tavern.yaml:5:" in said
    assert words in said


def listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["voices", "--format", "json"]) == 0
    voices: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["voices"]
    return voices


def test_voices_are_listed_and_deleted(voices: Any, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One's own and everybody's; one's own is deleted once somebody agrees, and nothing else is."""
    serve()
    assert voices.run("--voice-rights", "Ada") == 0
    voice_id = voices.report()["takes"][0]["voice_id"]
    (own,) = [voice for voice in listed(capsys) if voice["own"]]
    presets = [voice for voice in listed(capsys) if not voice["own"]]
    assert (own["voice_id"], own["name"]) == (voice_id, "Barkeeper")
    assert own["trial_url"]
    assert main(["voices"]) == 0
    assert f"{voice_id}  own     Barkeeper  http" in capsys.readouterr().out
    assert main(["voices", "delete", voice_id]) == 4
    assert "Add --yes" in capsys.readouterr().err
    assert main(["voices", "delete", presets[0]["voice_id"], "--yes"]) == 2
    assert main(["voices", "delete", voice_id, "--yes"]) == 0
    assert listed(capsys) == presets


@pytest.mark.parametrize("fault", ["lost-before", "lost-after"])
def test_a_voice_is_deleted_though_the_answer_was_lost(
    voices: Any, serve: Any, rule: Any, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    """What is gone is gone, whoever asks a second time."""
    serve(rules=(rule(fault, on="delete", nth=frozenset({1})),))
    assert voices.run("--voice-rights", "Ada") == 0
    (own,) = [voice for voice in listed(capsys) if voice["own"]]
    assert main(["voices", "delete", own["voice_id"], "--yes"]) == 0
    assert not [voice for voice in listed(capsys) if voice["own"]]
