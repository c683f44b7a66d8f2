"""What GitHub's runner makes of a step's output and of its files, written from the runner's own rules.

A line is a command where it begins with `::` and a name that the runner knows, up to the next `::`. Properties are
parted by `,`, name and value by the first `=`. The older form `##[name]` may stand anywhere in a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

KNOWN = frozenset({
    "add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group", "notice", "remove-matcher",
    "save-state", "set-env", "set-output", "stop-commands", "warning",
})  # fmt: skip
_DATA = {"%0D": "\r", "%0A": "\n"}
_PROPERTY = {**_DATA, "%3A": ":", "%2C": ","}


@dataclass(frozen=True, kw_only=True)
class Command:
    """A workflow command, unescaped."""

    name: str
    message: str
    properties: dict[str, str] = field(default_factory=dict)


def commands(output: str) -> list[Command]:
    """Every command in a step's output. Lines end at LF, CR or both, as the runner reads them."""
    return [found for line in re.split(r"\r\n|\n|\r", output) if (found := _command(line)) is not None]


def _command(line: str) -> Command | None:
    line = line.lstrip()
    if not line.startswith("::"):
        return _older(line)
    info, separator, data = line[2:].partition("::")
    name, _, listed = info.partition(" ")
    if not separator or name not in KNOWN:
        return None
    properties = {}
    for part in filter(None, listed.strip().split(",")):
        key, equals, value = part.partition("=")
        assert equals, f"{part!r} is no property"
        assert value, f"{key} is empty: the runner drops it"
        assert key not in properties, f"{key} stands there twice"
        properties[key] = _unescaped(value, _PROPERTY)
    return Command(name=name, message=_unescaped(data, _DATA), properties=properties)


def _older(line: str) -> Command | None:
    found = re.search(r"##\[([^\] ]+)[^\]]*\](.*)", line)
    return Command(name=found[1], message=found[2]) if found and found[1] in KNOWN else None


def _unescaped(text: str, escapes: dict[str, str]) -> str:
    """Undo the escapes. A `%` that begins none is a `%` somebody forgot to escape."""
    stray = re.search(r"%(?!25|0D|0A|3A|2C)", text)
    assert stray is None, f"a bare % in {text!r}"
    for escape, char in escapes.items():
        text = text.replace(escape, char)
    return text.replace("%25", "%")


def outputs(text: str, names: str = r"[a-z][a-z-]*") -> dict[str, str]:
    """What a `$GITHUB_OUTPUT` or `$GITHUB_ENV` file sets: `name=value`, or `name<<MARK`, lines, and `MARK` alone."""
    found: dict[str, str] = {}
    lines = text.split("\n")
    assert lines.pop() == "", "the last line does not end"
    while lines:
        line = lines.pop(0)
        before, mark, value = re.split(r"(=|<<)", line, maxsplit=1)
        assert re.fullmatch(names, before), f"{line!r} names nothing"
        assert before not in found, f"{before} is set twice"
        if mark == "<<":
            end = lines.index(value)
            value, lines = "\n".join(lines[:end]), lines[end + 1 :]
        found[before] = value
    return found
