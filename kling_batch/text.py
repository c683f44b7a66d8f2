"""Foreign words, made safe for where they go: those of a manifest, a lock, the service.

Each reporter still escapes for its own format. GitHub's runner takes a line that begins with `::`, and `##[` anywhere
in one, for a command. In a command of ours, `%`, CR and LF are written as `%25`, `%0D` and `%0A`, in a property also
`:` and `,` [documented, and read from the runner's source].
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_UNPRINTABLE = re.compile(
    "["
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters; XML forbids most of them
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they change the writing direction, and disguise what follows
    "\u2028\u2029"  # ends of lines, for some who read them
    "\ud800-\udfff\ufffe\uffff"  # no characters at all; XML forbids them
    "]"
)
_SPACE = re.compile(r"\s+")
_BREAK = re.compile(r"\r\n|[\t\n\r]")
_COMMAND = re.compile(r"^(\s*)(?=::)|(?<=##)(?=\[)")


def printable(text: str) -> str:
    """Put `U+FFFD` where a character would change how the rest is shown, or would make a file unreadable."""
    return _UNPRINTABLE.sub("\ufffd", text)


def one_line(text: str, most: int) -> str:
    """Bring a text onto one printable line of at most `most` characters; an ellipsis shows that some are left out."""
    line = _SPACE.sub(" ", printable(text)).strip()
    return line if len(line) <= most else line[: most - 1] + "…"


def counted(count: int, noun: str) -> str:
    """Count things: `1 take`, `2 takes`, `2 entries`."""
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else many}"


def some(names: Iterable[object], most: int) -> str:
    """List names, at most so many of them: `a, b and 3 more`."""
    named = list(map(str, names))
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return ", ".join(named[:most]) + more


def shown(text: str) -> str:
    """Make a text a line of a stream: it breaks no line, moves no cursor, and commands neither terminal nor runner."""
    return _COMMAND.sub(r"\1\\", printable(_BREAK.sub(" ", text)))


def json_shown(data: Any, *, indent: int | None = None) -> str:
    """Write JSON for a stream, in ASCII: any encoding can say it, and what is no plain character is escaped."""
    return json.dumps(data, indent=indent).replace("##[", r"#\u0023[")


def runner_command(name: str, properties: Mapping[str, str], message: str) -> str:
    """Write a command for GitHub's runner: one line, whatever stands in it."""
    listed = ",".join(f"{key}={_escaped_property(value)}" for key, value in properties.items() if value.strip())
    return f"::{name} {listed}".rstrip() + f"::{_escaped(message)}"


def _escaped(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
