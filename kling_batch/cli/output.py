"""What is written to the terminal: lines, errors, JSON.

Colour stands where it is wanted, and never carries a meaning alone: without it, every word and sign says the same.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from enum import Enum
from typing import Any, TextIO

import click

from kling_batch.errors import KlingBatchError

_NO = {"", "0"}


class Tone(Enum):
    """What a piece of text is about, with the colour for it."""

    WRONG = "red"
    CAUTION = "yellow"
    NEW = "green"
    UNDER_WAY = "cyan"
    PLACE = "blue"


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


def toned(text: str, tone: Tone, *, bold: bool = False) -> str:
    """Give text the colour of a tone. What prints it takes the colour out where none is wanted: see `say`."""
    return click.style(text, fg=tone.value, bold=bold or None)


def say(text: str, *, err: bool = False) -> None:
    """Print a line, in colour where the stream takes it."""
    click.echo(text, err=err, color=wanted(sys.stderr if err else sys.stdout))


def show_error(error: KlingBatchError) -> None:
    """Say what is wrong, where and why, and below it what to do: every error has this shape."""
    first, *rest = error.message.split("\n")
    say("\n".join([toned(first, Tone.WRONG, bold=True), *rest]), err=True)
    if error.hint:
        say(f"  {error.hint}", err=True)


def print_json(data: Any) -> None:
    """Print data for a program."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))
