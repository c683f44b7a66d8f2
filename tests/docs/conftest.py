"""Markdown, read as far as the tests of the documentation need it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from kling_batch.cli import cli

CHECKOUT = Path(__file__).resolve().parent.parent.parent


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


@pytest.fixture
def checkout() -> Path:
    """The folder that holds everything."""
    return CHECKOUT


@pytest.fixture
def commands() -> dict[str, click.Command]:
    """Every command by name, `store gc` for one of a group. A command that cannot be imported fails the test."""
    return dict(_commands_of(cli, ()))


def _commands_of(command: click.Command, names: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield " ".join(names), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        if (found := command.get_command(context, name)) is not None:
            yield from _commands_of(found, (*names, name))
