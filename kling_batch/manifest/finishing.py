"""Recipes and checks: what is said in several places, laid over one another, made complete, and held together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from kling_batch.catalog.finish import EXTRA, RATES, RESAMPLED, RESAMPLER, WITH_BITS
from kling_batch.catalog.manifest import manifest_schema
from kling_batch.manifest.nodes import MapNode

if TYPE_CHECKING:
    from kling_batch.manifest.nodes import Node, Page

_DEFINITIONS = manifest_schema()["definitions"]
_RECIPE: Mapping[str, Any] = _DEFINITIONS["recipe"]["properties"]
_CHECKS: Mapping[str, Any] = _DEFINITIONS["checks"]["properties"]
_THEN = _DEFINITIONS["then"]
_INSTEAD = {"loudness": "peak", "peak": "loudness"}
_SWITCHES = ("tags", "made_by")


class _Part(NamedTuple):
    value: Any
    page: Page
    at: int


@dataclass(frozen=True, eq=False, slots=True)
class Said:
    """What is said of a recipe, or of checks, field by field, the latest word last. Known by identity, for a cache."""

    parts: Mapping[str, _Part] = field(default_factory=dict)

    def on(self) -> dict[str, Any]:
        """Give the fields that are not off."""
        return {name: part.value for name, part in self.parts.items() if not _is_off(part.value)}


class Flaw(NamedTuple):
    """What is wrong with a recipe as a whole, and where that was said last."""

    page: Page
    at: int
    words: str


def over(before: Said, said: Any, node: Node, page: Page) -> Said:
    """Lay what a place says over what was said before it. `said` is the node's value, checked by the schema."""
    if _is_off(said) or not isinstance(node, MapNode):
        return Said()
    parts = dict(before.parts)
    for name, value in said.items():
        was, at = parts.pop(name, None), node.items[name].at
        figures = {"then": value} if value in _THEN["enum"] else value
        if isinstance(figures, dict) and was is not None and isinstance(was.value, dict):
            figures = {**was.value, **figures}
        parts[name] = _Part(figures, page, at)
        other = _INSTEAD.get(name)
        if other is None or _is_off(value):
            continue
        if _is_off(said.get(other, False)):
            parts.pop(other, None)
        elif name == "peak":
            page.tell(at, "`finish.peak` and `finish.loudness` exclude each other; leave one of them out")
    return Said(parts)


def recipe_of(said: Said, sounds: tuple[str, ...]) -> Mapping[str, Any]:
    """Make a recipe complete and canonical. `sounds` are the formats of the sounds as delivered."""
    given = said.on()
    formats = given.get("formats", list(sounds))
    made = {name: _complete(_RECIPE[name], given[name]) for name in _RECIPE if name in given and name not in _SWITCHES}
    if "loop" in made or not any(made.get("fade", {}).values()):
        made.pop("fade", None)
    if WITH_BITS.isdisjoint(formats):
        made.pop("bits", None)
    if not made:
        return {}
    made["formats"] = list(formats)
    if not WITH_BITS.isdisjoint(formats):
        made.setdefault("bits", _RECIPE["bits"]["default"])
    if _INSTEAD.keys() & made.keys() and "true_peak" not in said.parts:
        made["true_peak"] = _number(_RECIPE["true_peak"]["default"])
    for name in _SWITCHES:
        if name in said.parts and name not in given and made.get("tags", True):
            made[name] = False
    return made


def checks_of(said: Said) -> Mapping[str, Mapping[str, Any]]:
    """Make checks complete and canonical."""
    given = said.on()
    return {name: _complete(_CHECKS[name], given[name]) for name in _CHECKS if name in given}


def flaws_of(said: Said, recipe: Mapping[str, Any]) -> Iterator[Flaw]:
    """Say what cannot be made by a recipe."""
    formats, rate = recipe.get("formats", ()), recipe.get("sample_rate")
    told = [part for name, part in said.parts.items() if name in {"sample_rate", "formats"}]
    for name in formats if rate else ():
        if rate not in RATES.get(name, (rate,)):
            choice = ", ".join(map(str, RATES[name]))
            words = f"`finish.sample_rate` is {rate}, which {name} cannot have; wanted is one of {choice}"
            yield Flaw(told[-1].page, told[-1].at, f"{words}, or `finish.formats` without `{name}`")
    needing = (
        ["`finish.sample_rate`"] if rate else [f"`{name}` in `finish.formats`" for name in formats if name in RESAMPLED]
    )
    if needing and find_spec(RESAMPLER) is None:
        words = f"{needing[0]} needs the extra `{EXTRA}`, which is not installed"
        yield Flaw(told[-1].page, told[-1].at, f"{words}: pip install 'kling-batch[{EXTRA}]'")


def _complete(schema: Mapping[str, Any], value: Any) -> Any:
    """Fill in the figures that were not given."""
    if not isinstance(value, dict):
        return _number(value)
    figures = schema["then"]["properties"]
    return {name: _number(value.get(name, figure.get("default", _THEN["default"]))) for name, figure in figures.items()}


def _number(value: Any) -> Any:
    """Give the one form of a number, so that -18 and -18.0 are the same recipe."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_off(value: Any) -> bool:
    return value is False or value == "off"
