"""`report.html`, the audition page: one file beside the sounds, to listen and choose, from disk or as a CI's artifact.

Three walls against hostile words: what the template writes is escaped by jinja2, and what the script shows is data that
it puts into the page as text; a Content-Security-Policy allows this page's own style and script by their hashes and
nothing else; and sounds are linked by relative, quoted paths. It loads nothing but sounds, and those only when they
are played.

The takes are blocks of JSON, of which the script draws what is in view, so that a page of 100,000 takes can be used.
Where no script runs there is a plain list.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kling_batch.catalog import kind_of
from kling_batch.clock import iso
from kling_batch.model import RunResult, Shape, Status
from kling_batch.report.compare import totals
from kling_batch.report.facts import grouped, headline, money, problems, span_s, summary
from kling_batch.report.page_chart import chart, histogram, time_text
from kling_batch.report.page_data import blocks
from kling_batch.text import printable

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
_STYLES = ("base.css", "head.css", "list.css", "player.css", "scope.css")
_SCRIPTS = (
    "data.js", "dom.js", "bytes.js", "choices.js", "player.js", "spectrum.js", "scope.js", "zip.js", "rows.js",
    "list.js", "filters.js", "dialogs.js", "keys.js",
)  # fmt: skip
_MOST_REASONS = 40
_MOST_GONE = 100
_SHOWN_TAKES = 8
_LISTED = 200
"""Takes of the plain list, which appears where the script does not run, as on a CI that keeps scripts out."""


def pieces(result: RunResult, shapes: Mapping[str, Shape] | None = None) -> Iterator[str]:
    """Write the page, some takes at a time.

    Args:
        result: The run.
        shapes: What sounds look like, by their hashes, where that is known.
    """
    found = grouped(take for take in problems(result) if take.status is not Status.PENDING)
    template = _environment().get_template("report.html.j2")
    yield from template.generate(
        result=result,
        words=lambda job: kind_of(job).words_of(job),
        headline=headline(result),
        totals=summary(result),
        time=time_text(span_s(result.started_at, result.finished_at)),
        money=money(result),
        chart=chart(result),
        histogram=histogram(result, shapes or {}),
        against=result.against,
        against_totals="" if result.against is None else totals(result.against),
        most_gone=_MOST_GONE,
        problems=found[:_MOST_REASONS],
        left_out=max(0, len(found) - _MOST_REASONS),
        shown_takes=_SHOWN_TAKES,
        listed=result.takes[:_LISTED],
        listed_all=len(result.takes) <= _LISTED,
        data=map(_markup, blocks(result, shapes or {})),
        policy=_policy(),
    )


def href(path: str) -> str:
    """Link to a file beside the page. The `./` keeps any path from being taken for another host or scheme."""
    return "./" + quote(path, errors="replace")


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _policy() -> str:
    """Allow this page's style and script, and sounds from where the page itself is: a server, or the disk."""
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; media-src 'self' file: blob:; connect-src 'self'; "
        f"style-src {_hash_source(_style())}; script-src {_hash_source(_script())}"
    )


def _hash_source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


@cache
def _style() -> str:
    return _joined(_STYLES)


@cache
def _script() -> str:
    return _joined(_SCRIPTS)


def _joined(names: Iterable[str]) -> str:
    return "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in names)


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
    environment.filters.update(href=href, when=_when, iso=iso)
    environment.globals.update(style=_markup(_style()), script=_markup(_script()))
    return environment


def _markup(text: str) -> Any:
    """Pass what must not be escaped: this package's own files, and JSON that cannot end its block."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - nobody's words, or words that page_data has made harmless


def _finalize(value: Any) -> Any:
    """Make every text of the page printable, whichever way it comes; jinja2 escapes it afterwards."""
    return printable(value) if type(value) is str else value
