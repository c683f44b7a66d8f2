"""Video to audio: sounds and a clip with its sound, each verified by decoding it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from obstore.store import from_url

from kling_batch.cli import main
from kling_batch.delivery.verify import Rejected, Verified, verify_audio
from kling_batch.sandbox.clips import ClipSpec
from kling_batch.sandbox.sound import synthesise

pytest.importorskip("av")

CLIP = """
version: 1
project: tavern
jobs:
  - id: intro
    kind: video-to-audio
    video_url: https://example.com/intro.mp4
    sound_effect_prompt: Footsteps on gravel, a gate
    bgm_prompt: Slow lute
    formats: [wav, mp4]
"""


@pytest.fixture
def clips(tavern: Any) -> Any:
    """Write a manifest of one video."""
    tavern.manifest.write_text(CLIP, encoding="utf-8")
    return tavern


def change(server: Any, settings: dict[str, Any]) -> None:
    httpx.post(f"{server.url}/sandbox/settings", json=settings, trust_env=False).raise_for_status()


def test_a_video_gets_its_sound(clips: Any, serve: Any) -> None:
    """Sound and clip are paid for once, verified, and there again without a request."""
    server = serve()
    assert clips.run() == 0
    assert clips.report()["summary"]["units"] == "0.25"
    files = {file["format"]: file for take in clips.report()["takes"] for file in take["files"]}
    assert files.keys() == {"wav", "mp4"}
    assert {round(file["duration"]) for file in files.values()} == {5}
    assert main(["verify", str(clips.manifest)]) == 0
    assert clips.run() == 0
    assert server.world.ledger.posts.total() == 1


@pytest.mark.parametrize("fault", ["cut", "wrong-length", "wrong-type", "no sound track"])
def test_a_bad_clip_never_gets_its_final_name(clips: Any, serve: Any, rule: Any, fault: str) -> None:
    """What is cut, of another length, silent or no MP4 is kept aside with its reason, and nothing is paid again."""
    clips.manifest.write_text(CLIP.replace("[wav, mp4]", "[mp4]"), encoding="utf-8")
    rules = (rule(fault, on="download"),) if fault.startswith("wrong") else ()
    server = serve(rules=rules, synth=_cut if fault == "cut" else synthesise)
    if fault == "no sound track":
        change(server, {"mp4_sound": False})
    for _ in range(2):
        assert clips.run() == 1
        assert not (clips.out / "intro-01.mp4").exists()
        (take,) = clips.report()["takes"]
        assert take["error"]["message"].startswith("Paid for and not delivered")
    assert server.world.ledger.posts.total() == 1
    assert list((clips.out / "rejected").rglob("*.mp4"))


def _cut(spec: ClipSpec) -> bytes:
    """Make what a host sends whole, and an encoder left unfinished."""
    data = synthesise(spec)
    return data[: len(data) * 7 // 10]


@pytest.fixture(scope="module")
def mp4() -> bytes:
    """Make three seconds of a clip with sound."""
    spec = ClipSpec(prompt="a gate", duration_s=3.0, audio_format="mp4", seed="", sample_rate=8000)
    return synthesise(spec)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_cut_clip_is_rejected(tmp_path: Path, mp4: bytes, share: float) -> None:
    """Wherever a file was cut, it is no clip; whole it is one."""
    path = tmp_path / "clip"
    path.write_bytes(mp4)
    assert isinstance(verify_audio(path, audio_format="mp4", requested_s=None, stated_s=3.0), Verified)
    path.write_bytes(mp4[: int(len(mp4) * share)])
    verdict = verify_audio(path, audio_format="mp4", requested_s=None, stated_s=3.0)
    assert isinstance(verdict, Rejected)
    assert verdict.reason


def test_exactly_one_source_is_wanted(clips: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither none nor two; what a job says takes the place of what the defaults say."""
    head = "version: 1\nproject: clips\ndefaults: {kind: video-to-audio, video_url: 'https://a.example/b.mp4'}\njobs:\n"
    jobs = "  - {id: a}\n  - {id: b, video_id: '8123'}\n"
    clips.manifest.write_text(head + jobs)
    assert main(["validate", str(clips.manifest)]) == 0
    clips.manifest.write_text(head.replace(", video_url: 'https://a.example/b.mp4'", "") + jobs)
    assert main(["validate", str(clips.manifest)]) == 2
    both = "  - {id: c, video_id: '8123', video_url: 'https://a.example/c.mp4'}\n"
    clips.manifest.write_text(head + both)
    assert main(["validate", str(clips.manifest)]) == 2
    said = capsys.readouterr()
    assert "exactly one of `video`, `video_url`, `video_id` is missing" in said.out + said.err
    assert "is wanted, not `video_url` and `video_id`" in said.out + said.err


LOCAL = """
version: 1
project: tavern
jobs:
  - {id: intro, kind: video-to-audio, video: clips/intro.mp4, formats: [wav, mp4]}
"""


@pytest.fixture
def footage(clips: Any, mp4: bytes) -> Any:
    """Put a clip of three seconds beside a manifest that names it."""
    (clips.folder / "clips").mkdir()
    (clips.folder / "clips" / "intro.mp4").write_bytes(mp4)
    clips.manifest.write_text(LOCAL, encoding="utf-8")
    return clips


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a bucket, which the environment opens."""
    httpx.put(f"{s3}/clips", trust_env=False).raise_for_status()
    for name, value in {"ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    return "clips"


def test_a_file_is_uploaded_once_and_known_by_its_content(footage: Any, serve: Any, bucket: str, mp4: bytes) -> None:
    """The service reads it in the user's storage; under another name it is the same, with other bytes another."""
    server = serve()
    assert footage.run("--uploads", f"s3://{bucket}/clips") == 0
    there = from_url(f"s3://{bucket}/clips").get(f"{hashlib.sha256(mp4).hexdigest()}.mp4")
    assert bytes(there.bytes()) == mp4
    (footage.folder / "clips" / "intro.mp4").rename(footage.folder / "clips" / "other.mp4")
    footage.manifest.write_text(LOCAL.replace("intro.mp4", "other.mp4"))
    assert footage.run("--uploads", f"s3://{bucket}/clips") == 0
    assert server.world.ledger.posts.total() == 1
    with (footage.folder / "clips" / "other.mp4").open("ab") as file:
        file.write(bytes([0, 0, 0, 8]) + b"free")
    assert footage.run("--uploads", f"s3://{bucket}/clips", "--max-units", "1") == 0
    assert server.world.ledger.posts.total() == 2


def test_what_cannot_be_uploaded_stops_the_run(
    footage: Any, serve: Any, bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person has to mend it, and other bytes than were read are never paid for in their name."""
    server = serve()
    assert footage.run("--uploads", "s3://nowhere/clips") == 6
    assert "there is no such bucket" in capsys.readouterr().err
    monkeypatch.setattr("kling_batch.manifest.inputs.hash_file", lambda _: 64 * "0")
    assert footage.run("--uploads", f"s3://{bucket}/clips") == 6
    assert "intro.mp4 was changed while this run was under way" in capsys.readouterr().err
    assert not server.world.ledger.posts


def test_without_a_place_for_it_nothing_is_sent(footage: Any, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What to do is said before anything is paid; in the sandbox of the process there is a place."""
    server = serve()
    assert footage.run() == 2
    assert "--uploads s3://BUCKET/PREFIX" in capsys.readouterr().err
    assert not server.world.ledger.posts
    assert footage.run("--sandbox") == 0


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("none.mp4", None, "cannot be read: No such file"),
        ("https://example.com/a.mp4", None, "write it as `video_url`"),
        ("text.mp4", b"<html>", "is no MP4 or MOV"),
        ("cut.mp4", "cut", "is no MP4 or MOV, or not a whole one"),
        ("short.mp4", "short", "the service takes 3 to 20 s"),
        ("../out.mp4", None, "leads outside"),
        ("/etc/passwd", None, "write it relative to this manifest"),
    ],
)
def test_a_file_is_checked_before_anything_is_paid(
    footage: Any, mp4: bytes, name: str, data: bytes | str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the service would refuse is told at its place in the manifest."""
    made = {"cut": mp4[: len(mp4) // 2], "short": _short(mp4)}
    if data is not None:
        (footage.folder / "clips" / name).write_bytes(made[data] if isinstance(data, str) else data)
    path = name if name.startswith("/") else f"clips/{name}"
    footage.manifest.write_text(LOCAL.replace("clips/intro.mp4", path if "out" not in name else "../out.mp4"))
    assert main(["validate", str(footage.manifest)]) == 2
    said = capsys.readouterr()
    assert "tavern.yaml:5:" in said.out
    assert words in said.out


def _short(mp4: bytes) -> bytes:
    """Have its movie header say two seconds."""
    at = mp4.index(b"mvhd") + 16
    per_s = int.from_bytes(mp4[at : at + 4], "big")
    return mp4[: at + 4] + (2 * per_s).to_bytes(4, "big") + mp4[at + 8 :]


def test_a_clip_that_nothing_can_decode_is_not_asked_for(
    clips: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the extra `video` it is said before anything is paid."""
    del tmp_path
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    assert main(["validate", str(clips.manifest)]) == 2
    said = capsys.readouterr()
    assert "tavern.yaml:10:14: `mp4` is decoded by the extra `video`" in said.out + said.err
    assert "pip install 'kling-batch[video]'" in said.out + said.err
