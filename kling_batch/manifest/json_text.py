"""JSON and JSON Lines to nodes: the standard library reads, and the tokens of the text say where each value stands."""

from __future__ import annotations

import json
from re import Match
from re import compile as regex
from typing import Any

from kling_batch.manifest.nodes import MAX_DEPTH, ListNode, MapNode, Node, Page, Scalar, Unreadable

_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_BEGINNING = regex(rf'{_STRING}|[\[{{]|[^\s,:"\[\]{{}}]+')
"""What begins a value, or is the name of a field."""
_OPENED = regex(rf'{_STRING}|"')
_BRACKET = regex(rf"{_STRING}|[\[\]{{}}]")
_LINE = regex(r"[^\r\n]+")
_SURROGATE = regex("[\ud800-\udfff]")
_LONGEST_NUMBER = 100
_WORDS = {
    "Expecting value": "a value is expected here",
    "Illegal trailing comma before end of array": "a value is expected here",
    "Expecting property name enclosed in double quotes": "a field's name in `\"` is expected here",
    "Illegal trailing comma before end of object": "a field's name in `\"` is expected here",
    "Unterminated string starting at": 'this text has no closing `"`',
    "Invalid control character at": "a control character stands in a text; write it as `\\n`, `\\t` or `\\u0000`",
    "Extra data": "something follows after the end of the value",
}


class _Fields(list[tuple[str, Any]]):
    """An object, with every field that it gives twice."""


class _Constant(str):
    """`NaN` or `Infinity`, which the standard library takes for numbers."""

    __slots__ = ()


def read_json(text: str, page: Page) -> Node:
    """Read one JSON value. `page` takes the problems that do not stop the reading.

    Raises:
        Unreadable: The text is no JSON, is empty, or is nested beyond reason.
    """
    if not text.strip(" \t\r\n"):
        raise Unreadable(0, 'the file is empty; a manifest starts with `{"version": 1,`')
    return _read(text, 0, page)


def read_jsonl(text: str, page: Page) -> ListNode:
    """Read one JSON value a line. A line that is no JSON is told, and the others are read."""
    items: list[Node] = []
    for line in _LINE.finditer(text):
        if not line.group().strip(" \t"):
            continue
        try:
            items.append(_read(line.group(), line.start(), page))
        except Unreadable as error:
            page.tell(error.at, error.message)
    return ListNode(items, 0)


def _read(text: str, begin: int, page: Page) -> Node:
    """Read a value that begins at an index of the page."""
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        at = error.pos
        if error.msg.startswith("Illegal trailing comma"):  # Python 3.13 points at it, others at what follows
            at = len(text) - len(text[at + 1 :].lstrip())
        words = _WORDS.get(error.msg, error.msg.lower())
        if error.msg.startswith("Invalid control") and text[at] in "\r\n":
            words = 'this text has no closing `"` in its line'
            at = next(opened.start() for opened in _OPENED.finditer(text, 0, at) if len(opened.group()) == 1)
        raise Unreadable(begin + at, f"this is no JSON: {words}{_advice(text[at:])}") from error
    except RecursionError:
        raise Unreadable(begin + _too_deep(text), f"values are nested more than {MAX_DEPTH} deep") from None
    return _Builder(text, begin, page).node(value, 0)


def _number(text: str) -> Scalar:
    if len(text) > _LONGEST_NUMBER:
        return Scalar(text, text, 0)
    return Scalar(float(text) if set(text) & set(".eE") else int(text), text, 0)


_DECODER = json.JSONDecoder(object_pairs_hook=_Fields, parse_int=_number, parse_float=_number, parse_constant=_Constant)


class _Builder:
    """Gives the values of a text their places: they come in the order of its tokens."""

    def __init__(self, text: str, begin: int, page: Page) -> None:
        self._places = map(Match.start, _BEGINNING.finditer(text))
        self._begin = begin
        self._page = page

    def node(self, value: Any, depth: int) -> Node:
        at = self._next()
        if isinstance(value, Scalar):
            return value._replace(at=at)
        if isinstance(value, _Constant):
            raise Unreadable(at, f"this is no JSON: a value is expected here; `{value}` is none")
        if isinstance(value, str):
            text = self._characters(value, at)
            return Scalar(text, text, at)
        if not isinstance(value, list):
            return Scalar(value, json.dumps(value), at)
        if depth >= MAX_DEPTH:
            raise Unreadable(at, f"values are nested more than {MAX_DEPTH} deep")
        if isinstance(value, _Fields):
            return self._object(value, at, depth + 1)
        return ListNode([self.node(item, depth + 1) for item in value], at)

    def _next(self) -> int:
        return self._begin + next(self._places)

    def _object(self, fields: _Fields, at: int, depth: int) -> MapNode:
        node = MapNode({}, {}, at)
        for written, value in fields:
            key_at = self._next()
            name = self._characters(written, key_at)
            node.add(name, key_at, self.node(value, depth), self._page)
        return node

    def _characters(self, text: str, at: int) -> str:
        if not _SURROGATE.search(text):
            return text
        words = "`\\ud800` to `\\udfff` stand for a character only in pairs; write the character itself"
        self._page.tell(at, words)
        return _SURROGATE.sub("\ufffd", text)


def _too_deep(text: str) -> int:
    """Find the first bracket that is nested too deep."""
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match.group(), 0)
        if depth > MAX_DEPTH:
            return match.start()
    return 0


def _advice(rest: str) -> str:
    if rest.startswith(("]", "}")):
        return "; remove the comma before it"
    if rest.startswith("'"):
        return '; JSON has only `"` around texts'
    if rest.startswith(("/", "#")):
        return "; JSON has no comments"
    return ""
