"""`report.html`: one page beside the sounds, to listen to them from disk or as a CI's artifact.

Three walls against hostile words: jinja2 escapes everything, a Content-Security-Policy allows this page's own style
and script by their hashes and nothing else, and sounds are linked by relative, quoted paths. It loads nothing but
sounds, and those only when they are played.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kling_batch.clock import iso
from kling_batch.model import RunResult, Status
from kling_batch.report.facts import by_job, headline, money, problems, reason, repair, summary, units_text
from kling_batch.report.text import printable

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
_PIECE = 200  # events of the template that are written at once


def pieces(result: RunResult) -> Iterator[str]:
    """Write the page, some takes at a time."""
    stream = (
        _environment()
        .get_template("report.html.j2")
        .stream(
            result=result,
            headline=headline(result),
            totals=summary(result),
            money=money(result),
            problems=[take for take in problems(result) if take.status is not Status.PENDING],
            jobs=by_job(result),
            policy=_policy(),
        )
    )
    stream.enable_buffering(_PIECE)
    yield from stream


def href(path: str) -> str:
    """Link to a file beside the page. The `./` keeps any path from being taken for another host or scheme."""
    return "./" + quote(path, errors="replace")


def _policy() -> str:
    """Allow this page's style and script, and sounds from where the page itself is: a server, or the disk."""
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; media-src 'self' file:; "
        f"style-src {_hash_source('report.css')}; script-src {_hash_source('report.js')}"
    )


def _hash_source(name: str) -> str:
    digest = hashlib.sha256(_asset(name).encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


@cache
def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(href=href, iso=iso, units=units_text, reason=reason, repair=repair)
    environment.globals.update(style=_markup("report.css"), script=_markup("report.js"))
    return environment


def _markup(name: str) -> Any:
    from markupsafe import Markup

    return Markup(_asset(name))  # noqa: S704 - a file of this package, nobody's words


def _finalize(value: Any) -> Any:
    """Make every text of the page printable, whichever way it comes; jinja2 escapes it afterwards."""
    return printable(value) if type(value) is str else value
