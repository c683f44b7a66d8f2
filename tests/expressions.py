"""GitHub's expressions, `${{ … }}`, as far as workflows use them, written from the documentation of GitHub Actions.

What is not written here raises: a workflow that needs more is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w-]*)"
    r"|(?P<mark>\|\||&&|==|!=|[!()\[\].,]))"
)
_HOLE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_WORDS = {"true": True, "false": False, "null": None}
_STATUS = {"always", "success", "failure", "cancelled"}

Contexts = Mapping[str, Any]
Functions = Mapping[str, Callable[..., Any]]


def interpolated(text: str, contexts: Contexts, functions: Functions) -> str:
    """Fill in every expression of a text."""
    return _HOLE.sub(lambda hole: as_text(evaluate(hole[1], contexts, functions)), text)


def holds(condition: str, contexts: Contexts, functions: Functions) -> bool:
    """Decide an `if`. Where it asks for no status, it holds only as long as nothing has failed."""
    text = condition.strip()
    whole = _HOLE.fullmatch(text)
    expression = whole[1] if whole else text
    asks = set(re.findall(r"([a-z]+)\(", expression)) & _STATUS
    return bool((asks or functions["success"]()) and is_true(evaluate(expression, contexts, functions)))


def evaluate(text: str, contexts: Contexts, functions: Functions) -> Any:
    """Evaluate an expression."""
    return _Parser(_tokens(text), contexts, {**_FUNCTIONS, **functions}).whole()


def is_true(value: Any) -> bool:
    """Whether a value counts as true: empty text, 0, false and null do not; lists and objects do."""
    return isinstance(value, list | dict) or bool(value)


def as_text(value: Any) -> str:
    """Write a value into a text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    assert isinstance(value, str | int | float), f"{value!r} would become the text Object or Array"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _tokens(text: str) -> list[tuple[str, str]]:
    found, place = [], 0
    text = text.strip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        assert match is not None, f"{text[place:]!r} is no expression"
        found.append((str(match.lastgroup), match[match.lastgroup or 0]))
        place = match.end()
    return found


class _Parser:
    """Reads and evaluates at once. Both sides of `&&` and `||` are evaluated, which shows in nothing here."""

    def __init__(self, tokens: Sequence[tuple[str, str]], contexts: Contexts, functions: Functions) -> None:
        self._tokens = [*tokens, ("end", "")]
        self._contexts = contexts
        self._functions = functions

    def whole(self) -> Any:
        value = self._or()
        assert self._tokens[0] == ("end", ""), f"{self._tokens} is left over"
        return value

    def _take(self, *marks: str) -> str | None:
        kind, text = self._tokens[0]
        if kind == "mark" and text in marks:
            del self._tokens[0]
            return text
        return None

    def _need(self, mark: str) -> None:
        assert self._take(mark), f"{mark!r} is needed before {self._tokens}"

    def _or(self) -> Any:
        value = self._and()
        while self._take("||"):
            other = self._and()
            value = value if is_true(value) else other
        return value

    def _and(self) -> Any:
        value = self._equal()
        while self._take("&&"):
            other = self._equal()
            value = other if is_true(value) else value
        return value

    def _equal(self) -> Any:
        value = self._not()
        while mark := self._take("==", "!="):
            value = _same(value, self._not()) is (mark == "==")
        return value

    def _not(self) -> Any:
        return not is_true(self._not()) if self._take("!") else self._value()

    def _value(self) -> Any:
        if self._take("("):
            value = self._or()
            self._need(")")
            return self._members(value)
        kind, text = self._tokens.pop(0)
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text)
        assert kind == "name", f"{text!r} begins no value"
        if self._take("("):
            return self._members(self._functions[text](*self._arguments()))
        if text in _WORDS:
            return _WORDS[text]
        assert text in self._contexts, f"{text} is no context that is there"
        return self._members(self._contexts[text])

    def _arguments(self) -> list[Any]:
        given: list[Any] = []
        while not self._take(")"):
            given.append(self._or())
            self._take(",")
        return given

    def _members(self, value: Any) -> Any:
        while mark := self._take(".", "["):
            if mark == "[":
                name = self._or()
                self._need("]")
            else:
                name = self._tokens.pop(0)[1]
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


def _same(one: Any, other: Any) -> bool:
    """Compare loosely: texts without case, and values of two types as numbers."""
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if type(one) is type(other):
        return bool(one == other)
    return _number(one) == _number(other)


def _number(value: Any) -> float | None:
    """Take a value for a number; None, which equals nothing here, where it is none."""
    if value is None or value == "":
        return 0.0
    if isinstance(value, bool | int | float):
        return float(value)
    return float(value) if isinstance(value, str) and re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", value) else float("nan")


def _format(text: str, *values: Any) -> str:
    return re.sub(r"\{(\d+)\}", lambda hole: as_text(values[int(hole[1])]), text)


_FUNCTIONS: Functions = {
    "format": _format,
    "startsWith": lambda text, start: as_text(text).lower().startswith(as_text(start).lower()),
    "endsWith": lambda text, end: as_text(text).lower().endswith(as_text(end).lower()),
    "contains": lambda text, piece: as_text(piece).lower() in as_text(text).lower(),
}
