"""What an unquoted word means: null, true, false, a number, or itself.

YAML 1.1 would also make `no` false, `1:30` ninety, `017` fifteen and `2024-01-01` a date. Here they are words.
"""

from __future__ import annotations

from re import compile as regex

_WORDS: dict[str, bool | float | None] = {
    "": None,
    **dict.fromkeys(("~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{f"{sign}{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
}
_INTEGER = regex(r"[-+]?(?:0|[1-9][0-9]{0,99})")
_REAL = regex(r"[-+]?(?:(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{0,99})?|\.[0-9]{1,99})(?:[eE][-+]?[0-9]{1,9})?")
_FIRST = frozenset("-+.0123456789~nNtTfF")


def resolve(text: str) -> float | str | bool | None:
    """Give an unquoted word its meaning."""
    if text and text[0] not in _FIRST:
        return text
    if text in _WORDS:
        return _WORDS[text]
    return number(text)


def number(text: str) -> float | str:
    """Read a number as JSON and people write it; anything else stays text."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if _REAL.fullmatch(text):
        return float(text)
    return text
