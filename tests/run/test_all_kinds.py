"""A manifest of every kind, as the example has it: made, verified, kept, and had again on a bare folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from kling_batch.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
UNITS = {"text-to-audio": "0.50", "text-to-speech": "0.20", "video-to-audio": "0.50", "voice-clone": "0.05"}


@pytest.fixture
def tavern_of_all(tavern: Any) -> Any:
    """Take the example with its files."""
    for name in ("tavern.yaml", "clips/intro.mp4", "takes/barkeeper.mp3"):
        (tavern.folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(EXAMPLES / name, tavern.folder / name)
    return tavern


@pytest.fixture
def uploads(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a bucket for the files that the service reads."""
    httpx.put(f"{s3}/tavern", trust_env=False).raise_for_status()
    for name, value in {"ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    return "s3://tavern/uploads"


def test_every_kind_goes_from_manifest_to_report(
    tavern_of_all: Any, serve: Any, uploads: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plan and report tell them apart; a second run sends nothing; a bare folder gets all of it from the store."""
    project, server, store = tavern_of_all, serve(), str(tmp_path / "store")
    assert main(["plan", str(project.manifest), "--format", "json"]) == 0
    kinds = json.loads(capsys.readouterr().out)["summary"]["kinds"]
    assert {name: said["units"] for name, said in kinds.items()} == UNITS
    options = ("--uploads", uploads, "--voice-rights", "Ada", "--store", store)
    assert project.run(*options) == 0
    report = project.report()
    assert report["summary"]["units"] == "1.25"
    assert {take["status"] for take in report["takes"]} == {"succeeded"}
    sent = server.world.ledger.posts.total()
    assert (sent, project.run(*options), server.world.ledger.posts.total()) == (9, 0, 9)
    shutil.rmtree(project.out)
    assert main(["restore", str(project.manifest), "--store", store]) == 0
    assert main(["verify", str(project.manifest)]) == 0
    assert server.world.ledger.posts.total() == sent


def test_the_sandbox_in_the_process_knows_every_kind(tavern_of_all: Any) -> None:
    """The example runs as its first line says: without keys, storage or consent."""
    assert main(["run", str(tavern_of_all.manifest), "--sandbox", "--poll-interval", "0.1"]) == 0
