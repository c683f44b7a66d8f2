"""JSON and JSON Lines to nodes. The standard library's reader forgets positions and keeps the last of two keys."""

from __future__ import annotations

import json
from re import compile as regex
from typing import TYPE_CHECKING

from kling_batch.manifest.nodes import MAX_DEPTH, ListNode, MapNode, Node, Scalar, Unreadable

if TYPE_CHECKING:
    from kling_batch.manifest.nodes import Page

_SPACE = regex(r"[ \t\r\n]*")
_STRING = regex(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_NUMBER = regex(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORD = regex(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE = regex(r"[^\r\n]+")
_SURROGATE = regex("[\ud800-\udfff]")
_WORDS = {"true": True, "false": False, "null": None}
_LONGEST_NUMBER = 100


def read_json(text: str, page: Page) -> Node:
    """Read one JSON value. `page` takes the problems that do not stop the reading.

    Raises:
        Unreadable: The text is no JSON, is empty, or is nested beyond reason.
    """
    if not text.strip(" \t\r\n"):
        raise Unreadable(0, 'the file is empty; a manifest starts with `{"version": 1,`')
    return _Scanner(text, len(text), page).whole(0)


def read_jsonl(text: str, page: Page) -> ListNode:
    """Read one JSON value a line. A line that is no JSON is told, and the others are read."""
    items: list[Node] = []
    for line in _LINE.finditer(text):
        if not line.group().strip(" \t"):
            continue
        try:
            items.append(_Scanner(text, line.end(), page).whole(line.start()))
        except Unreadable as error:
            page.tell(error.at, error.message)
    return ListNode(items, 0)


class _Scanner:
    """Reads values from a text up to `end`. Each method returns what it read and the index after it."""

    def __init__(self, text: str, end: int, page: Page) -> None:
        self._text = text
        self._end = end
        self._page = page

    def whole(self, start: int) -> Node:
        node, at = self._value(self._skip(start), 0)
        at = self._skip(at)
        if at < self._end:
            raise Unreadable(at, "this is no JSON: something follows after the end of the value")
        return node

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self._text, at, self._end)
        return match.end() if match else at

    def _value(self, at: int, depth: int) -> tuple[Node, int]:
        char = self._char(at)
        if char == '"':
            text, after = self._string(at)
            return Scalar(text, text, at), after
        if char in {"{", "["}:
            if depth >= MAX_DEPTH:
                raise Unreadable(at, f"values are nested more than {MAX_DEPTH} deep")
            return self._object(at, depth + 1) if char == "{" else self._array(at, depth + 1)
        if match := _NUMBER.match(self._text, at, self._end):
            return self._number(match.group(), at), match.end()
        word = _WORD.match(self._text, at, self._end)
        if word and word.group() in _WORDS:
            return Scalar(_WORDS[word.group()], word.group(), at), word.end()
        raise Unreadable(at, f"this is no JSON: a value is expected here{_advice(char, word and word.group())}")

    def _char(self, at: int) -> str:
        return self._text[at] if at < self._end else ""

    def _number(self, text: str, at: int) -> Scalar:
        if len(text) > _LONGEST_NUMBER:
            return Scalar(text, text, at)
        return Scalar(float(text) if set(text) & set(".eE") else int(text), text, at)

    def _string(self, at: int) -> tuple[str, int]:
        match = _STRING.match(self._text, at, self._end)
        if match is None:
            raise Unreadable(at, 'this is no JSON: this text has no closing `"` in its line')
        text = match.group()[1:-1]
        if "\\" in text:
            try:
                text = json.loads(match.group())
            except json.JSONDecodeError as error:
                raise Unreadable(at + error.pos, f"this is no JSON: {error.msg}") from error
            if _SURROGATE.search(text):
                self._page.tell(
                    at, "`\\ud800` to `\\udfff` stand for a character only in pairs; write the character itself"
                )
                text = _SURROGATE.sub("\ufffd", text)
        return text, match.end()

    def _array(self, start: int, depth: int) -> tuple[ListNode, int]:
        items: list[Node] = []
        at = self._skip(start + 1)
        if self._char(at) == "]":
            return ListNode(items, start), at + 1
        while True:
            item, at = self._value(at, depth)
            items.append(item)
            at, ended = self._comma(at, "]", start)
            if ended:
                return ListNode(items, start), at

    def _object(self, start: int, depth: int) -> tuple[MapNode, int]:
        node = MapNode({}, {}, start)
        at = self._skip(start + 1)
        if self._char(at) == "}":
            return node, at + 1
        while True:
            at = self._member(node, at, depth)
            at, ended = self._comma(at, "}", start)
            if ended:
                return node, at

    def _member(self, node: MapNode, key_at: int, depth: int) -> int:
        if self._char(key_at) != '"':
            advice = _advice(self._char(key_at), None)
            raise Unreadable(key_at, f"this is no JSON: a field's name in `\"` is expected here{advice}")
        name, at = self._string(key_at)
        at = self._skip(at)
        if self._char(at) != ":":
            raise Unreadable(at, "this is no JSON: `:` is expected after a field's name")
        value, at = self._value(self._skip(at + 1), depth)
        if name in node.items:
            first = self._page.line(node.keys[name])
            self._page.tell(key_at, f"`{name}` is given twice (first in line {first}); keep one of them")
        else:
            node.items[name] = value
            node.keys[name] = key_at
        return at

    def _comma(self, at: int, close: str, start: int) -> tuple[int, bool]:
        at = self._skip(at)
        char = self._char(at)
        if char == close:
            return at + 1, True
        if char == ",":
            return self._skip(at + 1), False
        opened = self._text[start]
        raise Unreadable(at, f"this is no JSON: `,` or `{close}` is expected here, to go on or to close `{opened}`")


def _advice(char: str, word: str | None) -> str:
    if char in {"]", "}"}:
        return "; remove the comma before it"
    if char == "'":
        return '; JSON has only `"` around texts'
    if word in {"NaN", "Infinity"}:
        return f"; `{word}` is none"
    if char in {"/", "#"}:
        return "; JSON has no comments"
    return ""
