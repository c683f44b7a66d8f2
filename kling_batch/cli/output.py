"""The one door to the terminal: lines, errors, JSON, questions. Whatever goes through it is safe to show.

Colour stands where it is wanted, and never carries a meaning alone: without it, every word and sign says the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from itertools import pairwise
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import click

from kling_batch.errors import KlingBatchError
from kling_batch.text import json_shown, shown

if TYPE_CHECKING:
    from kling_batch.report.github import Note

_NO = {"", "0"}
_JSON = ContextVar("json", default=False)
"""Whether stderr holds JSON alone, an object a line."""


class Tone(Enum):
    """What a piece of text is about, with the colour for it."""

    WRONG = "red"
    CAUTION = "yellow"
    NEW = "green"
    UNDER_WAY = "cyan"
    PLAIN = None


class Toned(NamedTuple):
    """A piece of a line, in the colour of a tone where the stream takes it. A tuple, since `--help` waits for it."""

    text: str
    tone: Tone = Tone.PLAIN
    bold: bool = False


Line = str | list[str | Toned]
"""A line of output, or its pieces."""


def wanted(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a stream takes colour.

    `NO_COLOR` forbids it; else `FORCE_COLOR` or `CLICOLOR_FORCE` ask for it anywhere; else a terminal takes it, unless
    it is a dumb one or `CLICOLOR` is 0. `NO_COLOR` set to nothing is not set, as no-color.org has it.
    """
    if environment.get("NO_COLOR"):
        return False
    if any(environment.get(name, "") not in _NO for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return environment.get("CLICOLOR") != "0" and redraws(stream, environment)


def redraws(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a line can be drawn over: on a terminal that is no dumb one."""
    return stream.isatty() and environment.get("TERM") != "dumb"


@contextmanager
def log_format(arguments: Sequence[str]) -> Iterator[None]:
    """Choose how stderr is written, before anything can be wrong with the rest of the command line."""
    before = _JSON.set("--log-format=json" in arguments or ("--log-format", "json") in pairwise(arguments))
    try:
        yield
    finally:
        _JSON.reset(before)


def logs_json() -> bool:
    """Whether a program reads stderr, which takes nothing but JSON."""
    return _JSON.get()


def say(*lines: Line, err: bool = False) -> None:
    """Print lines. A line break inside of one is shown as a blank, and does not end it."""
    stream = sys.stderr if err else sys.stdout
    if lines and err and logs_json():
        log("Message", message="\n".join(map(_plain, lines)))
    elif lines:
        _write("\n".join(painted(line, stream) for line in lines), err=err)


def show_error(error: KlingBatchError) -> None:
    """Say what is wrong, where and why, and below it what to do: every error has this shape."""
    if logs_json():
        log("Error", message=error.message, hint=error.hint)
        return
    first, *rest = error.message.split("\n")
    say([Toned(first, Tone.WRONG, bold=True)], *rest, err=True)
    if error.hint:
        say(f"  {error.hint}", err=True)


def print_json(data: Any, *, indent: int | None = 2, err: bool = False) -> None:
    """Print data for a program."""
    _write(json_shown(data, indent=indent), err=err)


def log(event: str, *, at: float | None = None, **facts: Any) -> None:
    """Write an object to stderr, for a program that reads it."""
    from kling_batch.clock import iso

    print_json({"at": iso(time() if at is None else at), "event": event, **facts}, indent=None, err=True)


def print_own(text: str) -> None:
    """Print a text of the program's own, such as a schema, as it is."""
    _write(text.removesuffix("\n"))


def annotate(note: Note, *, err: bool = False) -> None:
    """Print a command for GitHub's runner, which reads both streams."""
    from kling_batch.report.github import command

    _write(command(note), err=err and not logs_json())


def can_ask() -> bool:
    """Whether there is somebody to ask: a person at a terminal, whose stderr is not for a program."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not logs_json()


def confirm(question: str) -> bool:
    """Ask, on stderr, for yes or no."""
    return click.confirm(shown(question), default=False, err=True)


def painted(line: Line, stream: TextIO) -> str:
    """Write a line out, in colour where a stream takes it."""
    colour = wanted(stream)
    pieces = (Toned(line),) if isinstance(line, str) else line
    return "".join(_painted(Toned(piece) if isinstance(piece, str) else piece, colour) for piece in pieces)


def _plain(line: Line) -> str:
    return line if isinstance(line, str) else "".join(piece if isinstance(piece, str) else piece.text for piece in line)


def _painted(piece: Toned, colour: bool) -> str:
    text = shown(piece.text)
    plain = not colour or (piece.tone is Tone.PLAIN and not piece.bold)
    return text if plain else click.style(text, fg=piece.tone.value, bold=piece.bold or None)


def _write(text: str, *, err: bool = False) -> None:
    click.echo(text, err=err, color=True)
