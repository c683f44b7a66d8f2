"""Text to speech: the answer to the call is the result, so that it is kept, and a lost one is never sent again."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from kling_batch.cli import main
from kling_batch.sandbox.settings import Behaviour

LINES = """
version: 1
project: tavern
jobs:
  - {id: door, prompt: Old oak door creaks open, duration: 3.0}
  - id: "greeting-{mood}"
    kind: text-to-speech
    text: "Welcome, {mood} stranger"
    voice_id: oversea_male1
    voice_language: en
    matrix: {mood: [warm, wary]}
    takes: 2
"""


@pytest.fixture
def spoken(tavern: Any) -> Any:
    """Write a manifest of a sound and four spoken lines."""
    tavern.manifest.write_text(LINES, encoding="utf-8")
    return tavern


def posts(server: Any) -> int:
    return int(server.world.ledger.posts.total())


def change(server: Any, settings: dict[str, Any]) -> None:
    httpx.post(f"{server.url}/sandbox/settings", json=settings, trust_env=False).raise_for_status()


def takes_of(project: Any) -> dict[str, dict[str, Any]]:
    return {f"{take['job_id']}:{take['take']}": take for take in project.report()["takes"]}


def test_speech_and_sounds_stand_in_one_manifest(spoken: Any, serve: Any, tmp_path: Path) -> None:
    """Each is paid for at its own price, verified, sent no second time, and had from the store on a bare folder."""
    server = serve()
    assert spoken.run("--store", str(tmp_path / "store")) == 0
    report = spoken.report()
    assert report["summary"]["units"] == "0.45"
    assert {take["prompt"] for take in report["takes"]} == {
        "Old oak door creaks open", "Welcome, warm stranger", "Welcome, wary stranger",
    }  # fmt: skip
    lines = [f"greeting-{mood}-0{number}.mp3" for mood in ("warm", "wary") for number in (1, 2)]
    assert spoken.sounds() == ["door-01.wav", *lines]
    assert main(["verify", str(spoken.manifest)]) == 0
    sent = posts(server)
    shutil.rmtree(spoken.out)
    assert spoken.run("--store", str(tmp_path / "store")) == 0
    assert posts(server) == sent == 5
    assert main(["verify", str(spoken.manifest)]) == 0


def test_a_lost_answer_is_unknown_and_never_sent_again(spoken: Any, serve: Any, rule: Any) -> None:
    """Nothing can be looked for: the take says what it may have cost and how to ask anew."""
    server = serve(rules=(rule("lost-after", match="warm", nth=frozenset({1})),))
    for _ in range(2):
        assert spoken.run() == 6
        (lost,) = [take for take in takes_of(spoken).values() if take["status"] != "succeeded"]
        assert lost["status"] == "unknown"
        assert lost["error"]["message"].startswith("Perhaps paid for (0.05 units): ")
        assert "raise the job's edition" in lost["error"]["hint"]
    assert posts(server) == 5


def test_a_lost_answer_is_asked_for_anew_by_its_edition(spoken: Any, serve: Any, rule: Any) -> None:
    """What its reason says to do makes a new sound of it, and of nothing else."""
    server = serve(rules=(rule("lost-after", match="warm", nth=frozenset({1})),))
    spoken.manifest.write_text(LINES.replace("takes: 2", "takes: 1"), encoding="utf-8")
    assert (spoken.run(), posts(server)) == (6, 3)
    asked = LINES.replace("takes: 2", "takes: 1").replace("[warm, wary]", "[wary]")
    anew = '  - {id: greeting-warm, kind: text-to-speech, text: "Welcome, warm stranger", voice_id: oversea_male1, '
    spoken.manifest.write_text(asked + anew + "voice_language: en, edition: 2}\n", encoding="utf-8")
    assert (spoken.run(), posts(server)) == (0, 4)
    assert takes_of(spoken)["greeting-warm:1"]["status"] == "succeeded"


def test_what_a_lost_answer_may_have_cost_is_the_highest_price_seen(spoken: Any, serve: Any, rule: Any) -> None:
    """A call that was lost before any price was seen is said, and counted, to cost what the others turned out to."""
    lost_answer = rule("lost-after", match="warm", nth=frozenset({1}))
    serve(rules=(lost_answer,), behaviour=Behaviour(units=Decimal("1.00")))
    for _ in range(2):
        assert spoken.run() == 6
        (lost,) = [take for take in takes_of(spoken).values() if take["status"] == "unknown"]
        assert lost["error"]["message"].startswith("Perhaps paid for (0.2 units): ")
        assert (lost["units"], spoken.report()["summary"]["units"]) == ("0.20", "1.80")


def test_the_answer_is_kept_until_its_file_is_there(spoken: Any, serve: Any, rule: Any) -> None:
    """A file that could not be fetched is fetched by the next run, which cannot ask for its address again."""
    server = serve(rules=(rule("status", 503, on="download", match="welcome"),))
    assert spoken.run("--deadline", "3", "--patience", "1") == 6
    sent = posts(server)
    change(server, {"rules": []})
    assert spoken.run() == 0
    assert posts(server) == sent == 5


def test_what_the_service_made_in_another_format_is_kept(spoken: Any, serve: Any) -> None:
    """The documentation does not say which format speech has: a whole WAV is kept as it came, and passes `verify`."""
    server = serve()
    change(server, {"speech_format": "wav"})
    assert spoken.run() == 0
    assert (spoken.out / "greeting-warm-01.mp3").read_bytes().startswith(b"RIFF")
    assert takes_of(spoken)["greeting-warm:1"]["warnings"] == ["greeting-warm-01.mp3: it is WAV, and kept as it came"]
    assert main(["verify", str(spoken.manifest)]) == 0


def test_a_field_of_another_kind_is_refused(spoken: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind knows its own fields, and says which was probably meant."""
    spoken.manifest.write_text(LINES.replace("text:", "prompt:").replace("language: en", "language: de"))
    assert main(["validate", str(spoken.manifest)]) == 2
    said = capsys.readouterr()
    text = said.out + said.err
    assert 'unknown field "prompt"' in text
    assert "`text`" in text
    assert "zh" in text


def test_defaults_may_be_of_one_kind(spoken: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A mapping by the name of a kind holds for jobs of that kind alone, over what holds for all."""
    defaults = "{takes: 2, duration: 4.0, text-to-speech: {voice_id: anna, voice_language: en, takes: 1}}"
    jobs = "[{id: door, prompt: Creak}, {id: hello, kind: text-to-speech, text: Welcome}]"
    spoken.manifest.write_text(f"version: 1\nproject: tavern\ndefaults: {defaults}\njobs: {jobs}\n")
    assert main(["plan", str(spoken.manifest), "--format", "json"]) == 0
    summary = json.loads(capsys.readouterr().out)["summary"]
    assert {name: said["takes"] for name, said in summary["kinds"].items()} == {"text-to-audio": 2, "text-to-speech": 1}
    spoken.manifest.write_text(spoken.manifest.read_text().replace("voice_id: anna", "duration: 4.0"))
    assert main(["validate", str(spoken.manifest)]) == 2
    said = capsys.readouterr()
    assert 'tavern.yaml:3:54: unknown field "duration"' in said.out + said.err


def test_the_plan_tells_the_price_of_each_kind(spoken: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What a run would cost is told by kind where there are several."""
    assert main(["plan", str(spoken.manifest), "--format", "json"]) == 0
    summary = json.loads(capsys.readouterr().out)["summary"]
    assert summary["units"] == "0.45"
    assert summary["kinds"] == {
        "text-to-audio": {"takes": 1, "units": "0.25"}, "text-to-speech": {"takes": 4, "units": "0.20"},
    }  # fmt: skip
    assert main(["plan", str(spoken.manifest)]) == 0
    assert "text-to-speech: 4 takes, 0.20 units" in capsys.readouterr().out


def test_a_price_is_compared_with_the_list_of_its_kind_alone(
    spoken: Any, serve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """What sounds cost says nothing of speech, and no average of both is a price."""
    serve()
    assert spoken.run("--select", "door") == 0
    capsys.readouterr()
    assert main(["plan", str(spoken.manifest), "--select", "greeting-*"]) == 0
    assert "the list says" not in capsys.readouterr().out
