"""The fields that a job may leave to its table, and a table to the manifest's defaults."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kling_batch.catalog import DEFAULT, Kind, kind, kinds
from kling_batch.catalog.manifest import manifest_schema
from kling_batch.manifest.finishing import Said, over
from kling_batch.manifest.messages import KEY_ADVICE, LIKE_A_KEY
from kling_batch.manifest.nodes import MapNode, Node, Page, Scalar
from kling_batch.manifest.templates import Template, TemplateError, parse

_DEFINITIONS = manifest_schema()["definitions"]
_NO_META: Mapping[str, str] = {}


def _default(name: str) -> Any:
    return _DEFINITIONS[name]["default"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PathTemplate:
    """A `file` or `picked` template and the place where it was written; None for the place when nobody wrote it."""

    template: Template
    page: Page | None = None
    at: int = 0


class OfKind(NamedTuple):
    """What the defaults say of jobs of one kind alone, checked, and where."""

    data: Mapping[str, Any]
    node: MapNode
    page: Page


class Settings(NamedTuple):
    """What holds for a job. `file` and `picked` are None when what was written cannot be used.

    `fields` are those of the kind's request; `of_kinds` is what the defaults say of jobs of one kind alone. A tuple,
    because every row of a table with a column of lengths makes one.
    """

    kind: str
    fields: Mapping[str, Any]
    formats: tuple[str, ...]
    takes: int = _default("takes")
    edition: int = _default("edition")
    file: PathTemplate | None = PathTemplate(template=parse(_default("file")))
    picked: PathTemplate | None = PathTemplate(template=parse(_default("picked")))
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = _NO_META
    finish: Said = Said()
    check: Said = Said()
    of_kinds: Mapping[str, OfKind] = {}

    def kind_at(self, node: Node) -> str:
        """Say of which kind a job is, or what holds for jobs, by what stands there; a name that is none is no kind."""
        said = node.items.get("kind") if isinstance(node, MapNode) else None
        return said.text.strip() if isinstance(said, Scalar) and said.text.strip() in kinds() else self.kind

    def under(self, data: Mapping[str, Any], wrong: Collection[str], node: MapNode, page: Page) -> Settings:
        """Put what a mapping says over these. Fields in `wrong` are passed over: they are told already.

        Where it says another kind, the fields of that begin with its own defaults.
        """
        of_kind = kind(self.kind_at(node))
        base = self if of_kind.name == self.kind else self._replace(**_of_kind(of_kind)).with_own()
        said = {name: value for name, value in data.items() if name not in wrong}
        changes: dict[str, Any] = {name: int(said[name]) for name in ("takes", "edition") if name in said}
        changes |= {name: tuple(said[name]) for name in ("formats", "tags") if name in said}
        if own := {name: _as_sent(of_kind.fields[name], said[name]) for name in of_kind.fields if name in said}:
            instead = of_kind.one_of if own.keys() & of_kind.one_of else ()
            changes["fields"] = {name: value for name, value in base.fields.items() if name not in instead} | own
        if "meta" in said:
            _refuse_keys(node.items["meta"], page)
            changes["meta"] = {**base.meta, **said["meta"]}
        for name in ("finish", "check"):
            if name in said:
                changes[name] = over(getattr(base, name), said[name], node.items[name], page)
        for name in ("file", "picked"):
            if name in wrong:
                changes[name] = None
            elif name in said:
                changes[name] = _path(name, said[name], node.items[name].at, page)
        return base._replace(**changes) if changes else base

    def with_own(self) -> Settings:
        """Put what the defaults say of jobs of this kind over these."""
        own = self.of_kinds.get(self.kind)
        return self if own is None else self.under(own.data, (), own.node, own.page)


def settings_of(name: str = DEFAULT) -> Settings:
    """Give what holds for a job of a kind of which nothing is said."""
    return Settings(**_of_kind(kind(name)))


def _of_kind(of_kind: Kind) -> dict[str, Any]:
    fields = {name: field["default"] for name, field in of_kind.fields.items() if "default" in field}
    return {"kind": of_kind.name, "fields": fields, "formats": of_kind.formats}


def _as_sent(field: Mapping[str, Any], value: Any) -> Any:
    """Give a value the form in which it is sent, and in which it is part of a take's identity."""
    return float(value) if field["type"] == "number" else value


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
