"""Video to audio: sounds and a clip with its sound, each verified by decoding it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

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


@pytest.mark.parametrize("fault", ["wrong-length", "wrong-type", "no sound track"])
def test_a_bad_clip_never_gets_its_final_name(clips: Any, serve: Any, rule: Any, fault: str) -> None:
    """What is of another length, silent or no MP4 is kept aside with its reason, and nothing is paid again."""
    clips.manifest.write_text(CLIP.replace("[wav, mp4]", "[mp4]"), encoding="utf-8")
    server = serve(rules=() if fault == "no sound track" else (rule(fault, on="download"),))
    if fault == "no sound track":
        change(server, {"mp4_sound": False})
    for _ in range(2):
        assert clips.run() == 1
        assert not (clips.out / "intro-01.mp4").exists()
        (take,) = clips.report()["takes"]
        assert take["error"]["message"].startswith("Paid for and not delivered")
    assert server.world.ledger.posts.total() == 1
    assert list((clips.out / "rejected").rglob("*.mp4"))


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
    assert "exactly one of `video_url` and `video_id` is missing" in said.out + said.err
    assert "there are both" in said.out + said.err


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
