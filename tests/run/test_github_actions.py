"""The program in a step of GitHub Actions: what the runner reads on its streams and in its files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kling_batch.cli import main
from kling_batch.sandbox.faults import Call, Rule
from tests import actions

LIMIT = 1024 * 1024
HOSTILE = """
version: 1
project: hostile
defaults: {duration: 3.0}
jobs:
  - {id: calm, prompt: A bell}
  - {id: percent, prompt: "::error::100% %0A ##[add-mask]a"}
  - {id: tag, prompt: "<script>alert(1)</script> | `x` @everyone"}
"""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step's files."""

    summary: Path
    output: Path

    def outputs(self) -> dict[str, str]:
        return actions.outputs(self.output.read_text(encoding="utf-8"))


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Step:
    """Be in a step of GitHub Actions."""
    folder = tmp_path / "runner"
    folder.mkdir()
    files = Step(summary=folder / "summary", output=folder / "output")
    for path in (files.summary, files.output):
        path.touch()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(files.summary))
    monkeypatch.setenv("GITHUB_OUTPUT", str(files.output))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    return files


def shown(capsys: pytest.CaptureFixture[str]) -> list[actions.Command]:
    """What the runner understands of both streams."""
    told = capsys.readouterr()
    return actions.commands(told.out) + actions.commands(told.err)


def test_a_good_run_has_a_summary_and_outputs(
    tavern: Any, serve: Any, step: Step, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing to annotate; the report on the summary page, the figures for later steps."""
    serve()
    assert tavern.run() == 0
    assert shown(capsys) == []
    assert step.summary.read_text() == (tavern.out / "report.md").read_text()
    assert step.outputs() == {
        "status": "done",
        "exit-status": "0",
        "takes": "7",
        "succeeded": "7",
        "failed": "0",
        "pending": "0",
        "unknown": "0",
        "units": "1.75",
        "units-this-run": "1.75",
        "report": "out/tavern/report.html",
        "out": "out/tavern",
    }


def test_a_finished_set_has_the_same_outputs_but_what_the_run_cost(
    tavern: Any, serve: Any, step: Step, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second run, which finds all as it was and asks nobody, tells later steps what the first one told, but money."""
    serve()
    assert tavern.run() == 0
    first = step.outputs()
    step.output.write_text("")
    step.summary.write_text("")
    capsys.readouterr()
    assert tavern.run() == 0
    assert tavern.report()["summary"]["api_requests"] == 0
    assert shown(capsys) == []
    assert step.outputs() == first | {"units-this-run": "0.00"}
    assert "this run 0.00; the set 1.75 units" in step.summary.read_text()


def test_what_went_wrong_is_annotated_at_its_job(
    tavern: Any, serve: Any, step: Step, rule: Callable[..., Rule], capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused take and one that may be paid for, each with the line of its job, the refused one first."""
    serve(
        rules=(
            rule("refuse", 1301, on=Call.CREATE, nth=frozenset({1})),
            rule("lost-before", on=Call.CREATE, nth=frozenset({2})),
        )
    )
    assert tavern.run("--hold-unclear", "--settle-time", "0", "--concurrency", "4", "--patience", "60") == 6
    first, second = shown(capsys)
    assert [first.properties["title"], second.properties["title"]] == ["door:1 failed", "door:2 unknown"]
    assert first.properties["file"] == "tavern.yaml"
    assert "id: door" in tavern.manifest.read_text().splitlines()[int(first.properties["line"]) - 1]
    assert "(code 1301)" in first.message
    assert (step.outputs()["status"], step.outputs()["failed"], step.outputs()["unknown"]) == ("not-finished", "1", "1")


def test_hostile_prompts_give_no_command(
    tavern: Any, serve: Any, step: Step, rule: Callable[..., Rule], capsys: pytest.CaptureFixture[str]
) -> None:
    """A manifest from elsewhere makes the runner do nothing; the summary shows its words as words."""
    serve(rules=(rule("refuse", 1301, on=Call.CREATE, limit=2), rule("refuse", 1300, on=Call.CREATE)))
    tavern.manifest.write_text(HOSTILE, encoding="utf-8")
    assert tavern.run() == 1
    assert {(each.name, each.properties["title"]) for each in shown(capsys)} == {
        ("error", "calm:1 failed"),
        ("error", "percent:1 failed"),
        ("error", "tag:1 failed"),
    }
    assert "<script>" not in step.summary.read_text()
    assert step.outputs()["failed"] == "3"


def test_a_file_is_named_from_the_root_of_the_repository(
    tavern: Any, serve: Any, step: Step, rule: Callable[..., Rule], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Where a step works in a folder below, too, GitHub finds the line."""
    serve(rules=(rule("refuse", 1301, on=Call.CREATE, limit=2), rule("refuse", 1300, on=Call.CREATE)))
    below = tavern.folder / "game" / "audio"
    below.mkdir(parents=True)
    (below / "tavern.yaml").write_text(HOSTILE, encoding="utf-8")
    monkeypatch.chdir(below)
    assert main(["run", "tavern.yaml", "--yes", "--settle-time", "0.2", "--poll-interval", "0.05"]) == 1
    assert {each.properties["file"] for each in shown(capsys)} == {"game/audio/tavern.yaml"}
    assert step.outputs()["status"] == "some-failed"


def test_problems_of_a_manifest_are_annotated_by_every_command(
    tavern: Any, step: Step, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each at its line and column, without `--format github`."""
    tavern.manifest.write_text("version: 1\nproject: p\njobs:\n  - {id: a, prompt: A bell, duration: 99}\n")
    assert tavern.run() == 2
    (found,) = shown(capsys)
    assert (found.properties["file"], found.properties["line"], found.properties["col"]) == ("tavern.yaml", "4", "39")
    assert step.outputs() == {"status": "invalid", "exit-status": "2"}


def test_validate_annotates_every_problem_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--format github` does so anywhere, with names that need escapes."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "50%,a:b.yaml"
    path.write_text('version: 1\nproject: p\njobs:\n  - {id: a, prompt: "::error::", takes: 0, edition: 0}\n')
    assert main(["validate", path.name, "--format", "github"]) == 2
    found = actions.commands(capsys.readouterr().out)
    assert len(found) == 2
    assert {(each.name, each.properties["file"], each.properties["line"]) for each in found} == {
        ("error", path.name, "4")
    }


def test_no_consent_is_annotated(tavern: Any, serve: Any, step: Step, capsys: pytest.CaptureFixture[str]) -> None:
    """The amount and the option are on the page of the run, not only in its log."""
    serve()
    assert main(["run", str(tavern.manifest)]) == 4
    (found,) = shown(capsys)
    assert "--max-units 1.75" in found.message
    assert step.outputs() == {"status": "budget", "exit-status": "4"}


def test_verify_annotates_what_it_finds(
    tavern: Any, serve: Any, step: Step, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing file, at its job; with `--format json` beside the JSON and not in it."""
    serve()
    assert tavern.run() == 0
    (tavern.out / "door-01.wav").unlink()
    step.output.write_text("")
    capsys.readouterr()
    assert main(["verify", str(tavern.manifest), "--format", "json"]) == 3
    told = capsys.readouterr()
    assert json.loads(told.out)["verified"] is False
    (found,) = actions.commands(told.err)
    assert found.properties["title"] == "missing: door-01.wav"
    assert found.properties["file"] == "tavern.yaml"
    assert step.outputs() == {"status": "drift", "exit-status": "3"}


def test_restore_annotates_what_is_lost(
    tavern: Any, serve: Any, step: Step, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be had again is an error at its job."""
    serve()
    assert tavern.run("--no-store") == 0
    (tavern.out / "door-01.wav").unlink()
    for name in ("KLING_ACCESS_KEY", "KLING_SECRET_KEY"):
        monkeypatch.delenv(name)
    step.output.write_text("")
    capsys.readouterr()
    assert main(["restore", str(tavern.manifest), "--no-store"]) == 3
    (found,) = shown(capsys)
    assert found.properties["title"] == "door:1 lost"
    assert step.outputs() == {"status": "drift", "exit-status": "3"}


def test_a_full_summary_is_left_within_its_limit(tavern: Any, serve: Any, step: Step) -> None:
    """What other programs of the step wrote there stays, and what is added is cut."""
    serve()
    before = "x" * (LIMIT - 300) + "\n"
    step.summary.write_text(before)
    assert tavern.run() == 0
    text = step.summary.read_text()
    assert text.startswith(before)
    assert "The summary ends here" in text
    assert len(text.encode()) <= LIMIT


def test_files_that_cannot_be_written_are_a_warning(
    tavern: Any, serve: Any, step: Step, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sounds are made and paid for: a runner without room does not turn the run red."""
    serve()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tavern.folder))
    monkeypatch.setenv("GITHUB_OUTPUT", str(step.output / "below-a-file"))
    assert tavern.run() == 0
    found = shown(capsys)
    assert [each.name for each in found] == ["warning", "warning"]
    assert found[0].message.startswith("$GITHUB_STEP_SUMMARY cannot be written")


def test_elsewhere_github_is_told_nothing(
    tavern: Any, serve: Any, step: Step, rule: Callable[..., Rule], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """On a person's machine there are no commands among the words, and no files are written."""
    serve(rules=(rule("refuse", 1301, on=Call.CREATE, limit=2), rule("refuse", 1300, on=Call.CREATE)))
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert tavern.run() == 1
    assert shown(capsys) == []
    assert step.summary.read_text() == step.output.read_text() == ""


def test_an_output_folder_with_a_line_break_sets_no_other_output(tavern: Any, serve: Any, step: Step) -> None:
    """A value ends where it ends."""
    serve()
    assert tavern.run("--out", "out/a\nexit-status=9") == 0
    assert step.outputs()["out"] == "out/a\nexit-status=9"
    assert step.outputs()["exit-status"] == "0"


def test_a_sandbox_run_in_a_real_process(tavern: Any, step: Step) -> None:
    """The whole way, as a step does it."""
    command = [sys.executable, "-m", "kling_batch", "run", "tavern.yaml", "--sandbox", "--select", "door:1"]
    done = subprocess.run(command, cwd=tavern.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert step.outputs()["out"] == "out/tavern.sandbox"
    assert actions.commands(done.stdout + done.stderr) == []
