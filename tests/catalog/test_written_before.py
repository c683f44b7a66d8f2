"""What was written before there were kinds is still valid: `written_before/` is of the commit before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kling_batch.cli import main
from kling_batch.records.layout import FILE, FOLDER
from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.settings import SANDBOX_API_KEY, WorldSettings

THERE = Path(__file__).with_name("written_before")


@pytest.mark.parametrize("known", ["lock and journal", "lock", "journal"])
def test_there_is_nothing_to_do(known: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever record is left, no take is asked for again, and nothing is sent; the lock stays byte for byte."""
    out = tmp_path / "out" / "tavern"
    (out / FOLDER).mkdir(parents=True)
    shutil.copy(THERE / "tavern.yaml", tmp_path)
    for sound in THERE.glob("*.mp3"):
        shutil.copy(sound, out)
    if "lock" in known:
        shutil.copy(THERE / "tavern.yaml.lock", tmp_path)
    if "journal" in known:
        shutil.copy(THERE / "journal.sqlite3", out / FOLDER / FILE)
    monkeypatch.chdir(tmp_path)
    with SandboxServer(WorldSettings()) as service:
        monkeypatch.setenv("KLING_BASE_URL", service.url)
        monkeypatch.setenv("KLING_API_KEY", SANDBOX_API_KEY)
        assert main(["run", "tavern.yaml"]) == 0
        assert main(["verify", "tavern.yaml"]) == 0
        assert not service.world.ledger.requests
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [(take["status"], take["origin"]) for take in report["takes"]] == [("succeeded", "kept")] * 2
    assert report["summary"]["api_requests"] == 0
    if "lock" in known:
        assert (tmp_path / "tavern.yaml.lock").read_bytes() == (THERE / "tavern.yaml.lock").read_bytes()
