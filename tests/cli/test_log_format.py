"""`--log-format json`: a program reads stderr, and nothing but JSON is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kling_batch.cli import main

MANIFEST = "version: 1\nproject: p\njobs:\n  - {id: a, prompt: Rain}\n"
JSON = ("--log-format", "json")


def logged(capsys: pytest.CaptureFixture[str], *arguments: str, log: Sequence[str] = JSON) -> tuple[int, list[Any]]:
    """Run the program, and read each line that it wrote to stderr."""
    status = main([*arguments, *log])
    return status, [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.fixture(autouse=True)
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with a manifest, as a step of GitHub's, whose annotations are no JSON."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    Path("m.yaml").write_text(MANIFEST, encoding="utf-8")


def test_a_run_says_all_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The plan, each event, and the sum at the end."""
    status, lines = logged(capsys, "run", "m.yaml", "--sandbox", "--poll-interval", "0.1")
    assert status == 0
    assert all(line["at"].endswith("Z") for line in lines)
    said = [line["message"] for line in lines if line["event"] == "Message"]
    assert said[0].startswith("Plan: 1 to generate")
    assert said[-2].startswith("1 take: 1 succeeded.")
    assert [line["status"] for line in lines if line["event"] == "TakeEnded"] == ["succeeded"]


def test_a_plan_that_nobody_agreed_to_is_shown_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The plan is a message, and what is lacking an error with its repair."""
    status, lines = logged(capsys, "run", "m.yaml")
    assert (status, [line["event"] for line in lines]) == (4, ["Message", "Error"])
    assert lines[0]["message"].startswith("1 take to generate:\n  + a:1  new\n")
    assert "--max-units 0.25" in lines[1]["hint"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "gone.yaml"], "no such file"),
        (["run", "bad.yaml"], "bad.yaml:1:1: "),
        (["run", "m.yaml", "--max-units", "lots"], "'lots' is not an amount of units"),
        (["run", "m.yaml", "--bogus"], "--bogus"),
        (["run", "m.yaml", "--sandbox", "--select", "b"], "matches nothing"),
    ],
)
@pytest.mark.parametrize("log", [JSON, ("--log-format=json",)])
def test_whatever_is_wrong_is_said_in_json(
    arguments: list[str], words: str, log: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With its repair, wherever the program met it, and however the option was written."""
    Path("bad.yaml").write_text("jobs: []\n", encoding="utf-8")
    status, lines = logged(capsys, *arguments, log=log)
    errors = [line for line in lines if line["event"] == "Error"]
    assert status != 0
    assert words in errors[-1]["message"]
    assert errors[-1].keys() == {"at", "event", "message", "hint"}
