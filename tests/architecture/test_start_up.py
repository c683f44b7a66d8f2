"""What a person waits for at every call is imported only where it is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"pandas", "httpx", "soundfile", "numpy", "jinja2", "tqdm", "junitparser", "jwt", "sqlite3"}
YAML = "version: 1\nproject: p\njobs:\n  - {id: a, prompt: A bell}\n"
CSV = "id,prompt\na,A bell\n"
WATCHED = """
import json, sys
from kling_batch.cli import main
status = main(json.loads(sys.argv[1]))
print(json.dumps({"status": status, "modules": sorted(sys.modules)}))
"""


IMPORTED = """
import json, sys
exec(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""


def imported_by(statement: str) -> set[str]:
    """Run a statement in a fresh interpreter, and name every module that it has imported by its end."""
    told = subprocess.run([sys.executable, "-c", IMPORTED, statement], capture_output=True, text=True, check=True)
    return set(json.loads(told.stdout))


def loaded_by(*arguments: str) -> set[str]:
    """Run the program in a fresh interpreter, and name every module that it has imported by its end."""
    told = subprocess.run(
        [sys.executable, "-c", WATCHED, json.dumps(arguments)], capture_output=True, text=True, check=True
    )
    result = json.loads(told.stdout.splitlines()[-1])
    assert result["status"] == 0
    return set(result["modules"])


def test_help_imports_no_library_but_the_command_lines_own() -> None:
    """`--help` names the commands without importing one."""
    modules = loaded_by("--help")
    assert "click" in modules
    assert not modules & (
        HEAVY | {"jsonschema", "yaml", "asyncio", "kling_batch.manifest", "kling_batch.cli.commands.run"}
    )
    assert not modules & {"tempfile", "traceback", "dataclasses"}


@pytest.mark.parametrize(("columns", "most"), [("60", 58), ("300", 98), ("20", 50), ("", 78), ("wide", 78)])
def test_a_help_is_as_wide_as_the_terminal_within_reason(columns: str, most: int) -> None:
    """Lines of help fill the terminal, and stay short enough to be read; 80 columns where there is no terminal."""
    told = subprocess.run(
        [sys.executable, "-m", "kling_batch", "run", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": columns},
    )
    assert most - 4 <= max(map(len, told.stdout.splitlines())) <= most


COMMANDS = ["validate", "plan", "run", "status", "report", "verify", "schema", "init", "doctor", "completion"]
FORKED = """
import json, os, sys
from kling_batch.cli import main
for command in sys.argv[1:]:
    if os.fork() == 0:
        status = main([command, "--help"])
        print(json.dumps({"command": command, "status": status, "modules": sorted(sys.modules)}), flush=True)
        os._exit(0)
    os.wait()
"""


def test_a_commands_help_is_light() -> None:
    """Whoever asks how a command is used waits for none of the libraries that do its work."""
    told = subprocess.run([sys.executable, "-c", FORKED, *COMMANDS], capture_output=True, text=True, check=True)
    results = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
    assert [(each["command"], each["status"]) for each in results] == [(command, 0) for command in COMMANDS]
    for each in results:
        assert f"kling_batch.cli.commands.{each['command']}" in each["modules"]
        assert not set(each["modules"]) & {"pandas", "soundfile", "numpy", "jinja2", "tqdm", "junitparser"}


@pytest.mark.parametrize(("name", "text"), [("m.yaml", YAML), ("m.csv", CSV)])
def test_validating_a_small_file_imports_nothing_heavy(name: str, text: str, tmp_path: Path) -> None:
    """A check on every save has to be quick."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    modules = loaded_by("validate", str(path))
    assert "kling_batch.manifest.loading" in modules
    assert not modules & HEAVY


def test_planning_needs_no_network(tmp_path: Path) -> None:
    """A plan imports neither the HTTP client nor a decoder."""
    (tmp_path / "m.yaml").write_text(YAML, encoding="utf-8")
    modules = loaded_by("plan", str(tmp_path / "m.yaml"), "--out", str(tmp_path / "out"))
    assert "kling_batch.planning.plan" in modules
    assert not modules & {"pandas", "httpx", "soundfile", "numpy"}


@pytest.mark.parametrize("words", [["validate"], ["plan", "--out", "out"], ["run", "--sandbox", "--quiet"]])
def test_pandas_is_for_those_who_ask_for_figures(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a check, nor a plan, nor a whole run with its reports imports it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.yaml").write_text(YAML, encoding="utf-8")
    assert "pandas" not in loaded_by(words[0], "m.yaml", *words[1:])


def test_the_package_itself_costs_nothing() -> None:
    """A name is imported when it is first used."""
    modules = imported_by("import kling_batch; kling_batch.__version__; dir(kling_batch)")
    assert {name for name in modules if name.startswith("kling_batch")} == {"kling_batch"}
    assert not modules & (HEAVY | {"click", "jsonschema", "jsonschema_rs", "yaml", "asyncio"})


def test_loading_and_planning_from_python_needs_no_network() -> None:
    """A program that only looks imports neither the HTTP client nor the command line."""
    modules = imported_by("from kling_batch import load, plan")
    assert "kling_batch.api.project" in modules
    assert not modules & {"pandas", "httpx", "soundfile", "numpy", "click", "tqdm"}


@pytest.mark.parametrize(
    "words", [["run", "--sandbox", "--quiet"], ["finish", "--sandbox", "--quiet"], ["verify", "--sandbox"]]
)
def test_workers_are_for_those_who_ask_for_them(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither Dask nor pools of processes are imported without `--workers`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.yaml").write_text(YAML, encoding="utf-8")
    if words[0] == "verify":
        loaded_by("run", "m.yaml", "--sandbox", "--quiet")
    modules = loaded_by(words[0], "m.yaml", *words[1:])
    assert not modules & {"distributed", "dask", "multiprocessing", "concurrent.futures.process"}
