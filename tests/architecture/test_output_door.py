"""What is shown goes through one door, which makes foreign words safe."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import kling_batch

PACKAGE = Path(kling_batch.__file__).parent
DOOR = PACKAGE / "cli" / "output.py"
PRINTERS = {"print", "echo", "secho", "style", "prompt", "confirm", "write_line"}
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}


def past_the_door(source: str) -> list[int]:
    """Find the lines where something is printed, or a stream written to."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and _prints(ast.unparse(node.func))
    ]


def _prints(called: str) -> bool:
    *owners, name = called.split(".")
    by_a_library = called == "print" or (name in PRINTERS and owners == ["click"])
    to_a_stream = name in {"write", "writelines"} and bool(STREAMS & {*owners} or "bar" in "".join(owners))
    return by_a_library or to_a_stream or called == "os.write"


def test_nothing_is_printed_past_the_door() -> None:
    """So that whatever a manifest, a lock or the service says is made safe before a terminal or a runner reads it."""
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != DOOR
        for line in past_the_door(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "print(words)",
        "click.echo(words)",
        "click.style(words)",
        "import sys\nsys.stderr.write(words)",
        "sys.__stdout__.buffer.write(words)",
        "self._bar.write(words)",
        "os.write(2, words)",
    ],
)
def test_what_goes_past_it_is_found(source: str) -> None:
    """By whatever way."""
    assert past_the_door(source)
