"""CI as it is documented: the action and the examples, and a job that is killed and gone on with elsewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kling_batch.cli import cli
from kling_batch.records.store import default_store_root
from kling_batch.report import summary
from kling_batch.report.github import outputs_of
from kling_batch.sandbox.ledger import Ledger
from tests import actions

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
ACTION = yaml.safe_load((CHECKOUT / "action.yml").read_text(encoding="utf-8"))
WORKFLOW = yaml.safe_load((CHECKOUT / "examples/ci/github.yml").read_text(encoding="utf-8"))
GITLAB = yaml.safe_load((CHECKOUT / "examples/ci/gitlab-ci.yml").read_text(encoding="utf-8"))
TAKES = 4
"""What examples/ci/sounds.yaml asks for."""


def steps() -> Iterator[dict[str, Any]]:
    yield from ACTION["runs"]["steps"]
    for job in WORKFLOW["jobs"].values():
        yield from job["steps"]


def scripts() -> list[str]:
    """Every shell script of the action and of the examples."""
    gitlab = [line for job in GITLAB.values() if isinstance(job, dict) for key in ("before_script", "script")
              for line in job.get(key, [])]  # fmt: skip
    return [step["run"] for step in steps() if "run" in step] + gitlab


def the_step(name: str) -> dict[str, Any]:
    return next(step for step in ACTION["runs"]["steps"] if step.get("id") == name)


def in_path(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"PATH": f"{PROGRAMS}{os.pathsep}{environment['PATH']}"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a checkout of the example, entered."""
    folder = tmp_path / "first"
    folder.mkdir()
    shutil.copy2(CHECKOUT / "examples/ci/sounds.yaml", folder)
    monkeypatch.chdir(folder)
    return folder


def test_every_script_is_one() -> None:
    """`bash -n` reads it."""
    assert len(scripts()) >= 6
    for script in scripts():
        subprocess.run(["bash", "-n", "-c", script], check=True)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (["vendor.github-actions"], "action.yml"),
        (["vendor.github-workflows"], "examples/ci/github.yml"),
        (["vendor.gitlab-ci", "--data-transform", "gitlab-ci"], "examples/ci/gitlab-ci.yml"),
    ],
)
def test_each_file_is_what_its_ci_reads(schema: list[str], path: str) -> None:
    """By the published schemas of GitHub's and GitLab's files."""
    call = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *schema, path]
    done = subprocess.run(call, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_from_outside_is_read_as_a_script() -> None:
    """Inputs, secrets and contexts come by `env`, never as text of a script."""
    assert not [script for script in scripts() if "${{" in script]


def test_every_input_of_the_action_is_used_and_documented() -> None:
    """And none is used that the action does not take."""
    text = (CHECKOUT / "action.yml").read_text(encoding="utf-8")
    inputs = set(ACTION["inputs"])
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == inputs
    page = (CHECKOUT / "docs/ci.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, flags=re.MULTILINE)) == inputs | set(ACTION["outputs"])
    assert all(each["description"] for each in [*ACTION["inputs"].values(), *ACTION["outputs"].values()])


def test_every_output_of_the_action_is_one_that_the_program_sets(run_result: Any) -> None:
    """By the names that the program writes, from a step that is there."""
    written = outputs_of(summary(run_result), run_result.exit_status, Path("out"))
    assert {name: output["value"] for name, output in ACTION["outputs"].items()} == {
        name: f"${{{{ steps.run.outputs.{name} }}}}" for name in written
    }
    assert the_step("run")


@pytest.fixture
def run_result() -> Any:
    """A run of nothing."""
    from kling_batch.model import RunResult

    return RunResult(
        project="p", manifest="m", started_at=0.0, finished_at=1.0, exit_status=0, takes=(), api_requests=0
    )


def test_every_variable_of_a_script_is_set() -> None:
    """A script of the action names no variable that its step does not give, and is given none that it does not name."""
    for step in (step for step in ACTION["runs"]["steps"] if "run" in step):
        named = set(re.findall(r"\$\{?([A-Z_]+)|environ\[\"([A-Z_]+)\"", step["run"]))
        own = {name for name in step.get("env", {}) if not name.startswith("KLING_")}
        given = {"GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"}
        assert {first or second for first, second in named} - given == own


def test_every_call_in_the_examples_is_one_that_the_program_takes() -> None:
    """Commands, options and values exist."""
    found = (call for script in scripts() for call in re.findall(r"(?<=kling-batch )[a-z][^>\n\"]*", script))
    calls = [shlex.split(call) for call in found]
    calls = [words for words in calls if "install" not in words]
    assert {words[0] for words in calls} == {"validate", "plan", "run", "lock"}
    for name, *words in calls:
        command = cli.get_command(None, name)  # type: ignore[arg-type]  # it finds a command by its name alone
        assert command is not None
        command.make_context(name, words)


def test_caches_are_saved_whatever_happens_under_a_key_of_their_own() -> None:
    """A job that failed or was cancelled is the one that is gone on with; and a key can be written once."""
    for all_steps in (ACTION["runs"]["steps"], WORKFLOW["jobs"]["sounds"]["steps"]):
        (restore,) = (step for step in all_steps if str(step.get("uses")).startswith("actions/cache/restore@"))
        (save,) = (step for step in all_steps if str(step.get("uses")).startswith("actions/cache/save@"))
        assert save["if"].startswith("always()")
        assert restore["with"]["path"] == save["with"]["path"]
        assert restore["with"]["key"] == save["with"]["key"]
        assert "github.run_id" in save["with"]["key"]
        assert save["with"]["key"].startswith(restore["with"]["restore-keys"])
    assert GITLAB["sounds"]["cache"]["when"] == "always"


def test_the_stores_places_are_those_of_the_page() -> None:
    """What to cache on each system is where the program keeps the store there."""
    page = (CHECKOUT / "docs/ci.md").read_text(encoding="utf-8")
    for name, platform in {"Linux": "linux", "macOS": "darwin", "Windows": "win32"}.items():
        place = str(default_store_root({}, platform=platform, home=Path("~")))
        shown = place.replace("/", "\\") if platform == "win32" else place
        assert f"| {name} | `{shown}` |" in page


def test_only_one_job_works_at_a_time() -> None:
    """Two at once could both pay for a sound."""
    assert WORKFLOW["jobs"]["sounds"]["concurrency"] == {"group": "sounds", "cancel-in-progress": False}
    assert GITLAB["sounds"]["resource_group"] == "sounds"


def test_the_deadline_comes_before_the_time_limit() -> None:
    """So that there is time to save the cache."""
    limit = WORKFLOW["jobs"]["sounds"]["timeout-minutes"] * 60
    deadlines = [int(found) for script in scripts() for found in re.findall(r"--deadline (\d+)", script)]
    assert len(deadlines) == 2
    assert all(0 < deadline <= limit - 600 for deadline in deadlines)


def test_the_examples_stand_in_the_documentation() -> None:
    """Word for word."""
    page = (CHECKOUT / "docs/ci.md").read_text(encoding="utf-8")
    for name in ("github.yml", "gitlab-ci.yml"):
        assert f"```yaml\n{(CHECKOUT / 'examples/ci' / name).read_text(encoding='utf-8')}```" in page


def act(environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Do the action's main step as the runner does: bash, with the step's environment."""
    script = the_step("run")["run"]
    empty = {name: "" for name in the_step("run")["env"] if not name.startswith("KLING_")}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
        cwd=folder, env=in_path(dict(os.environ)) | empty | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_action_makes_sounds(project: Path, serve: Any, tmp_path: Path) -> None:
    """Its inputs become options, quoted words stay together, and its outputs are there for the next step."""
    serve()
    output = tmp_path / "output"
    done = act(
        {
            "MANIFEST": "sounds.yaml",
            "MAX_UNITS": "2",
            "OUT": "made here",
            "STORE": str(tmp_path / "store"),
            "ARGS": "--settle-time 0.2 --poll-interval 0.05 --select 'door-creak' --select \"step-*\"",
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(output),
        },
        project,
    )
    assert done.returncode == 0, done.stderr
    assert actions.outputs(output.read_text())["out"] == "made here"
    assert (project / "made here" / "door-creak-01.wav").is_file()
    assert list((tmp_path / "store").glob("live/sha256/*/*"))


@pytest.mark.parametrize("words", ["$(touch pwned)", "; touch pwned", "`touch pwned`", "--help\n; touch pwned", "-x"])
def test_no_input_is_run(project: Path, words: str) -> None:
    """An input from a pull request is a word and nothing else; what begins with a dash is still a manifest's name."""
    done = act({"MANIFEST": words, "MAX_UNITS": words, "ARGS": words, "OUT": words}, project)
    assert done.returncode in {0, 1, 2}
    done = act({"MANIFEST": words}, project)
    assert done.returncode == 2
    assert not (project / "pwned").exists()


def ci_run() -> str:
    """The command of the documented workflow, impatient, and telling of each step."""
    (step,) = (step for step in WORKFLOW["jobs"]["sounds"]["steps"] if step.get("id") == "run")
    return f"{step['run']} --verbose --settle-time 0.2 --poll-interval 0.05"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "uncached"])
def test_a_killed_job_is_gone_on_with_on_another_machine(
    project: Path,
    serve: Any,
    created: Callable[[Ledger], list[int]],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    cached: bool,
) -> None:
    """With the cached folder or without it, a fresh checkout finishes the work, and nothing is paid for twice."""
    server = serve(seconds=2.0)
    job = subprocess.Popen(["bash", "-e", "-c", ci_run()], env=in_path(dict(os.environ)), stderr=subprocess.PIPE)
    assert job.stderr is not None
    assert any(b"in-flight" in line for line in job.stderr)
    job.send_signal(number)
    job.communicate(timeout=30)
    assert job.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}[number]

    other = project.parent / "second"
    other.mkdir()
    shutil.copy2(project / "sounds.yaml", other)
    if cached:
        shutil.copytree(project / "out", other / "out")
    shutil.rmtree(project)
    monkeypatch.setenv("HOME", str(other / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME")
    subprocess.run(["bash", "-e", "-c", ci_run()], cwd=other, env=in_path(dict(os.environ)), check=True)
    assert created(server.world.ledger) == [1] * TAKES
    assert len(server.world.ledger.charges) == TAKES
    assert len(list((other / "out/sounds").rglob("*.wav"))) == TAKES
