"""What the documentation tells people to type does what it says."""

from __future__ import annotations

import ast
import asyncio
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import click
import pytest

from tests.chaos.__main__ import options_of_chaos
from tests.lease.__main__ import options_of_leases

NOT_RUN_IN_A_TEST = {
    "make test": "it would run this test",
    "make lint": "it has its own place in CI",
    "make types": "it has its own place in CI",
    "make bench": "it takes an hour",
    "make wheel-check": "it installs, and has its own place in CI",
    "make wheel": "it needs the network, and make wheel-check builds one",
    "pipx install .": "it installs, and the tests have the program",
    "make floors": "it installs, and has its own place in CI",
    "bash .ci/run": "it would run this test",
    "make chaos ROUNDS=100": "it takes half an hour; one round is a test",
    "make chaos POINTS=1": "it takes minutes; a sample of it is a test",
    "make chaos": "it takes minutes; a sample of it is a test",
    "pip install 'kling-batch[s3]'": "it needs the network; the extra is installed",
    "pip install 'kling-batch[dask]'": "it needs the network; the extra is installed",
    "kling-batch finish sets/*.yaml --store s3://our-bucket/sounds --workers tcp://scheduler:8786": (
        "it needs a cluster, which tests/run/test_workers.py has"
    ),
}
"""Commands with the reason why a test does not type them. Every other one is run."""
FEWER = {"SEEDS=10000": "SEEDS=2", "LEASES=3000": "LEASES=100", "KILLS=200": "KILLS=1", "HOSTILE=300": "HOSTILE=2"}
"""Counts that take minutes, and the ones that a test types in their place."""
FIRST = {"kling-batch demo", "make demo", "kling-batch run examples/finish.yaml --sandbox --keep-sources"}
"""Commands of the README on which nothing builds; other pages that show them are typed without."""
OPTIONS = {"tests.chaos": options_of_chaos, "tests.lease": options_of_leases}
"""What reads the options of each proof."""
REFERENCE = "commands.md"
PAGES = sorted((Path(__file__).resolve().parent.parent.parent / "docs").glob("*.md"))


def _typed(text: str, info: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a block, each with the lines that stand below it as its output (in `console` blocks alone)."""
    lines = text.replace("\\\n", " ").splitlines()
    if info.startswith("sh"):
        yield from ((line.split("  # ")[0].strip(), []) for line in lines if line.strip() and not line.startswith("#"))
        return
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield lines[start][2:], lines[start + 1 : end]


def _program_lines(text: str) -> list[list[str]]:
    """Every call of the program in a block, as words, whatever stands before it on its line."""
    found = re.findall(r"(?:^|[\s/])kling-batch ((?:[a-z]|--)[^\n]*)", text.replace("\\\n", " "), flags=re.MULTILINE)
    return [shlex.split(re.split(r"\s(?:[|>&#]|&&)", call)[0], comments=True) for call in found]


def _run(script: str, folder: Path) -> list[str]:
    command = ["bash", "-e", "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return [line.rstrip() for line in (done.stdout + done.stderr).splitlines()]


def _serve(command: str, folder: Path) -> None:
    """Run what serves until it has said something, and interrupt it as a person does."""
    with subprocess.Popen(
        shlex.split(command), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert first.startswith("http"), said


def _write_named(page: Any, folder: Path) -> None:
    """Write every block that begins with the name of a file."""
    for block in page.blocks():
        if name := re.match(r"# ([a-z-]+\.yaml)\n", block.text):
            (folder / name[1]).write_text(block.text, encoding="utf-8")


def _shorten(manifest: Path) -> None:
    """Leave the first job: the program's own demo makes all of them."""
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text[: text.index("\n  - id:", text.index("- id:"))], encoding="utf-8")


def _to_type(block: Any) -> list[tuple[str, list[str]]]:
    """The commands of a block that a test types, with fewer of what it would take minutes to do."""
    commands = [pair for pair in _typed(block.text, block.info) if pair[0] not in NOT_RUN_IN_A_TEST]
    return [(" ".join(FEWER.get(word, word) for word in command.split(" ")), shown) for command, shown in commands]


def _type_all(
    page: Any, folder: Path, keys: Callable[[], None] | None = None, *, but: AbstractSet[str] = frozenset()
) -> None:
    """Type every command of a page but some, in its order. `keys` is called before every block that needs them."""
    for block in page.blocks():
        if not block.info.startswith(("sh", "console")):
            continue
        if "keys" in block.info.split():
            assert keys is not None
            keys()
        commands = [pair for pair in _to_type(block) if pair[0] not in but]
        if "serves" in block.info.split():
            for command, _ in commands:
                _serve(command, folder)
        elif block.info.startswith("sh"):
            _run("\n".join(command for command, _ in commands), folder)
        else:
            for command, shown in commands:
                printed = _run(command, folder)
                assert not shown or printed == [line.rstrip() for line in shown], command


def test_the_readme_runs_as_written(page: Callable[[str], Any], copy: Path, account: Callable[[], None]) -> None:
    """Every command of the README ends well, in its order, with keys where it says so, and prints what is shown."""
    readme = page("README.md")
    assert _to_type(readme.blocks()[0]) == [("kling-batch demo", [])]
    _write_named(readme, copy)
    _shorten(copy / "examples" / "fireworks.yaml")
    _type_all(readme, copy, account)
    assert (copy / "kling-batch-demo/out/fireworks.sandbox/report.html").is_file()
    assert (copy / "out/fireworks.sandbox/report.html").is_file()
    assert (copy / "out/tavern/junit.xml").is_file()


@pytest.mark.parametrize(
    "name", [path.name for path in PAGES if re.search("^```(sh|console)", path.read_text(), re.MULTILINE)]
)
def test_the_commands_of_a_page_run_as_written(
    page: Callable[[str], Any], name: str, made: Callable[[], None], copy: Path
) -> None:
    """Every command of a page ends well, in its order, where the manifests of the README were run before.

    Before a block that needs keys the sounds are gone, so that there is something to do.
    """
    shown = page(f"docs/{name}")
    _write_named(shown, copy)
    _type_all(shown, copy, made, but=FIRST)


def test_contributing_runs_as_written(page: Callable[[str], Any], copy: Path) -> None:
    """Every command for contributors ends well, the demo where the README begins with it."""
    _type_all(page("CONTRIBUTING.md"), copy, but=FIRST)


def test_every_command_of_the_docs_is_typed(pages: list[Any]) -> None:
    """A call of the program stands in a block that is run; only the reference shows how calls look, in `text`."""
    shown = [
        f"{page.path.name}: {line}"
        for page in pages
        for block in page.blocks()
        for line in block.text.splitlines()
        if re.match(r"(\$ )?(kling-batch|make) ", line) and not block.info.startswith(("sh", "console"))
        if page.path.name != REFERENCE
    ]
    assert not shown


def test_what_is_not_run_stands_somewhere(pages: list[Any]) -> None:
    """The lists of what is not run, or with fewer, are no longer than they have to be."""
    blocks = (block for page in pages for block in page.blocks() if block.info.startswith(("sh", "console")))
    typed = {command for block in blocks for command, _ in _typed(block.text, block.info)}
    prose = "\n".join(page.text for page in pages)
    assert [command for command in NOT_RUN_IN_A_TEST if command not in typed and f"`{command}`" not in prose] == []
    assert FEWER.keys() <= {word for command in typed for word in command.split()}


def test_the_long_proofs_are_what_the_proof_takes(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make chaos` with each variable that a page shows calls the proof with options that it has."""
    for command in (one for one in NOT_RUN_IN_A_TEST if one.startswith("make chaos")):
        printed = _run(command.replace("make", "make --dry-run --always-make", 1), checkout)
        calls = [line.split("-m ")[1].split() for line in printed if "-m tests." in line]
        assert calls
        for call in calls:
            monkeypatch.setattr(sys, "argv", call)
            assert any(vars(OPTIONS[call[0]]()).values())


def test_the_python_of_the_docs_runs_as_written(
    pages: list[Any], made: Callable[[], None], copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every block of a page runs, in its order and with the names of those before it; a notebook's with its `await`."""
    monkeypatch.chdir(copy)
    ran = 0
    for page in pages:
        names: dict[str, Any] = {}
        for block in (block for block in page.blocks() if block.info.startswith("python")):
            if "keys" in block.info.split():
                made()
            code = compile(block.text, page.path.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            awaited = eval(code, names)  # noqa: S307 - our own documentation
            if awaited is not None:
                asyncio.run(awaited)
            ran += 1
    assert ran


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
        words = ["bash" if word == "SHELL" else word for word in words]  # noqa: PLW2901 - the one that is chosen from a list
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
            words = file.read_text("utf-8") if file.suffix == ".md" and file.is_file() else ""
            headings = re.findall(r"^#+ (.*)$", words, flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            if not file.exists() or (anchor and anchor not in slugs):
                broken.append(f"{page.path.name}: {target}")
    assert not broken
