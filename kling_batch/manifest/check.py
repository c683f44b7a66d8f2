"""Values against the schema: fast for what is right, every problem located for what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cache, cached_property
from math import isfinite
from re import search
from typing import TYPE_CHECKING, Any

from kling_batch.catalog import DEFAULT, kind
from kling_batch.catalog.manifest import Part, manifest_schema
from kling_batch.manifest.messages import allowed, report, shown
from kling_batch.manifest.nodes import TEXT_FIELDS, Node, Page, plain

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator


class Checker:
    """Checks values by one part of the manifest's schema, for jobs of a kind; without a part, by the whole.

    The whole leaves what stands in `defaults` and `jobs` to the checkers of those, so that one bad entry among
    thousands costs no second look at the others.
    """

    def __init__(self, part: Part | None = None, of_kind: str = DEFAULT) -> None:
        self._schema = _whole() if part is None else _part(part, of_kind)
        self._texts = TEXT_FIELDS | kind(of_kind).texts
        self._is_fine = _fast(self._schema) or self._is_valid

    def check(self, node: Node, page: Page, *, excused: frozenset[str] = frozenset()) -> tuple[Any, frozenset[str]]:
        """Give the node's value and the names of its fields that are wrong; tell the page what is wrong.

        The fields in `excused` may be missing, and count as wrong then. Of a kind that is not known, nothing else is
        said: which fields are right follows from it. A value that is not even a mapping has
        the one wrong field `""`.
        """
        data = plain(node, self._texts)
        if self._is_fine(data):
            return data, frozenset()
        errors = list(self._validator.iter_errors(data))
        errors = [error for error in errors if error.absolute_path and error.absolute_path[0] == "kind"] or errors
        return data, frozenset().union(*(report(error, node, page, excused=excused) for error in errors))

    @cached_property
    def _validator(self) -> Validator:
        return _dialect()(self._schema)

    def _is_valid(self, data: Any) -> bool:
        return bool(self._validator.is_valid(data))


def refusal(field: Mapping[str, Any], text: str) -> str | None:
    """Say why a text that was filled in is none for a field of a request; None where it is one."""
    if len(text) > (most := field.get("maxLength", len(text))):
        return f"{len(text)} characters long; at most {most} are allowed"
    if text in field.get("enum", [text]) and not _is_unlike(field.get("pattern", ""), text):
        return None
    return f"{shown(text)}; wanted is {allowed(field)}"


def _part(name: Part, of_kind: str) -> dict[str, Any]:
    return {"$ref": f"#/definitions/{of_kind}/{name}", "definitions": manifest_schema()["definitions"]}


def _whole() -> dict[str, Any]:
    whole = {name: value for name, value in manifest_schema().items() if name != "allOf"}
    return {**whole, "properties": {**whole["properties"], "defaults": {"type": "object"}}}


def _fast(part: dict[str, Any]) -> Callable[[Any], bool] | None:
    """Make the yes-or-no check of `jsonschema_rs`, 27 times as fast as jsonschema; None where it is not installed."""
    try:
        import jsonschema_rs
    except ImportError:
        return None
    fast = jsonschema_rs.Draft7Validator(part)

    def is_fine(data: Any) -> bool:
        try:
            return bool(fast.is_valid(data))
        except (TypeError, ValueError):  # what is no JSON, such as NaN: jsonschema can say what is wrong
            return False

    return is_fine


@cache
def _dialect() -> Callable[[dict[str, Any]], Validator]:
    """Draft 7 with decimals, finite numbers, `$` as in JavaScript, and quick `uniqueItems`.

    jsonschema's own `multipleOf: 0.1` refuses 23 of the 71 legal durations, it takes NaN for a number, Python's
    `$` lets a line break through, and its `uniqueItems` compares each entry with each when they cannot be sorted.
    """
    import jsonschema

    def refusing(is_wrong: Callable[[Any, Any], bool]) -> Callable[..., Iterator[ValidationError]]:
        def check(_: Validator, argument: Any, value: Any, __: dict[str, Any]) -> Iterator[ValidationError]:
            if is_wrong(argument, value):
                yield jsonschema.ValidationError("")  # `messages` words it

        return check

    base = jsonschema.Draft7Validator
    types = base.TYPE_CHECKER.redefine_many(
        {"number": lambda _, value: _is_number(value), "integer": lambda _, value: _is_integer(value)}
    )
    keywords: dict[str, Callable[[Any, Any], bool]] = {
        "multipleOf": _is_no_multiple,
        "pattern": _is_unlike,
        "uniqueItems": _has_twice,
    }
    dialect: Callable[[dict[str, Any]], Validator] = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        base, validators={name: refusing(is_wrong) for name, is_wrong in keywords.items()}, type_checker=types
    )
    return dialect


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_integer(value: object) -> bool:
    return _is_number(value) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


def _is_no_multiple(step: float, value: object) -> bool:
    return _is_number(value) and Decimal(repr(value)) % Decimal(repr(step)) != 0


def _is_unlike(pattern: str, value: object) -> bool:
    return isinstance(value, str) and not search(pattern.replace("$", r"\Z"), value)


def _has_twice(wanted: bool, value: object) -> bool:
    return wanted and isinstance(value, list) and len(set(map(repr, value))) < len(value)
