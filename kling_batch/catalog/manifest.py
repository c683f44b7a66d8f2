"""The schema of manifests: `manifest.json` has what every kind shares, and each kind adds the fields of its request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from re import search
from typing import Any, Literal

from kling_batch.catalog.kinds import DEFAULT, Kind, kinds

Part = Literal["defaults", "from", "job"]
"""Where a person writes fields. Each kind has a definition of its own for each of these."""
_PARTS: tuple[Part, ...] = ("defaults", "from", "job")
_BEFORE = ("id", "from", "sheet", "columns", "kind")
"""Fields that stand before those of a kind, in the schema and in messages."""
_BOUNDS = ("enum", "pattern", "patternErrorMessage")
_OFF = ["off", False]
"""What takes a field of a recipe or of checks away."""
_TEXT = ["string", "number", "boolean"]
"""What is text takes a number or `no` as it is written."""


@cache
def manifest_schema() -> Mapping[str, Any]:
    """Give the schema that manifests are checked by and that editors read. Treat it as read-only: it is shared."""
    schema: dict[str, Any] = json.loads(Path(__file__).with_name("manifest.json").read_text(encoding="utf-8"))
    definitions = schema["definitions"]
    shared = {part: definitions.pop(part) for part in _PARTS}
    for name, otherwise in (("recipe", ()), ("checks", definitions["then"]["enum"])):
        fields = definitions[name]["properties"]
        definitions[name]["properties"] = {field: _or_off(said, otherwise) for field, said in fields.items()}
    for name, of in (("finish", "recipe"), ("check", "checks")):
        definitions[name] = {**definitions[name], **_if_mapping({"$ref": f"#/definitions/{of}"}, definitions[of], ())}
    definitions["kind"] = {**definitions["kind"], "enum": list(kinds()), "default": DEFAULT}
    columns = shared["from"]["properties"]["columns"]
    every_field = {name: {"$ref": "#/definitions/column"} for kind in kinds().values() for name in kind.fields}
    columns["properties"] = _with_fields(columns["properties"], every_field)
    columns["x-meant"] = {word: field for kind in kinds().values() for word, field in kind.meant.items()}
    for kind in kinds().values():
        definitions[kind.name] = {part: _part_of(kind, part, shared[part]) for part in _PARTS}
        definitions[kind.name]["entry"] = _either("from", _by_kind("from", kind), _by_kind("job", kind))
    of_kinds = {name: {"$ref": f"#/definitions/{name}/own"} for name in kinds()}
    for name in kinds():
        defaults = definitions[name]["defaults"]
        fields = {field: said for field, said in defaults["properties"].items() if field != "kind"}
        definitions[name]["own"] = {**defaults, "properties": fields}
        definitions[name]["defaults"] = {**defaults, "properties": {**defaults["properties"], **of_kinds}}
    told = {name: shared["defaults"].pop(name) for name in ("title", "description", "examples")}
    schema["properties"]["defaults"] = {**told, **_by_kind("defaults", kinds()[DEFAULT])}
    schema["allOf"] = [_entries_of(kind) for kind in kinds().values()]
    return schema


def manifest_schema_text() -> str:
    """Write the schema as a file."""
    return json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"


def _part_of(kind: Kind, part: Part, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Add a kind's fields to what all kinds share. What is wanted in words is said by each job for itself."""
    fields = {name: _as_written(field) for name, field in kind.fields.items() if part == "job" or name != kind.words}
    formats = {**shared["properties"]["formats"], "default": list(kind.formats)}
    formats["items"] = {"type": "string", "enum": list(kind.outputs)}
    formats["examples"] = [list(kind.formats), list(kind.outputs)]
    own = {**fields, "formats": formats}
    properties = _with_fields(shared["properties"], own)
    defined = {**shared, "properties": properties, "x-meant": kind.meant, "x-unsupported": kind.unsupported}
    if part == "job":
        defined["required"] = [*shared["required"], *kind.required & {kind.words}]
        _leave_room(defined, [name for name in kind.texts if not _takes_names(kind.fields[name])])
    return defined


def _takes_names(field: Mapping[str, Any]) -> bool:
    """Whether `{name}` can stand in a text as it is checked."""
    return "enum" not in field and search(field.get("pattern", ""), "{name}") is not None


def _leave_room(job: dict[str, Any], names: Iterable[str]) -> None:
    """Let `{name}` stand in fields of a job with a matrix: what they may be is asked of others; `else` is for those."""
    properties, plain = dict(job["properties"]), dict(job["else"]["properties"])
    for name in sorted(names):
        bounds = {word: value for word, value in properties[name].items() if word in _BOUNDS}
        properties[name] = {word: value for word, value in properties[name].items() if word not in _BOUNDS}
        plain[name] = bounds
    job["properties"], job["else"] = properties, {"properties": plain}


def _with_fields(shared: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    before = {name: field for name, field in shared.items() if name in _BEFORE}
    return {**before, **fields, **{name: field for name, field in shared.items() if name not in {*before, *fields}}}


def _as_written(field: Mapping[str, Any]) -> dict[str, Any]:
    return {**field, "type": _TEXT} if field["type"] == "string" else dict(field)


def _or_off(field: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Let a field be `off` as well, or, where it is a mapping, one of these words for it."""
    told = {name: said for name, said in field.items() if name in {"title", "description", "default", "examples"}}
    rest = {name: said for name, said in field.items() if name not in told}
    if rest.get("type") == "object":
        return {**told, **_if_mapping(rest, rest, words)}
    return {**told, "if": {"enum": _OFF}, "else": {**rest, "x-or": _OFF[0]}}


def _if_mapping(there: Mapping[str, Any], meant: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    short = [*words, *_OFF]
    said = [*(f"`{name}`" for name in short if isinstance(name, str)), "fields: " + ", ".join(meant["properties"])]
    wrong = {"enum": short, "errorMessage": " or ".join(said)}
    return {"if": {"type": "object"}, "then": dict(there), "else": wrong}


def _by_kind(part: Part, otherwise: Kind) -> dict[str, Any]:
    """Choose a part's definition by its `kind`; `otherwise` is the kind of one that names none."""
    named = [
        {
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": {"$ref": f"#/definitions/{name}/{part}"},
        }
        for name in kinds()
    ]
    unnamed = {"if": {"required": ["kind"]}, "else": {"$ref": f"#/definitions/{otherwise.name}/{part}"}}
    return {"allOf": [*named, unnamed], "properties": {"kind": {"$ref": "#/definitions/kind"}}}


def _either(field: str, there: Mapping[str, Any], else_: Mapping[str, Any]) -> dict[str, Any]:
    return {"if": {"required": [field]}, "then": there, "else": else_}


def _entries_of(kind: Kind) -> dict[str, Any]:
    """Say what the entries of `jobs` are where the defaults name this kind, or name none and it is the default."""
    names_it = {
        "required": ["defaults"],
        "properties": {"defaults": {"required": ["kind"], "properties": {"kind": {"const": kind.name}}}},
    }
    names_none = {"not": {"required": ["defaults"], "properties": {"defaults": {"required": ["kind"]}}}}
    condition = {"anyOf": [names_it, names_none]} if kind.name == DEFAULT else names_it
    return {
        "if": condition,
        "then": {"properties": {"jobs": {"items": {"$ref": f"#/definitions/{kind.name}/entry"}}}},
    }
