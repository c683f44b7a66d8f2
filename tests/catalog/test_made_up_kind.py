"""Another endpoint is another file: a kind that nobody has heard of goes from manifest to report without new code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RUN = ("run", "set.yaml", "--yes", "--settle-time", "0.2", "--poll-interval", "0.05")
HEAD = "version: 1\nproject: set\n"
JOBS = """defaults: {kind: recital, speaker: ada, takes: 2}
jobs:
  - {id: rain, verse: Rain on the roof, formats: [flac, ogg]}
  - {id: "wind-{where}", verse: "Wind {where}", speaker: bob, tempo: 1.5, matrix: {where: [up, down]}}
"""


def _report(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "out" / "set" / "report.json").read_text(encoding="utf-8"))
    return read


def test_from_manifest_to_report(program: Any, service: Any, folder: Path) -> None:
    """Its own fields are sent and nothing else, its own files verified, at its own price and in its own slots."""
    (folder / "set.yaml").write_text(HEAD + JOBS, encoding="utf-8")
    planned = json.loads(program("plan", "set.yaml", "--format", "json").stdout)["summary"]
    assert (planned["generate"], planned["units"], planned["list_units_per_take"]) == (6, "2.40", "0.40")
    ran = program(*RUN)
    assert ran.returncode == 0, ran.stderr
    assert service.sent.count({"verse": "Rain on the roof", "speaker": "ada", "tempo": 1.0}) == 2
    assert service.sent.count({"verse": "Wind up", "speaker": "bob", "tempo": 1.5}) == 2
    assert (len(service.sent), service.most) == (6, service.room // 2)
    report = _report(folder)
    assert report["summary"]["units"] == "2.40"
    assert {(take["prompt"], take["duration"]) for take in report["takes"]} == {
        ("Rain on the roof", None), ("Wind up", None), ("Wind down", None),
    }  # fmt: skip
    files = sorted(file["path"] for take in report["takes"] for file in take["files"])
    assert files == ["rain-01.flac", "rain-01.ogg", "rain-02.flac", "rain-02.ogg",
                     "wind-down-01.ogg", "wind-down-02.ogg", "wind-up-01.ogg", "wind-up-02.ogg"]  # fmt: skip
    assert program("verify", "set.yaml").returncode == 0
    assert (program(*RUN).returncode, len(service.sent)) == (0, 6)


def test_a_lost_answer_is_unknown_and_never_sent_again(program: Any, service: Any, folder: Path) -> None:
    """Where tasks take no name of ours nothing can be looked for: it is said what may be paid, and how to ask anew."""
    service.lose = 1
    (folder / "set.yaml").write_text(HEAD + JOBS, encoding="utf-8")
    for _ in range(2):
        ran = program(*RUN)
        assert (ran.returncode, len(service.sent)) == (6, 6), ran.stderr
        (take,) = [take for take in _report(folder)["takes"] if take["status"] != "succeeded"]
        assert take["status"] == "unknown"
        assert take["error"]["message"].startswith("Perhaps paid for (0.40 units): ")
        assert "raise the job's edition" in take["error"]["hint"]


def test_kinds_stand_side_by_side_in_a_table(program: Any, service: Any, folder: Path) -> None:
    """The column `kind` chooses; a field of another kind, an unknown kind and a lacking field are told in their row."""
    (folder / "set.csv").write_text(
        "id,kind,prompt,verse,speaker,tempo\n"
        "a,recital,,Rain,ada,1.5\n"
        "b,recital,Rain,Rain,ada,\n"
        "c,recitl,Rain,,,\n"
        "d,recital,,Rain,,\n"
        "e,,Rain,,,\n",
        encoding="utf-8",
    )
    said = program("validate", "set.csv")
    lines = (said.stdout + said.stderr).splitlines()
    assert [line.split(": ")[0] for line in lines if line.startswith("set.csv")] == [
        "set.csv:3:11", "set.csv:4:3", "set.csv:5:1",
    ]  # fmt: skip
    text = "\n".join(lines)
    assert 'unknown field "prompt" (known: id, kind, verse, speaker, tempo, formats' in text
    assert "did you mean `recital`?" in text
    assert "`speaker` is missing: who speaks" in text
    assert not service.sent


def test_the_schema_for_editors_knows_it(program: Any) -> None:
    """`kling-batch schema manifest` has the fields of every kind that there is a file of."""
    schema = json.loads(program("schema", "manifest").stdout)
    assert set(schema["definitions"]["recital"]["job"]["properties"]) >= {"verse", "speaker", "tempo"}
    assert {"text-to-audio", "recital"} <= {*schema["definitions"]["kind"]["enum"]}
