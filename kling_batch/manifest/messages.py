"""What the validator found, said to a person: what stands there, what is allowed, what was probably meant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from re import IGNORECASE
from re import compile as regex
from typing import Any, TypeAlias

from kling_batch.manifest.nodes import MapNode, Node, Page, descend
from kling_batch.manifest.scalars import number
from kling_batch.text import counted

LIKE_A_KEY = regex(
    r"kling[_-].*|(?:.*[_-])?(?:api|access|secret|private)[_-]?key(?:[_-].*)?"
    r"|(?:.*[_-])?(?:secret|token|password)|authorization|bearer",
    IGNORECASE,
)
"""Names of fields that look as if they held a key of the service."""

KEY_ADVICE = (
    "keys never belong in a manifest: remove it, take the key as disclosed if the file was shared, "
    "and set KLING_API_KEY in the environment"
)

_MEANT = {
    "amount": "takes", "count": "takes", "variations": "takes",
    "concurrent": "concurrency", "parallel": "concurrency", "workers": "concurrency",
    "filename": "file", "output": "file", "path": "file",
    "key": "id", "name": "id", "type": "kind",
    "items": "jobs", "sounds": "jobs", "metadata": "meta", "notes": "meta", "variants": "matrix",
}  # fmt: skip
Refusal: TypeAlias = Any
"""jsonschema's `ValidationError`: by its own types each part of it may be unset."""
_DECIMAL_COMMA = regex(r"[0-9]+,[0-9]+")
_LONGEST_SHOWN = 60
_LIKENESS = 0.65
_SHORTEST_LIKE = 3
"""Two letters are like too much."""


def report(error: Refusal, node: Node, page: Page, *, excused: frozenset[str]) -> frozenset[str]:
    """Tell the page what was found; give the names of the node's own fields that cannot be used because of it.

    The fields in `excused` may be missing: that is told elsewhere, once for the whole table.
    """
    path = error.absolute_path
    here = descend(node, path)
    top = frozenset([str(path[0])] if path else [])
    if error.validator == "additionalProperties" and isinstance(here, MapNode):
        _report_unknown(error, here, page)
        return top
    if error.validator == "required" and isinstance(here, MapNode):
        return top | _report_missing(error, here, page, excused)
    if "propertyNames" in error.absolute_schema_path and isinstance(here, MapNode):
        name = str(error.instance)
        page.tell(here.keys[name], f"the name {shown(name)} is not allowed here; wanted is {allowed(error.schema)}")
        return top
    where = f"`{_dotted(path)}` is" if path else "this is"
    page.tell(here.at, f"{where} {_found(error)}; {_wanted(error)}")
    return top or frozenset([""])


def _report_unknown(error: Refusal, here: MapNode, page: Page) -> None:
    known = list(error.schema.get("properties", ()))
    patterns = [regex(pattern) for pattern in error.schema.get("patternProperties", ())]
    extra = [name for name in error.instance if name not in known and not any(p.search(name) for p in patterns)]
    for name in extra:
        page.tell(here.keys[name], _unknown_field(name, known, error.schema))


def _report_missing(error: Refusal, here: MapNode, page: Page, excused: frozenset[str]) -> frozenset[str]:
    missing = [name for name in error.validator_value if name not in error.instance]
    for name in sorted(set(missing) - excused):
        title = error.schema["properties"][name].get("title", "")
        page.tell(here.keys.get(name, here.at), f"`{name}` is missing: {title}")
    return frozenset(missing)


def _unknown_field(name: str, known: Collection[str], schema: Mapping[str, Any]) -> str:
    """Say that a field is not known, in the words of the kind of task where that has some."""
    if name in schema.get("x-unsupported", ()):
        return f"unknown field {shown(name)}: {schema['x-unsupported'][name]}"
    return unknown_name(name, known, what="field", meant=schema.get("x-meant", {}))


def unknown_name(name: str, known: Collection[str], *, what: str, meant: Mapping[str, str] | None = None) -> str:
    """Say that a name is not known, and which one was probably meant. Never shows what stands under it.

    Args:
        name: The name.
        known: Those that there are.
        what: What the name is of.
        meant: Other names that people write for some of the known ones.
    """
    if LIKE_A_KEY.fullmatch(name):
        return f"`{name}` looks like a key of the service; {KEY_ADVICE}"
    found = near(name, known, meant or {})
    hint = f"; did you mean `{found}`?" if found else ""
    return f"unknown {what} {shown(name)}{hint} (known: {', '.join(known)})"


def near(name: str, known: Collection[str], meant: Mapping[str, str] = _MEANT) -> str | None:
    """Find the known name that was probably meant."""
    folded = name.strip().lower().replace("-", "_")
    candidates = {word: field for word, field in {**_MEANT, **meant}.items() if field in known}
    candidates |= {each.lower(): each for each in known}
    if len(folded) < _SHORTEST_LIKE:
        return candidates.get(folded)
    close = get_close_matches(folded, candidates, n=1, cutoff=_LIKENESS)
    return candidates[close[0]] if close else None


def shown(value: object) -> str:
    """Quote a value for a message, shortened, so that it stays in one line."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = value if len(value) <= _LONGEST_SHOWN else f"{value[: _LONGEST_SHOWN - 1]}…"
        return f'"{text}"'
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    return repr(value)


def allowed(schema: Any) -> str:
    """Put into words what a schema allows."""
    for name in ("patternErrorMessage", "errorMessage"):
        if name in schema:
            return str(schema[name])
    if "anyOf" in schema:
        return ", or ".join(allowed(each) for each in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    kind = _kind(schema)
    if kind in {"number", "integer"}:
        noun = "a whole number" if kind == "integer" else "a number"
        decimals = " with at most one decimal" if schema.get("multipleOf") == 0.1 else ""  # noqa: PLR2004 - a decimal
        return f"{noun} from {schema['minimum']} to {schema['maximum']}{decimals}"
    if kind == "boolean":
        return "`true` or `false`"
    if kind == "array":
        return f"a list, each entry {allowed(schema['items'])}" if "items" in schema else "a list, not empty"
    if kind == "object":
        names = ", ".join(f"`{name}`" for name in schema.get("properties", ()))
        return f"fields such as {names}" if names else "names with their values"
    return _count("text of", schema.get("minLength"), schema.get("maxLength"), "characters")


def _kind(schema: Mapping[str, Any]) -> str:
    """Name the type that is wanted. A field that takes text takes numbers too, as they are written."""
    kind = schema.get("type", "")
    return kind if isinstance(kind, str) else "string"


def _count(what: str, least: int | None, most: int | None, noun: str) -> str:
    span = f"{least or 0} to {most} " if most else f"at least {least} " if least else ""
    return f"{what} {span}{noun}"


def _found(error: Refusal) -> str:
    value = error.instance
    if error.validator == "maxLength":
        return f"{counted(len(value), 'character')} long"
    if error.validator in {"minItems", "minProperties", "minLength"} and not value:
        return "empty"
    if error.validator in {"maxItems", "maxProperties"}:
        return f"{counted(len(value), 'entry')} long"
    if error.validator == "uniqueItems":
        return "a list with an entry twice"
    return shown(value)


def _wanted(error: Refusal) -> str:
    value, schema = error.instance, error.schema
    wanted = f"wanted is {allowed(schema)}" + (f", or `{schema['x-or']}`" if "x-or" in schema else "")
    kind = _kind(schema)
    if isinstance(value, str) and value == str(schema.get("const")):
        return f"{wanted}; write it without quotes"
    if isinstance(value, str) and kind in {"number", "integer"}:
        if not isinstance(number(value), str):
            return f"{wanted}; write it without quotes"
        if _DECIMAL_COMMA.fullmatch(value):
            return f"{wanted}; write {value.replace(',', '.')}, with a point"
    if kind == "array" and isinstance(value, str | int | float):
        return f"{wanted}; write it in brackets: [{value}]"
    words = [each for each in schema.get("enum", ()) if isinstance(each, str)]
    if isinstance(value, str) and (meant := near(value, words)):
        return f"{wanted}; did you mean `{meant}`?"
    return wanted


def _dotted(path: Sequence[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
