"""Words from manifests and from the service, made safe to print. Each reporter still escapes for its own format."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(
    "["
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters; XML forbids most of them
    "\u202a-\u202e\u2066-\u2069"  # overrides of the writing direction: they disguise what follows
    "\ud800-\udfff\ufffe\uffff"  # no characters at all; XML forbids them
    "]"
)
_SPACE = re.compile(r"\s+")


def printable(text: str) -> str:
    """Put `U+FFFD` where a character would change how the rest is shown, or would make a file unreadable."""
    return _UNPRINTABLE.sub("\ufffd", text)


def one_line(text: str, most: int) -> str:
    """Bring a text onto one printable line of at most `most` characters; an ellipsis shows that some are left out."""
    line = _SPACE.sub(" ", printable(text)).strip()
    return line if len(line) <= most else line[: most - 1] + "…"
