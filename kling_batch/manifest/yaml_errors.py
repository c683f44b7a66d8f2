"""What the YAML parser refuses, said to a person: a quote where it opened, an indent by its column."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from re import compile as regex
from typing import Any

import yaml

from kling_batch.manifest.nodes import Unreadable

_INDENT = regex(r"( *)((?:- +)*)(?=[^\s#])")
_INSIDE = {'"': '\\"', "'": "''"}
"""How a quote is written inside of a text in such quotes."""
_MISPLACED = ("did not find expected key", "did not find expected '-'", "did not find expected <document start>")


def worded(text: str, error: yaml.MarkedYAMLError, events: Iterable[yaml.Event]) -> Unreadable:
    """Say what is wrong in a text, and where a person has to look for it. `events` are the text's, up to the error."""
    problem, context = error.problem or "", error.context or ""
    mark: Any = error.problem_mark or error.context_mark
    at = mark.index if mark else 0
    begun = error.context_mark.index if error.context_mark else at
    if "quoted scalar" in context and "end of stream" in problem:
        return Unreadable(begun, f"the `{text[begun]}` that opens here is never closed; close it where its text ends")
    last = _last_scalar(events)
    if last and last.style in _INSIDE and not text[last.end_mark.index : at].strip(" "):
        return _after_quote(last, at)
    if "tab character" in problem or text[at : at + 1] == "\t":
        return Unreadable(at, "a tab stands here; indent with spaces")
    if "cannot start any token" in problem:
        return Unreadable(at, f"a text cannot start with `{text[at]}`; put it in quotes")
    if "expected ':'" in problem:
        return Unreadable(begun, "a field is written `name: value`; here is no `: `")
    if "mapping values" in problem and ": " in _line_before(text, at):
        return Unreadable(at, "a text that contains `: ` has to stand in quotes")
    if "mapping values" in problem or (problem.startswith(_MISPLACED) and text[at : at + 1] not in {"]", "}"}):
        start = at - len(_line_before(text, at).lstrip(" "))
        if words := _misplaced(text, start):
            return Unreadable(start, words)
        if "mapping values" in problem:
            return Unreadable(start, "the line above is no `name: value`; write `: ` after the name")
    return Unreadable(at, f"this is no YAML: {problem} {context}".rstrip())


def _line_before(text: str, at: int) -> str:
    return f"{text[:at]}.".splitlines()[-1][:-1]


def _last_scalar(events: Iterable[yaml.Event]) -> Any:
    """Give the event of the last value that can be read."""
    last = None
    with suppress(yaml.YAMLError):
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                last = event
    return last


def _after_quote(last: Any, at: int) -> Unreadable:
    """Tell of what follows a text in quotes. One that goes on over lines was most likely never meant to."""
    start, end, quote = last.start_mark, last.end_mark, last.style
    if start.line < end.line:
        where = f"closed only in line {end.line + 1}, where more follows"
        return Unreadable(start.index, f"the `{quote}` that opens here is {where}; close it where its text ends")
    inside = f"write a `{quote}` inside of it as `{_INSIDE[quote]}`"
    return Unreadable(at, f"nothing may follow the `{quote}` that closes a text; {inside}")


def _misplaced(text: str, start: int) -> str | None:
    """Say in which columns a line could start; None where it does start in one of those."""
    is_item = text.startswith("- ", start)
    columns = set()
    lowest = len(text)
    for line in reversed(text[:start].splitlines()):
        found = _INDENT.match(line)
        if found and found.end(1) < lowest:
            lowest = found.end(1)
            if found[2] or not is_item:
                columns.add(1 + (lowest if is_item else found.end()))
    own = len(_line_before(text, start)) + 1
    if not columns or own in columns:
        return None
    what = "the entries of the list" if is_item else "the fields"
    listed = " or ".join(map(str, sorted(columns)))
    return f"this line starts in column {own}; {what} that it could belong to start in column {listed}"
