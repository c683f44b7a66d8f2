"""What a fault file says, checked by `schemas/faults.schema.json`, every problem at its place."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kling_batch.errors import UsageError
from kling_batch.resources import schema
from kling_batch.sandbox.faults import EFFECTS, Call, Effect, Rule, Scenario
from kling_batch.sandbox.settings import Span

if TYPE_CHECKING:
    from jsonschema import ValidationError


HINT = "docs/faults.md explains every field; `kling-batch schema faults` prints the schema."
_ANY = "any"

Place = Sequence[str | int]


def scenario_of(document: Any, locate: Callable[[Place], str] = lambda _: "") -> Scenario:
    """Read a scenario that came as JSON. `locate` says where in a file a place is.

    Raises:
        UsageError: It is not as the schema says; every problem is named with its place.
    """
    found = [f"{locate(place)}{_name(place)}{words}" for place, words in _problems(document)]
    if found:
        raise UsageError("\n".join(found), hint=HINT)
    return _scenario(document)


def _problems(document: Any) -> list[tuple[Place, str]]:
    import jsonschema

    types = jsonschema.Draft7Validator.TYPE_CHECKER.redefine("number", _is_number)
    make: Any = jsonschema.validators.extend
    validator = make(jsonschema.Draft7Validator, type_checker=types)(schema("faults"))
    found = [_worded(jsonschema.exceptions.best_match([error])) for error in validator.iter_errors(document)]
    return found or list(_contradictions(document))


def _is_number(_: object, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _worded(error: ValidationError) -> tuple[Place, str]:
    place: list[str | int] = list(error.absolute_path)
    given: Any = error.instance
    form: Any = error.schema
    wanted: Any = error.validator_value
    match error.validator:
        case "additionalProperties":
            unknown = next(name for name in given if name not in form["properties"])
            return [*place, unknown], f"there is no such field; {_allowed(unknown, sorted(form['properties']))}"
        case "required":
            return place, f"{', '.join(name for name in wanted if name not in given)} is missing"
        case "enum" if isinstance(given, str) and given in EFFECTS:
            return place, f"{given} needs a value: {{{given}: ...}}"
        case "enum":
            return place, f"{_shown(given)} is not allowed; {_allowed(given, wanted)}"
        case "minItems" | "maxItems":
            return place, f"{_shown(given)} has {len(given)} values; {error.validator} is {wanted}"
        case "anyOf" | "minProperties" | "maxProperties":
            return place, f"{_shown(given)} is not {form.get('title', 'one effect with its value')}"
        case "pattern":
            return place, f"it is not of the form {wanted}"
        case _:
            return place, error.message


def _allowed(given: object, known: Sequence[Any]) -> str:
    words = "allowed: " + ", ".join(str(name) for name in known)
    near = difflib.get_close_matches(str(given), [str(name) for name in known], n=1)
    return f"{words} - did you mean {near[0]}?" if near else words


def _shown(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)[:80]


def _contradictions(document: Any) -> Iterator[tuple[Place, str]]:
    """Find what the schema cannot say: an effect on calls that it cannot strike, and times the wrong way round."""
    for index, rule in enumerate((document or {}).get("rules", ())):
        name, value = (rule["do"], None) if isinstance(rule["do"], str) else next(iter(rule["do"].items()))
        calls = EFFECTS[name].calls
        for call in _listed(rule.get("on", _ANY)):
            if call != _ANY and call not in calls:
                allowed = ", ".join(sorted(calls))
                yield ("rules", index, "on"), f"{name} cannot strike {call} calls; allowed: {allowed}"
        periods = {("when", "between_s"): rule.get("when", {}).get("between_s")}
        if name == "task-forgotten" and isinstance(value, list):
            periods["do", name] = value
        for place, (first, last) in ((place, period) for place, period in periods.items() if period):
            if last is not None and last <= first:
                yield ("rules", index, *place), f"it ends ({last}) before it begins ({first})"


def _name(place: Place) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    return f"{text}: " if text else ""


# From here on the document is known to be as the schema says.


def _scenario(document: Mapping[str, Any] | None) -> Scenario:
    given = _values(schema("faults")["properties"], document or {})
    given.pop("version", None)
    behaviour = _values(schema("faults")["properties"]["behaviour"]["properties"], given.pop("behaviour", {}))
    if "visible_after_s" in behaviour:
        behaviour["query_visible_after"], behaviour["list_visible_after"] = behaviour.pop("visible_after_s")
    callbacks = _values(schema("faults")["properties"]["callbacks"]["properties"], given.pop("callbacks", {}))
    if "secrets" in callbacks:
        callbacks["secrets"] = tuple(callbacks["secrets"])
    rules = tuple(_rule(rule) for rule in given.pop("rules")) if "rules" in given else None
    return Scenario(behaviour=behaviour, callbacks=callbacks, rules=rules, settings=given)


def _values(forms: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Make values of what was given, by the names of their forms. What is a span needs no unit in its name."""
    values = {name: _value(forms[name], value) for name, value in given.items()}
    return {name.removesuffix("_s") if isinstance(value, Span) else name: value for name, value in values.items()}


def _value(form: Mapping[str, Any], value: Any) -> Any:
    make = _MAKERS.get(form.get("$ref", "").rpartition("/")[2])
    return make(value) if make else value


def _rule(fields: Mapping[str, Any]) -> Rule:
    definitions = schema("faults")["definitions"]
    given = fields["do"]
    name, value = (given, EFFECTS[given].default) if isinstance(given, str) else next(iter(given.items()))
    effect = _effect(name, _value(definitions["effect"]["properties"][name], value))
    when = _values(definitions["when"]["properties"], fields.get("when", {}))
    on = frozenset(_listed(fields.get("on", _ANY)))
    calls = EFFECTS[effect.name].calls if _ANY in on else frozenset(Call(call) for call in on)
    return Rule(on=calls, effect=effect, limit=fields.get("limit"), **when)


def _effect(name: str, value: Any) -> Effect:
    if name == "task-forgotten":
        value = _period(value if isinstance(value, list) else [value, None])
    elif name == "task-stuck" and value == "forever":
        value = math.inf
    return Effect(name=name, value=value)


def _span(value: Any) -> Span:
    if isinstance(value, dict):
        return Span.log_normal(value["median"], value["sigma"])
    if isinstance(value, list):
        return Span(low=value[0], high=value[1])
    return Span.fixed(value)


def _period(value: Sequence[Any]) -> tuple[float, float]:
    return value[0], math.inf if value[1] is None else value[1]


def _visibility(value: Any) -> tuple[Span, Span]:
    if isinstance(value, dict):
        return _span(value.get("query", 0)), _span(value.get("list", 0))
    return _span(value), _span(value)


_MAKERS: Mapping[str, Callable[[Any], Any]] = {
    "span": _span,
    "period": _period,
    "visibility": _visibility,
    "units": lambda units: Decimal(str(units)),
}
"""What becomes of a value whose form is of this name."""


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
