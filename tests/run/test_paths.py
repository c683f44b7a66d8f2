"""Paths that differ by format, and all files in one folder."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kling_batch.cli import main

MANIFEST = """
version: 1
project: tavern
defaults: {duration: 3.0, formats: [wav, mp3], file: "door/{format}/{id}-{take}", picked: "best/{format}/{id}"}
jobs:
  - {id: creak, prompt: Old oak door creaks open, takes: 2}
"""
BY_FORMAT = {f"door/{name}/creak-{take}.{name}" for name in ("mp3", "wav") for take in (1, 2)}


def test_files_stand_by_format_and_flat_and_are_paid_for_once(
    tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each format has its folder, for the chosen take, too; with `--flatten` they are copied into one."""
    server = serve()
    tavern.manifest.write_text(MANIFEST, encoding="utf-8")
    manifest = str(tavern.manifest)
    assert tavern.run() == 0
    assert main(["pick", manifest, "creak=2"]) == 0
    assert set(tavern.sounds()) == {*BY_FORMAT, "best/wav/creak.wav", "best/mp3/creak.mp3"}
    assert main(["verify", manifest]) == 0
    capsys.readouterr()
    assert main(["plan", manifest, "--flatten", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["units"] == "0.00"
    assert tavern.run("--flatten") == 0
    flat = {path.replace("/", "_") for path in BY_FORMAT}
    assert {path for path in tavern.sounds() if "/" not in path} == {*flat, "best_wav_creak.wav", "best_mp3_creak.mp3"}
    assert {file["path"] for take in tavern.report()["takes"] for file in take["files"]} == flat
    assert main(["clean", manifest, "--flatten", "--yes"]) == 0
    assert main(["verify", manifest, "--flatten"]) == 0
    assert len(server.world.ledger.posts) == 2
