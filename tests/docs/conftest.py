"""Markdown, read as far as the tests of the documentation need it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
import httpx
import pytest

from kling_batch.cli import cli, main
from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.settings import Span, WorldSettings
from tests.quick_clips import quick_clip

COPIED = ("examples", "schemas", "Makefile", "pyproject.toml", ".ci")
CHECKOUT = Path(__file__).resolve().parent.parent.parent
FOREST = "version: 1\nproject: forest\njobs:\n  - {id: owl, prompt: An owl hoots, duration: 3.0}\n"
AWS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A fenced block: its info string, its text, and what the nearest heading above it says."""

    info: str
    text: str
    heading: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page of the documentation."""

    path: Path
    text: str

    def blocks(self) -> list[Block]:
        """Every fenced block, in order."""
        found = re.finditer(r"^```([^\n]*)\n(.*?)^```$", self.text, flags=re.MULTILINE | re.DOTALL)
        return [
            Block(info=match[1].strip(), text=match[2], heading=self._heading_above(match.start())) for match in found
        ]

    def _heading_above(self, place: int) -> str:
        headings = re.findall(r"^#+ (.*)$", self.text[:place], flags=re.MULTILINE)
        return str(headings[-1]) if headings else ""

    def section(self, heading: str) -> str:
        """What stands under a heading of the second level; empty if there is none."""
        match = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", self.text, flags=re.MULTILINE | re.DOTALL)
        return match[1] if match else ""

    def headings(self) -> list[str]:
        """Every heading of the second level."""
        return re.findall(r"^## (.*)$", self.text, flags=re.MULTILINE)

    def rows(self, heading: str) -> dict[str, list[str]]:
        """The rows of the tables under a heading, by the word in backticks or the number that begins them."""
        rows = {}
        for line in self.section(heading).splitlines():
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if cells and (name := re.match(r"`([^` ]+)|(\d+)$", cells[0])):
                rows[name[1] or name[2]] = cells
        return rows


@pytest.fixture
def page() -> Callable[[str], Page]:
    """Reads a page by its path in the checkout."""

    def read(name: str) -> Page:
        path = CHECKOUT / name
        return Page(path=path, text=path.read_text(encoding="utf-8"))

    return read


@pytest.fixture
def pages(page: Callable[[str], Page]) -> list[Page]:
    """Every page for people."""
    names = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
    return [page(name) for name in [*names, *(f"docs/{path.name}" for path in sorted(CHECKOUT.glob("docs/*.md")))]]


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder that holds everything."""
    return CHECKOUT


@pytest.fixture
def copy(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what a clone holds, set up, with this environment's programs, of which ours need not wait long."""
    for name in COPIED:
        source = checkout / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("*.lock"))
        else:
            shutil.copy2(source, tmp_path / name)
    (tmp_path / "tests").symlink_to(checkout / "tests")
    programs = Path(sys.executable).parent
    (tmp_path / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (tmp_path / ".venv" / name).symlink_to(programs.parent / name)
    for name in (".ready-program", ".ready"):
        (tmp_path / ".venv" / name).touch()
    quick = tmp_path / ".quick" / "kling-batch"
    quick.parent.mkdir()
    quick.write_text(
        f'#!/bin/sh\nPYTHONPATH="{checkout}" exec "{sys.executable}" -m tests.docs.quick "$@"\n', encoding="utf-8"
    )
    quick.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(quick.parent), str(programs), os.environ["PATH"]]))
    return tmp_path


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Gives an account when it is called: a sandbox on loopback, which takes the key that the pages show."""
    with ExitStack() as stack:

        def open_account() -> None:
            settings = WorldSettings(
                api_key="your-key", generation=Span.fixed(0.4), queue=Span.fixed(0.0), sample_rate=8000
            )
            server = stack.enter_context(SandboxServer(settings, synth=quick_clip))
            monkeypatch.setenv("KLING_BASE_URL", server.url)
            monkeypatch.setenv("KLING_API_KEY", "your-key")

        yield open_account


@pytest.fixture
def made(
    copy: Path, page: Callable[[str], Page], account: Callable[[], None], monkeypatch: pytest.MonkeyPatch, s3: str
) -> Callable[[], None]:
    """Has the README's tavern made, and a forest, and the bucket of the pages; called again, its sounds are gone."""
    account()
    readme = next(block.text for block in page("README.md").blocks() if block.text.startswith("# tavern.yaml"))
    (copy / "tavern.yaml").write_text(readme, encoding="utf-8")
    (copy / "forest.yaml").write_text(FOREST, encoding="utf-8")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as patch:
        patch.chdir(copy)
        for name in ("tavern", "forest"):
            assert main(["run", f"{name}.yaml", "--yes", "--quiet", "--no-store", "--settle-time", "0"]) == 0

    def lose_sounds() -> None:
        for sound in (copy / "out" / "tavern").rglob("*.wav"):
            sound.unlink()

    return lose_sounds


@pytest.fixture(scope="session")
def s3(s3: str) -> str:
    """The S3 endpoint of all tests, with the bucket of the pages."""
    httpx.put(f"{s3}/our-bucket").raise_for_status()
    return s3


@pytest.fixture
def commands() -> dict[str, click.Command]:
    """Every command by name, `store gc` for one of a group. A command that cannot be imported fails the test."""
    return dict(_commands_of(cli, ()))


def _commands_of(command: click.Command, names: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield " ".join(names), command
        return
    if command.invoke_without_command:
        yield " ".join(names), command
    context = click.Context(command)
    for name in command.list_commands(context):
        if (found := command.get_command(context, name)) is not None:
            yield from _commands_of(found, (*names, name))
