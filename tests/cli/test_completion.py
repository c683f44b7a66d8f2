"""Shell completion, asked for as the shells ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(sys.executable).parent
SHELLS = {"bash": "complete -o nosort -F", "zsh": "#compdef kling-batch", "fish": "complete --no-files --command"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with manifests and other things, with the program on the path."""
    for name in ("tavern.yaml", "birds.csv", "notes.txt", ".hidden.yaml", "deep/forest.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for bash, as it is printed."""
    path = tmp_path_factory.mktemp("completion") / "script"
    path.write_bytes(subprocess.check_output([PROGRAMS / "kling-batch", "completion", "bash"]))
    return path


def in_bash(script: Path, words: list[str]) -> list[str]:
    """What bash would offer, with the printed script at work, for the last of these words."""
    commands = f"""
        source {script}
        complete -p kling-batch >&2
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
        compopt() {{ echo "compopt $1 $2"; }}
        _kling_batch_completion kling-batch
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", commands], capture_output=True, text=True, check=True)
    assert done.stderr == "complete -o nosort -F _kling_batch_completion kling-batch\n"
    return done.stdout.split("\n")[:-1]


def asked(shell: str, words: str, current: str, *, watch: bool = False) -> str:
    """What the program answers to the script of a shell."""
    environment = os.environ | {
        "COMP_WORDS": words,
        "COMP_CWORD": current,
        "_KLING_BATCH_COMPLETE": f"{shell}_complete",
    }
    code = "import sys\nfrom kling_batch.cli import main\ntry:\n    main()\nfinally:\n    "
    code += "import json; print(json.dumps(sorted(sys.modules)))" if watch else "pass"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["kling-batch", "va"], ["validate"]),
        (["kling-batch", "re"], ["report", "restore", "reroll"]),
        (["kling-batch", "store", ""], ["gc", "path", "stats"]),
        (["kling-batch", "run", "--max"], ["--max-units", "--max-total-units"]),
        (["kling-batch", "run", "tavern.yaml", "--log-format", ""], ["text", "json"]),
        (["kling-batch", "completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_bash_completes(script: Path, words: list[str], offered: list[str]) -> None:
    """Commands, commands of a group, options and their values, by the real bash."""
    assert in_bash(script, words) == offered


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("words", [["run", "tav"], ["plan", ""], ["validate", "tavern.yaml", "~/x"], ["stats", "out/"]])
def test_a_manifest_is_left_to_the_shell(script: Path, words: list[str]) -> None:
    """It completes files by itself, homes and names that need quotes included."""
    assert in_bash(script, ["kling-batch", *words])[0] == "compopt -o default"


@pytest.mark.usefixtures("folder")
def test_a_misspelt_command_is_no_error_yet(script: Path) -> None:
    """Half a line with a mistake in it brings the commands that there are, and no words of complaint."""
    assert "validate" in in_bash(script, ["kling-batch", "vallidate", ""])


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("shell", "current", "offered"),
    [("zsh", "1", "plain\nvalidate\nCheck manifests"), ("fish", "va", "plain,validate\tCheck manifests")],
)
def test_other_shells_are_answered(shell: str, current: str, offered: str) -> None:
    """In their own forms, with what each command does."""
    assert asked(shell, "kling-batch va", current).startswith(offered)


@pytest.mark.usefixtures("folder")
def test_completing_a_command_imports_none() -> None:
    """Who presses the key waits for no command's module."""
    modules = json.loads(asked("bash", "kling-batch r", "1", watch=True).splitlines()[-1])
    assert "click.shell_completion" in modules
    assert [name for name in modules if name.startswith("kling_batch.cli.")] == ["kling_batch.cli.output"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.usefixtures("folder")
def test_the_script_of_each_shell_is_printed(shell: str) -> None:
    """On stdout, whole, and nothing else."""
    done = subprocess.run(["kling-batch", "completion", shell], capture_output=True, text=True, check=True)
    assert SHELLS[shell] in done.stdout
    assert f"_KLING_BATCH_COMPLETE={shell}_complete" in done.stdout
    assert done.stderr == ""


@pytest.mark.usefixtures("folder")
def test_an_unknown_shell_is_told_which_there_are() -> None:
    """Exit status 2, and the names."""
    done = subprocess.run(["kling-batch", "completion", "tcsh"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr
