"""The workflow that `init` writes, and the action, done step by step as GitHub does them, on clean machines."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kling_batch import __version__
from kling_batch.cli import main
from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.settings import Span, WorldSettings
from tests.expressions import evaluate, holds, interpolated
from tests.quick_clips import quick_clip
from tests.runner import Done, Event, Runner

CHECKOUT = Path(__file__).resolve().parents[2]
KEY = "a-key-that-nobody-may-see"
PUSH = Event(name="push", changed=("sounds.yaml",))
FORK = "stranger/game"
TAKES = 4
ACTION = """
on: [push, pull_request, pull_request_target]
jobs:
  sounds:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - id: sounds
        uses: kling-batch
        with:
          manifest: sounds.yaml
          max-units: "5"
          args: --settle-time 0.2 --poll-interval 0.05
          api-key: ${{ secrets.KLING_API_KEY }}
          base-url: ${{ env.ADDRESS }}
          CACHE
      - if: always()
        env:
          STATUS: ${{ steps.sounds.outputs.status }}
        run: echo "The sounds are $STATUS." >> "$GITHUB_STEP_SUMMARY"
"""


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A clone of a repository that `kling-batch init` began, pushed."""
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch", "main", "remote.git")
    git(tmp_path, "clone", "--quiet", "remote.git", "mine")
    folder = tmp_path / "mine"
    git(folder, "checkout", "--quiet", "-b", "main")
    assert main(["init", str(folder)]) == 0
    commit(folder)
    return folder


def commit(folder: Path, branch: str = "main") -> None:
    """Commit everything, and push it to a branch."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "Ask for sounds")
    git(folder, "push", "--quiet", "origin", f"HEAD:{branch}")


@pytest.fixture
def workflow(project: Path) -> str:
    return (project / ".github/workflows/sounds.yml").read_text("utf-8")


@pytest.fixture
def service() -> Any:
    """A service whose tasks take long enough to be seen while they run, also on a busy machine."""
    settings = WorldSettings(api_key=KEY, generation=Span.fixed(0.6), queue=Span.fixed(0.0), sample_rate=8000)
    with SandboxServer(settings, synth=quick_clip) as server:
        yield server


@pytest.fixture
def github(project: Path, tmp_path: Path, service: Any) -> Runner:
    return Runner(
        folder=tmp_path / "github",
        remote=project.parent / "remote.git",
        secrets={"KLING_API_KEY": KEY},
        environment={"KLING_BASE_URL": service.url},
        composites={"kling-batch": CHECKOUT},
    )


@pytest.fixture
def with_action(service: Any) -> Callable[..., str]:
    """A workflow that uses the action, with one more input."""
    address = f"env: {{ADDRESS: {service.url}}}\n"
    return lambda more="": address + ACTION.replace("CACHE", more)


def locked(folder: Path) -> int:
    """Count the takes of the lock."""
    return (folder / "sounds.yaml.lock").read_text("utf-8").count('"job_id"')


def keys_given(job: Done) -> int:
    """Count the scripts of a job that had the key."""
    return sum(any(KEY in value for value in environment.values()) for environment in job.environments)


def charges(service: Any) -> int:
    return len(service.world.ledger.charges)


def test_a_push_makes_the_sounds(github: Runner, workflow: str, project: Path, service: Any) -> None:
    """Plan, sounds, report, artifact, cache and a committed lock, each by a step, and the key nowhere."""
    done = github.trigger(workflow, PUSH)
    assert done is not None
    check, sounds = done["check"], done["sounds"]
    assert (check.result, sounds.result) == ("success", "success")
    assert "| door-creak | 2 to generate | 0.50 | new |" in check.summary
    assert sounds.outputs["succeeded"] == str(TAKES) == str(charges(service))
    assert "4 of 4 takes succeeded" in sounds.summary
    assert {"out/sounds/door-creak-01.wav", "out/sounds/report.html", "sounds.yaml.lock"} <= set(
        github.artifact("sounds")
    )
    assert not [path for path in github.artifact("sounds") if ".kling-batch" in path]
    cached = github.caches()
    assert sum(path.endswith("door-creak-01.wav") for path in cached) == 1
    assert any(path.endswith(".kling-batch/journal.sqlite3") for path in cached)
    git(project, "pull", "--quiet")
    assert locked(project) == TAKES
    assert git(project, "log", "-1", "--format=%an: %s").strip() == "github-actions[bot]: Lock the sounds"
    assert KEY not in check.log + sounds.log + sounds.summary
    assert (keys_given(check), keys_given(sounds)) == (0, 1)
    assert check.installed == sounds.installed == [f"kling-batch=={__version__}"]


def test_the_next_push_begins_where_the_one_before_ended(
    github: Runner, workflow: str, project: Path, service: Any
) -> None:
    """With its cache and lock: every file is in place, nothing is paid, and what did not change is not committed."""
    assert github.trigger(workflow, PUSH)
    git(project, "pull", "--quiet")
    before = git(project, "rev-parse", "HEAD")
    done = github.trigger(workflow, PUSH)
    assert done is not None
    assert "Plan: 4 to restore; nothing to pay" in done["check"].summary
    assert "Plan: 4 to keep; nothing to pay" in done["sounds"].log
    git(project, "pull", "--quiet")
    assert (git(project, "rev-parse", "HEAD"), charges(service)) == (before, TAKES)


def test_a_run_that_ends_badly_keeps_what_it_has(github: Runner, workflow: str, project: Path, service: Any) -> None:
    """The budget ends it: the job fails, and cache, artifact and lock have what was made, for the next one."""
    done = github.trigger(workflow.replace("--max-units 5", "--max-units 0.5"), PUSH)
    assert done is not None
    assert done["sounds"].result == "failure"
    assert done["sounds"].outputs["status"] == "budget"
    assert done["sounds"].steps["Commit the lock"] == "success"
    git(project, "pull", "--quiet")
    assert locked(project) == 2 == charges(service)
    assert sum(path.endswith(".wav") for path in github.caches()) == 2
    assert "out/sounds/report.html" in github.artifact("sounds")


def test_a_lock_that_somebody_pushed_meanwhile_is_merged(
    github: Runner, workflow: str, project: Path, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both locks begin with nothing and have takes in common: each take stands there once, and no push is lost."""
    other = project.parent / "other"
    git(project.parent, "clone", "--quiet", str(github.remote), str(other))
    monkeypatch.chdir(other)
    monkeypatch.setenv("KLING_API_KEY", KEY)
    monkeypatch.setenv("KLING_BASE_URL", service.url)
    some = ["--select", "step-*", "--yes", "--no-store", "--settle-time", "0.2", "--poll-interval", "0.05"]
    assert main(["run", "sounds.yaml", *some]) == 0
    git(other, "add", "--all")
    git(other, "commit", "--quiet", "--message", "Lock the steps")
    done = github.trigger(workflow.replace("if [ -f", f"git -C {other} push --quiet\n          if [ -f"), PUSH)
    assert done is not None
    assert done["sounds"].result == "success", done["sounds"].log
    git(project, "pull", "--quiet")
    assert git(project, "log", "-2", "--format=%s").split("\n")[:2] == ["Lock the sounds", "Lock the steps"]
    assert (locked(project), charges(service)) == (TAKES, TAKES)


@pytest.mark.parametrize("head", [FORK, "sound-studio/game"])
def test_a_pull_request_gets_the_plan_and_spends_nothing(
    github: Runner, workflow: str, project: Path, service: Any, head: str
) -> None:
    """From a fork or not: no key is given to any step, and the service is not asked."""
    manifest = project / "sounds.yaml"
    manifest.write_text(manifest.read_text().replace("prompt: Old oak", "prompt: New oak"))
    commit(project, "theirs")
    done = github.trigger(workflow, Event(name="pull_request", ref="theirs", changed=("sounds.yaml",), head=head))
    assert done is not None
    assert {name: job.result for name, job in done.items()} == {"check": "success", "sounds": "skipped"}
    assert "at most 1.00 units" in done["check"].summary
    assert keys_given(done["check"]) == 0
    assert charges(service) == 0


def test_a_mistake_in_the_manifest_ends_before_anything(github: Runner, workflow: str, project: Path) -> None:
    """The check fails at its line, and the job that has the key does not begin."""
    (project / "sounds.yaml").write_text(
        "version: 1\nproject: sounds\njobs:\n  - {id: a, prompt: A bell, duration: 99}\n"
    )
    commit(project)
    done = github.trigger(workflow, PUSH)
    assert done is not None
    assert {name: job.result for name, job in done.items()} == {"check": "failure", "sounds": "skipped"}
    assert "::error file=sounds.yaml,line=4" in done["check"].log


def test_other_changes_start_nothing(github: Runner, workflow: str) -> None:
    """A push to another branch, or of other files."""
    assert github.trigger(workflow, Event(name="push", ref="idea", changed=("sounds.yaml",))) is None
    assert github.trigger(workflow, Event(name="push", changed=("README.md",))) is None


def test_the_action_does_it_in_one_step(github: Runner, with_action: Callable[..., str], service: Any) -> None:
    """Plan, sounds, cache and artifact; also for a pull request, where whoever wrote it may push there anyway."""
    done = github.trigger(with_action(), Event(name="pull_request"))
    assert done is not None
    sounds = done["sounds"]
    assert sounds.result == "success", sounds.log
    assert sounds.installed == [str(CHECKOUT)]
    assert sounds.summary.index("# sounds: plan") < sounds.summary.index("4 of 4 takes succeeded")
    assert sounds.summary.endswith("The sounds are done.\n")
    assert {"out/sounds/door-creak-01.wav", "sounds.yaml.lock"} <= set(github.artifact("sounds"))
    assert [sum(piece in path for path in github.caches()) for piece in (".wav", "sha256")] == [TAKES, 0]
    assert charges(service) == TAKES


def test_the_action_may_cache_the_store(
    github: Runner, with_action: Callable[..., str], project: Path, service: Any
) -> None:
    """In place of the output folder, not beside it; the next run, on a clean machine, takes the sounds from there."""
    assert github.trigger(with_action("cache: store"), PUSH)
    assert [sum(piece in path for path in github.caches()) for piece in (".wav", "sha256")] == [0, TAKES]
    shutil.copy2(github.folder / "artifacts/sounds/sounds.yaml.lock", project)
    commit(project)
    done = github.trigger(with_action("cache: store"), PUSH)
    assert done is not None
    assert "Plan: 4 to restore; nothing to pay" in done["sounds"].summary
    assert done["sounds"].summary.count("| restored |") == TAKES == charges(service)


@pytest.mark.parametrize("event", ["pull_request", "pull_request_target"])
def test_the_action_spends_nothing_for_a_fork(
    github: Runner, with_action: Callable[..., str], service: Any, event: str
) -> None:
    """It shows the plan, also where a careless workflow hands it the key."""
    done = github.trigger(with_action(), Event(name=event, head=FORK))
    assert done is not None
    sounds = done["sounds"]
    assert sounds.result == "success"
    assert sounds.steps["Run kling-batch"] == sounds.steps["Upload reports and sounds"] == "skipped"
    assert "# sounds: plan" in sounds.summary
    assert sounds.summary.endswith("The sounds are .\n")
    assert keys_given(sounds) == 0
    assert charges(service) == 0


def test_the_plan_as_a_comment(github: Runner, workflow: str, project: Path) -> None:
    """The documented step gives GitHub's program the plan, and the number of the pull request."""
    page = (CHECKOUT / "docs/ci.md").read_text("utf-8")
    (step,) = re.findall(r"```yaml\n(- if.*?gh pr comment.*?)```", page, re.DOTALL)
    gh = "mkdir tools && printf '#!/bin/bash\\necho \"$@\" && cat' > tools/gh && chmod +x tools/gh"
    steps = f'- run: {gh} && echo "$PWD/tools" >> "$GITHUB_PATH"\n{step}'
    job, rest = workflow.split("\n  sounds:\n")
    with_comment = job + textwrap.indent(steps, "      ") + "\n  sounds:\n" + rest
    commit(project, "theirs")
    done = github.trigger(with_comment, Event(name="pull_request", ref="theirs", changed=("sounds.yaml",)))
    assert done is not None
    assert done["check"].result == "success", done["check"].log
    assert "pr comment 7 --body-file - --edit-last" in done["check"].log
    assert "| door-creak | 2 to generate | 0.50 | new |" in done["check"].log
    assert done["check"].environments[-1]["GH_TOKEN"] == "the-token"


CONTEXTS = {"github": {"event_name": "push", "event": {}}, "inputs": {"out": "", "a-b": "x"}, "env": {}}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("inputs.out || 'out'", "out"),
        ("inputs['a-b'] && 'yes' || 'no'", "yes"),
        ("!startsWith(github.event_name, 'pull_request')", True),
        ("github.event.pull_request.head.repo.full_name == github.repository", True),
        ("github.event_name == 'PUSH' && 1 != 2", True),
        ("format('{0}/{1}', 'it''s', inputs.a-b)", "it's/x"),
        ("(env.NONE || false) == ''", True),
        ("null == 0", True),
    ],
)
def test_expressions_mean_what_they_mean_at_github(expression: str, value: Any) -> None:
    """By GitHub's documentation: loose comparison, texts without case, and what is not there is null."""
    assert evaluate(expression, CONTEXTS, {}) == value


def test_an_if_holds_as_long_as_nothing_failed() -> None:
    """Unless it asks for the status itself."""
    bad = {"always": lambda: True, "success": lambda: False, "failure": lambda: True}
    assert not holds("github.event_name == 'push'", CONTEXTS, bad)
    assert holds("always() && github.event_name == 'push'", CONTEXTS, bad)
    assert holds("${{ failure() }}", CONTEXTS, bad)
    assert interpolated("${{ inputs.out }}-${{ true }}", CONTEXTS, bad) == "-true"


def test_what_a_step_writes_for_the_next_ones_is_there(github: Runner) -> None:
    """Outputs, variables and programs come by the files that the runner gives, and end with the job."""
    script = """
      on: push
      jobs:
        one:
          steps:
            - id: first
              run: |
                echo "word=two words" >> "$GITHUB_OUTPUT"
                printf 'LINES<<END\\na\\nb\\nEND\\n' >> "$GITHUB_ENV"
                mkdir tools && printf '#!/bin/bash\\necho tool' > tools/own && chmod +x tools/own
                echo "$PWD/tools" >> "$GITHUB_PATH"
            - {run: 'echo "$WORD, $LINES, $(own), ${{ env.LINES }}"', env: {WORD: "${{ steps.first.outputs.word }}"}}
            - run: 'exit 3'
            - run: 'echo never'
            - {if: "failure() && steps.first.outcome == 'success'", run: 'echo after'}
        two:
          needs: one
          steps: [{run: 'true'}]
    """
    done = github.trigger(script, PUSH)
    assert done is not None
    assert "two words, a\nb, tool, a\nb" in done["one"].log
    assert "never" not in done["one"].log.replace("$ echo never", "")
    assert done["one"].log.endswith("after\n")
    assert (done["one"].result, done["two"].result) == ("failure", "skipped")
