"""Every error has one shape: what is wrong, and below it, indented, what to do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from kling_batch import errors
from kling_batch.cli import main

PACKAGE = Path(errors.__file__).parent
OURS = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}


def _without_hint(source: str) -> Iterator[int]:
    """Find where an error of ours is made without saying what to do. A manifest's problems say it themselves."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in OURS - {"ManifestInvalid"}
        ):
            keywords = {keyword.arg for keyword in node.keywords}
            if not keywords & {"hint", None}:
                yield node.lineno


def test_every_error_says_what_to_do() -> None:
    """None is made without a hint."""
    assert list(_without_hint("raise UsageError('no', hint='do') from e\nraise UsageError('no')")) == [2]
    lacking = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in _without_hint(path.read_text(encoding="utf-8"))
    ]
    assert not lacking


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("rum m.yaml", "No such command 'rum'. Did you mean 'run'?"),
        ("run", "Missing argument 'MANIFEST'."),
        ("run m.yaml --max-unit 3", "Did you mean"),
        ("run m.yaml --retries 31", "31"),
        ("run m.yaml --concurrency many", "'many' is neither auto nor a number from 1 to 1000."),
        ("run m.yaml --max-units lots", "'lots' is not an amount of units, such as 2.50."),
        ("plan m.yaml --format xml", "'xml'"),
        ("store gcc", "gcc"),
        ("run nowhere.yaml", "nowhere.yaml: there is no such file"),
        ("run examples/fireworks.yaml --locked --frozen", "--locked and --frozen exclude each other."),
        ("schema manifets", "There is no schema 'manifets'."),
        ("account", "There are no keys"),
        ("store gc", "Say what to keep"),
    ],
)
def test_an_error_is_a_line_and_below_it_the_repair(words: str, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever finds it, we or the library that reads the command line; on stderr, and with exit status 2."""
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    first, *rest = err.splitlines()
    assert not out
    assert wrong in first
    assert rest
    assert all(line.startswith("  ") for line in rest)
