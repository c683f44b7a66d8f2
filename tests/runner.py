"""A runner of GitHub's that does a workflow's jobs, step by step, in clean folders on this machine.

Every job has a clean machine: an empty home, an empty workspace, and of the environment only what the runner gives.
What outlives a job is what outlives it at GitHub: the repository, the caches and the artifacts. `uses` is done for the
actions of GitHub's that our files name, and for composite actions that are given; everything else raises.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests import actions
from tests.expressions import Functions, holds, interpolated

OWN = "sound-studio/game"
"""The repository that the workflow belongs to."""
_SHELLS = {None: ["bash", "-e"], "bash": ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"]}
_PROGRAMS = Path(sys.executable).parent
_IMPATIENT = "--settle-time 0.2 --poll-interval 0.05"
_PYTHON = f"""#!/bin/bash
if [ "$1 $2 $3" = "-m pip install" ]; then
  printf '%s\\n' "${{@: -1}}" >> "$RUNNER_TEMP/installed"
  cp "$RUNNER_TEMP/program" "$RUNNER_TEMP/bin/kling-batch"
  exit 0
fi
if [ "$1 $2" = "-m kling_batch" ] && [ ! -f "$RUNNER_TEMP/installed" ]; then
  echo "No module named kling_batch"; exit 1
fi
exec {_PROGRAMS}/python "$@"
"""
"""A fresh Python: `pip install` puts the program there, without the network, and before that it is not there."""
_PROGRAM = f"""#!/bin/bash
if [ "$1" = run ]; then set -- "$@" {_IMPATIENT}; fi
exec {_PROGRAMS}/kling-batch "$@"
"""


class StepFailed(Exception):
    """A step ended with another status than 0."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened in the repository: `head` is the repository of a pull request's branch, and `ref` what is built."""

    name: str
    ref: str = "main"
    changed: tuple[str, ...] = ()
    head: str = OWN

    @property
    def payload(self) -> dict[str, Any]:
        if not self.name.startswith("pull_request"):
            return {}
        return {"pull_request": {"number": 7, "head": {"repo": {"full_name": self.head, "fork": self.head != OWN}}}}


@dataclass(kw_only=True)
class Done:
    """What became of a job or of a step."""

    result: str = "skipped"
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""
    summary: str = ""
    installed: list[str] = field(default_factory=list)
    environments: list[Mapping[str, str]] = field(default_factory=list)
    """What each script was given."""
    steps: dict[str, str] = field(default_factory=dict)
    """Each step's outcome, by its name, its action or the beginning of its script."""


@dataclass(kw_only=True)
class Runner:
    """A repository at GitHub, with its secrets, caches and artifacts.

    `environment` is what every machine has, and `composites` are actions by the name that `uses` gives them.
    """

    folder: Path
    remote: Path
    secrets: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    composites: Mapping[str, Path] = field(default_factory=dict)
    runs: int = 0

    def trigger(self, workflow: str, event: Event) -> dict[str, Done] | None:
        """Do a workflow for an event. None where its `on` does not ask for that."""
        described = yaml.load(workflow, Loader=yaml.BaseLoader)  # noqa: S506 - texts alone: `on` stays a text
        if not _asked_for(described["on"], event):
            return None
        self.runs += 1
        done: dict[str, Done] = {}
        for name, job in described["jobs"].items():
            shutil.rmtree(self.folder / "machine", ignore_errors=True)
            machine = Machine(runner=self, event=event, folder=self.folder / "machine")
            needs = [done[need] for need in _listed(job.get("needs", []))]
            done[name] = machine.do(job, described, failed=any(need.result != "success" for need in needs))
        return done

    def given_secrets(self, event: Event) -> Mapping[str, str]:
        """Say what secrets a run gets: none where the branch is a fork's, except for `pull_request_target`."""
        return {} if event.name == "pull_request" and event.head != OWN else self.secrets

    def artifact(self, name: str) -> list[str]:
        """List the files of the latest artifact of a name."""
        folder = self.folder / "artifacts" / name
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def caches(self) -> list[str]:
        """List the files of the latest cache, each with the place that it is of."""
        latest = max((self.folder / "caches").iterdir(), key=lambda cache: cache.stat().st_mtime_ns)
        return sorted(path.relative_to(latest).as_posix() for path in latest.rglob("*") if path.is_file())


@dataclass(kw_only=True)
class Machine:
    """A machine that does one job."""

    runner: Runner
    event: Event
    folder: Path
    failed: bool = False
    added: dict[str, str] = field(default_factory=dict)
    """What steps wrote to `$GITHUB_ENV`."""
    paths: list[str] = field(default_factory=list)
    """What steps wrote to `$GITHUB_PATH`, the latest first."""
    done: Done = field(default_factory=Done)

    @property
    def workspace(self) -> Path:
        return self.folder / "work"

    @property
    def temp(self) -> Path:
        return self.folder / "temp"

    def do(self, job: Mapping[str, Any], workflow: Mapping[str, Any], *, failed: bool) -> Done:
        """Do a job. `failed` says that one that it needs has not succeeded."""
        self.failed = failed
        contexts = {"github": self._github(workflow), "secrets": self.runner.given_secrets(self.event)}
        if not holds(job.get("if", "true"), contexts, self._functions()):
            return self.done
        for folder in (self.workspace, self.temp / "bin", self.folder / "home"):
            folder.mkdir(parents=True)
        for name, text in (("bin/python", _PYTHON), ("program", _PROGRAM)):
            (self.temp / name).write_text(text)
            (self.temp / name).chmod(0o755)
        contexts |= {"runner": {"os": "Linux", "temp": str(self.temp)}, "job": {"status": "success"}}
        environment = {**workflow.get("env", {}), **job.get("env", {})}
        self._steps(job["steps"], contexts, environment)
        self.done.result = "failure" if self.failed else "success"
        installed = self.temp / "installed"
        self.done.installed = installed.read_text().splitlines() if installed.exists() else []
        return self.done

    def _github(self, workflow: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "event_name": self.event.name,
            "event": self.event.payload,
            "repository": OWN,
            "ref_name": self.event.ref,
            "run_id": str(self.runner.runs),
            "run_attempt": "1",
            "workspace": str(self.workspace),
            "workflow": workflow.get("name", ""),
            "token": "the-token",
        }

    def _functions(self) -> Functions:
        return {
            "always": lambda: True,
            "cancelled": lambda: False,
            "success": lambda: not self.failed,
            "failure": lambda: self.failed,
        }

    def _steps(
        self, steps: Iterable[Mapping[str, Any]], contexts: Mapping[str, Any], environment: Mapping[str, str]
    ) -> dict[str, Any]:
        """Do steps in order. Gives the context `steps`."""
        told: dict[str, Any] = {}
        for number, step in enumerate(steps):
            here = {**contexts, "steps": told, "env": {**environment, **self.added}}
            outputs: dict[str, str] = {}
            outcome = "skipped"
            if holds(step.get("if", "success()"), here, self._functions()):
                try:
                    outputs = self._step(step, here, environment)
                    outcome = "success"
                except StepFailed:
                    outcome = "failure"
                    self.failed = self.failed or step.get("continue-on-error") != "true"
            told[step.get("id", f"_{number}")] = {"outputs": outputs, "outcome": outcome, "conclusion": outcome}
            self.done.steps[step.get("name") or step.get("uses") or step["run"].split("\n")[0]] = outcome
        return told

    def _step(self, step: Mapping[str, Any], contexts: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
        def filled(text: str) -> str:
            return interpolated(text, contexts, self._functions())

        own = {name: filled(value) for name, value in step.get("env", {}).items()}
        given = {**{name: filled(value) for name, value in environment.items()}, **self.added, **own}
        if "run" in step:
            folder = self.workspace / filled(step.get("working-directory", "."))
            return self._script(filled(step["run"]), step.get("shell"), folder, given)
        inputs = {name: filled(value) for name, value in step.get("with", {}).items()}
        uses = step["uses"]
        if uses in self.runner.composites:
            return self._composite(self.runner.composites[uses], inputs, contexts, given)
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@v\d+", uses), f"{uses} is not pinned to a version"
        method = getattr(self, "_" + uses.partition("@")[0].replace("/", "_").replace("-", "_"))
        return method(inputs) or {}

    def _script(self, script: str, shell: str | None, folder: Path, given: Mapping[str, str]) -> dict[str, str]:
        file = self.temp / "script.sh"
        file.write_text(script)
        files = {name: self.temp / name.lower() for name in ("OUTPUT", "ENV", "PATH", "STEP_SUMMARY")}
        for path in files.values():
            path.write_text("")
        environment = {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "HOME": str(self.folder / "home"),
            "PATH": os.pathsep.join([*self.paths, str(self.temp / "bin"), "/usr/local/bin", "/usr/bin", "/bin"]),
            "RUNNER_TEMP": str(self.temp),
            **self.runner.environment,
            **{f"GITHUB_{name}": str(path) for name, path in files.items()},
            **given,
        }
        done = subprocess.run(
            [*_SHELLS[shell], str(file)],
            cwd=folder, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.done.environments.append(environment)
        self.done.log += f"$ {script}\n{done.stdout}{done.stderr}"
        self.done.summary += files["STEP_SUMMARY"].read_text("utf-8")
        self.added |= actions.outputs(files["ENV"].read_text("utf-8"), names=r"[A-Za-z_][A-Za-z0-9_]*")
        self.paths = [*reversed(files["PATH"].read_text("utf-8").splitlines()), *self.paths]
        outputs = actions.outputs(files["OUTPUT"].read_text("utf-8"))
        self.done.outputs |= outputs
        if done.returncode:
            raise StepFailed
        return outputs

    def _composite(
        self, folder: Path, given: Mapping[str, str], contexts: Mapping[str, Any], environment: Mapping[str, str]
    ) -> dict[str, str]:
        """Do a composite action: its steps see its inputs, the job's contexts but for secrets, and the environment."""
        action = yaml.load((folder / "action.yml").read_text("utf-8"), Loader=yaml.BaseLoader)  # noqa: S506
        assert set(given) <= set(action["inputs"]), "the action has no such input"
        for name, described in action["inputs"].items():
            assert name in given or described.get("required") != "true", f"{name} is required"
        assert all("shell" in step for step in action["runs"]["steps"] if "run" in step), "a script needs a shell there"
        inputs = {name: given.get(name, described.get("default", "")) for name, described in action["inputs"].items()}
        inner = {name: value for name, value in contexts.items() if name not in {"secrets", "steps"}}
        inner |= {"inputs": inputs, "github": {**contexts["github"], "action_path": str(folder)}}
        failed = self.failed
        told = self._steps(action["runs"]["steps"], inner, environment)
        outputs = {
            name: interpolated(output["value"], {**inner, "steps": told}, self._functions())
            for name, output in action["outputs"].items()
        }
        if self.failed and not failed:
            raise StepFailed
        return outputs

    # The actions of GitHub's

    def _actions_checkout(self, _: Mapping[str, str]) -> None:
        subprocess.run(
            ["git", "clone", "--quiet", "--branch", self.event.ref, str(self.runner.remote), str(self.workspace)],
            check=True,
        )

    def _actions_setup_python(self, inputs: Mapping[str, str]) -> None:
        assert re.fullmatch(r"3\.\d+", inputs["python-version"]), "3.10 without quotes is 3.1"

    def _actions_cache_restore(self, inputs: Mapping[str, str]) -> dict[str, str]:
        there = sorted((self.runner.folder / "caches").glob("*"), key=lambda cache: -cache.stat().st_mtime_ns)
        for prefix in [inputs["key"], *inputs.get("restore-keys", "").split("\n")]:
            for cache in there:
                if prefix and cache.name.startswith(prefix) and (cache / "paths").read_text() == inputs["path"]:
                    for number, place in enumerate(self._places(inputs["path"])):
                        if (cache / str(number)).exists():
                            shutil.copytree(cache / str(number), place, dirs_exist_ok=True)
                    return {"cache-hit": str(cache.name == inputs["key"]).lower()}
        return {}

    def _actions_cache_save(self, inputs: Mapping[str, str]) -> None:
        cache = self.runner.folder / "caches" / inputs["key"]
        assert not cache.exists(), "a key can be written once"
        cache.mkdir(parents=True)
        (cache / "paths").write_text(inputs["path"])
        for number, place in enumerate(self._places(inputs["path"])):
            if place.exists():
                shutil.copytree(place, cache / str(number))

    def _places(self, paths: str) -> list[Path]:
        home = str(self.folder / "home")
        return [self.workspace / re.sub("^~", home, line) for line in paths.split("\n") if line]

    def _actions_upload_artifact(self, inputs: Mapping[str, str]) -> None:
        lines = [line for line in inputs["path"].split("\n") if line]
        left_out = [os.path.normpath(line[1:]) for line in lines if line.startswith("!")]
        folder = self.runner.folder / "artifacts" / inputs["name"]
        shutil.rmtree(folder, ignore_errors=True)
        for file in self._files(line for line in lines if not line.startswith("!")):
            path = file.relative_to(self.workspace)
            if not any(_matches(path, pattern) for pattern in left_out):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, folder / path)

    def _files(self, patterns: Iterable[str]) -> Iterator[Path]:
        for pattern in patterns:
            for found in sorted(self.workspace.glob(os.path.normpath(pattern))):
                yield from (path for path in [found, *found.rglob("*")] if path.is_file())


def _matches(path: Path, pattern: str) -> bool:
    """Whether a path is one of a pattern of the artifact's: `**` stands for any folders, none as well."""
    expression = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return re.fullmatch(expression, path.as_posix()) is not None


def _asked_for(on: Any, event: Event) -> bool:
    described = on if isinstance(on, dict) else dict.fromkeys(_listed(on))
    if event.name not in described:
        return False
    filters = described[event.name] or {}
    branches, paths = (_listed(filters.get(name, [])) for name in ("branches", "paths"))
    if branches and not any(fnmatch.fnmatch(event.ref, branch) for branch in branches):
        return False
    return not paths or any(fnmatch.fnmatch(changed, path) for changed in event.changed for path in paths)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
