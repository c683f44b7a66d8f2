"""`{name}` in ids, prompts, files, tags and meta: names and nothing else, so that none reaches into the program."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from re import compile as regex

_TOKEN = regex(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_WIDTH = regex(r"take:0([1-9])")
_NOT_WORD = regex(r"[\W_]+")


class TemplateError(Exception):
    """A template that cannot be understood. Its text is the message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A text with holes: literals and the names of holes by turns, a literal first.

    `width` is to how many digits `{take}` is filled up with zeros.
    """

    text: str
    literals: tuple[str, ...]
    names: tuple[str, ...]
    width: int = 0

    def render(self, values: Mapping[str, str], *, take: int = 0) -> str:
        """Fill the holes. Every name but `take` must be in `values`."""
        text = self.literals[0]
        for name, literal in zip(self.names, self.literals[1:], strict=True):
            text += (f"{take:0{self.width}}" if name == "take" else values[name]) + literal
        return text


@lru_cache(maxsize=4096)
def parse(text: str) -> Template:
    """Read a template. `{{` and `}}` are braces.

    Raises:
        TemplateError: A brace without its other, an empty name, or a format that is not `take:0N`.
    """
    literals, names, width, end = [""], [], 0, 0
    for token in _TOKEN.finditer(text):
        literals[-1] += text[end : token.start()]
        end = token.end()
        name = token.group(1)
        if name is None:
            if len(token.group()) == 1:
                raise TemplateError(f"`{token.group()}` stands alone; write `{token.group() * 2}` for a brace")
            literals[-1] += token.group()[0]
            continue
        if match := _WIDTH.fullmatch(name.strip()):
            name, width = "take", int(match.group(1))
        elif ":" in name:
            raise TemplateError(f"`{{{name}}}` has a format; only `{{take:02}}` may have one, such as 02 or 03")
        names.append(name.strip())
        literals.append("")
    literals[-1] += text[end:]
    return Template(text=text, literals=tuple(literals), names=tuple(names), width=width)


def slug(text: str) -> str:
    """Make a text fit for ids and paths: lower case, without accents, everything but letters and digits a `-`.

    Letters that have no ASCII form stay; a path may have them, an id may not.
    """
    parts = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    bare = "".join(char for char in parts if not unicodedata.combining(char))
    return unicodedata.normalize("NFC", _NOT_WORD.sub("-", bare.casefold())).strip("-")
