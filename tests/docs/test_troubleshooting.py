"""docs/troubleshooting.md has an answer to whatever the program says."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kling_batch import errors
from kling_batch.errors import ExitStatus, KlingBatchError
from kling_batch.service.codes import CODES

ANY = "…"


@pytest.fixture
def troubleshooting(page: Callable[[str], Any]) -> Any:
    return page("docs/troubleshooting.md")


def _texts(path: Path) -> Iterator[str]:
    """Every text in a source, with `…` for what is filled in."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else ANY for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"\{[a-z]*\}", ANY, node.value)


def _subclasses(of: type[KlingBatchError]) -> set[str]:
    return {of.__name__} | {name for each in of.__subclasses__() for name in _subclasses(each)}


def test_every_exit_status_has_a_section(troubleshooting: Any) -> None:
    """And no other number has one."""
    sections = [heading for heading in troubleshooting.headings() if heading.startswith("Exit status ")]
    assert sections == [f"Exit status {int(status)}" for status in ExitStatus]


def test_every_error_is_named_with_its_exit_status(troubleshooting: Any) -> None:
    """A class of errors stands in the section of the status that it ends the program with."""
    lacking = [
        name
        for name in _subclasses(KlingBatchError) - {"KlingBatchError"}
        if not re.search(rf"`{name}`", troubleshooting.section(f"Exit status {int(getattr(errors, name).exit_status)}"))
    ]
    assert lacking == []


def test_every_code_of_the_service_has_the_repair_that_the_program_names(troubleshooting: Any) -> None:
    """Code, meaning and repair are those of the program, word for word."""
    documented = [cells[:3] for cells in troubleshooting.rows("Codes of the service").values()]
    assert documented == [[str(row.code), row.meaning, row.hint or "Nothing."] for row in CODES.values()]


def test_every_message_is_one_that_the_program_says(troubleshooting: Any, checkout: Path) -> None:
    """A message that has been reworded, or has gone, is found here."""
    sections = [heading for heading in troubleshooting.headings() if heading.startswith("Exit status ")]
    lines = "\n".join(troubleshooting.section(heading) for heading in sections).splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("|")]
    messages = [text for cell in cells for text in re.findall(r"`([^`]+)`", cell) if not text.startswith(PLACES)]
    said = {text for path in (checkout / "kling_batch").rglob("*.py") for text in _texts(path)}
    unsaid = [words for words in messages if not any(words.strip(f"{ANY} ") in text for text in said)]
    assert len(messages) > 30
    assert unsaid == []


PLACES = ("FILE", "(code", "kling-batch")
"""How a row begins that names a place, or a command, and no text of the program."""
