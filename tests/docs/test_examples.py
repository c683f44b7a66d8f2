"""What the documentation tells people to type does what it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

NOT_RUN_IN_A_TEST = {
    "git clone": "it needs the network",
    "cd kling-batch": "it enters what was cloned",
    "make test": "it would run this test",
    "make wheel-check": "it installs, and has its own place in CI",
    "bash .ci/run": "it would run this test",
}
COPIED = ("examples", "schemas", "Makefile", "pyproject.toml", ".ci")


def _typed(text: str, info: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a block, each with the lines that stand below it as its output (in `console` blocks alone)."""
    lines = text.replace("\\\n", " ").splitlines()
    if info.startswith("sh"):
        yield from ((line.split("  # ")[0].strip(), []) for line in lines if line.strip() and not line.startswith("#"))
        return
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield lines[start][2:], lines[start + 1 : end]


def _shell_blocks(page: Any, *, keys: bool) -> list[Any]:
    """The blocks to type. A block that needs keys says so after its language: `sh keys`."""
    shells = [block for block in page.blocks() if block.info.startswith(("sh", "console"))]
    return [block for block in shells if ("keys" in block.info.split()) is keys]


def _program_lines(text: str) -> list[list[str]]:
    """Every call of the program in a block, as words, whatever stands before it on its line."""
    found = re.findall(r"(?:^|[\s/])kling-batch ((?:[a-z]|--)[^\n]*)", text.replace("\\\n", " "), flags=re.MULTILINE)
    return [shlex.split(re.split(r"\s(?:[|>&#]|&&)", call)[0], comments=True) for call in found]


@pytest.fixture
def copy(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what a clone holds, set up, with this environment's programs."""
    for name in COPIED:
        source = checkout / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("*.lock"))
        else:
            shutil.copy2(source, tmp_path / name)
    programs = Path(sys.executable).parent
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(programs)
    (tmp_path / ".venv" / ".ready").touch()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def _run(command: str, folder: Path) -> list[str]:
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return [line.rstrip() for line in (done.stdout + done.stderr).splitlines()]


def test_the_readme_runs_as_written(page: Callable[[str], Any], copy: Path) -> None:
    """Every command of the README that needs no keys ends well, in its order, and prints what stands below it."""
    readme = page("README.md")
    for block in readme.blocks():
        if name := re.match(r"# ([a-z-]+\.yaml)\n", block.text):
            (copy / name[1]).write_text(block.text, encoding="utf-8")
    commands = [pair for block in _shell_blocks(readme, keys=False) for pair in _typed(block.text, block.info)]
    for command, shown in commands:
        if command not in NOT_RUN_IN_A_TEST and not command.startswith("git clone"):
            printed = _run(command, copy)
            assert not shown or printed == [line.rstrip() for line in shown], command
    assert any(command == "make demo" for command, _ in commands)


def test_every_make_target_in_the_docs_exists(pages: list[Any], checkout: Path) -> None:
    """`make NAME`, in a sentence or in a block, is a target."""
    named = {name for page in pages for name in re.findall(r"(?:^|`)make ([a-z-]+)", page.text, flags=re.MULTILINE)}
    targets = re.findall(r"^([a-z-]+):", (checkout / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    assert named <= set(targets)
    assert "demo" in named


def test_every_call_of_the_program_parses(pages: list[Any], commands: dict[str, click.Command]) -> None:
    """What a page shows to type, keys or none, are commands and options that exist, with values that are allowed."""
    calls = [words for page in pages for block in page.blocks() for words in _program_lines(block.text)]
    assert calls
    for words in calls:
        if words[0].startswith("--"):
            continue
        name = next((name for name in commands if words[: len(name.split())] == name.split()), None)
        assert name is not None, f"kling-batch {words[0]} is no command"
        commands[name].make_context(name, [word for word in words[len(name.split()) :] if word != "--help"])


def test_every_command_named_in_passing_exists(pages: list[Any], commands: dict[str, click.Command]) -> None:
    """`kling-batch NAME` in a sentence is a command."""
    named = {name for page in pages for name in re.findall(r"`kling-batch ([a-z]+)", page.text)}
    assert not named - {name.split()[0] for name in commands}


def test_every_link_leads_somewhere(pages: list[Any]) -> None:
    """A relative link names a file that is there, and a heading that it has."""
    broken = []
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.text):
            path, _, anchor = target.partition("#")
            if "://" in target:
                continue
            file = (page.path.parent / path) if path else page.path
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), flags=re.MULTILINE) if file.is_file() else []
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            if not file.exists() or (anchor and anchor not in slugs):
                broken.append(f"{page.path.name}: {target}")
    assert not broken
