"""The fields that a job may leave to its table, and a table to the manifest's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from kling_batch.manifest.messages import KEY_ADVICE, LIKE_A_KEY
from kling_batch.manifest.nodes import MapNode
from kling_batch.manifest.templates import Template, TemplateError, parse
from kling_batch.resources import schema

if TYPE_CHECKING:
    from collections.abc import Collection

    from kling_batch.manifest.nodes import Page

_DEFINITIONS = schema("manifest")["definitions"]
_FIELDS = frozenset({"duration", "takes", "edition", "formats", "file", "picked", "tags", "meta"})

_NO_META: Mapping[str, str] = {}


def _default(name: str) -> Any:
    return _DEFINITIONS[name]["default"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PathTemplate:
    """A `file` or `picked` template and the place where it was written; None for the place when nobody wrote it."""

    template: Template
    page: Page | None = None
    at: int = 0


class Settings(NamedTuple):
    """What holds for a job. `file` and `picked` are None when what was written cannot be used.

    A tuple, because every row of a table with a column of durations makes one.
    """

    duration_s: float = _default("duration")
    takes: int = _default("takes")
    edition: int = _default("edition")
    formats: tuple[str, ...] = tuple(_default("formats"))
    file: PathTemplate | None = PathTemplate(template=parse(_default("file")))
    picked: PathTemplate | None = PathTemplate(template=parse(_default("picked")))
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = _NO_META

    def under(self, data: Mapping[str, Any], wrong: Collection[str], node: MapNode, page: Page) -> Settings:
        """Put what a mapping says over these. Fields in `wrong` are passed over: they are told already."""
        said = {name: data[name] for name in _FIELDS & data.keys() if name not in wrong}
        if not said and not wrong:
            return self
        changes: dict[str, Any] = {name: int(said[name]) for name in ("takes", "edition") if name in said}
        if "duration" in said:
            changes["duration_s"] = round(float(said["duration"]), 1)
        changes |= {name: tuple(said[name]) for name in ("formats", "tags") if name in said}
        if "meta" in said:
            _refuse_keys(node.items["meta"], page)
            changes["meta"] = {**self.meta, **said["meta"]}
        for name in ("file", "picked"):
            if name in wrong:
                changes[name] = None
            elif name in said:
                changes[name] = _path(name, said[name], node.items[name].at, page)
        return self._replace(**changes)


def _path(name: str, text: str, at: int, page: Page) -> PathTemplate | None:
    try:
        return PathTemplate(template=parse(text), page=page, at=at)
    except TemplateError as error:
        page.tell(at, f"`{name}`: {error}")
        return None


def _refuse_keys(meta: object, page: Page) -> None:
    for name, at in meta.keys.items() if isinstance(meta, MapNode) else ():
        if LIKE_A_KEY.fullmatch(name) and "key" in name.lower():
            page.tell(at, f"`{name}` looks like a key of the service; {KEY_ADVICE}")
