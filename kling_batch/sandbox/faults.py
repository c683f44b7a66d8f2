"""Faults as data: which call is struck, when, and with what. The reference for people is docs/faults.md."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeAlias

from kling_batch.resources import schema
from kling_batch.sandbox.settings import WorldSettings


class Call(StrEnum):
    """The kinds of calls that a rule can be about."""

    CREATE = "create"
    QUERY = "query"
    LIST = "list"
    ACCOUNT = "account"
    DELETE = "delete"
    DOWNLOAD = "download"


ALL_CALLS = frozenset(Call)
API_CALLS = ALL_CALLS - {Call.DOWNLOAD}


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectKind:
    """What an effect acts on, the calls that it can strike, and its value where the file gives none (None: it must).

    Of several rules that strike one call, the first of each group has its way.
    """

    group: str
    calls: frozenset[Call]
    default: Any = None


_CALLS: Mapping[str, frozenset[Call]] = {
    "any": ALL_CALLS,
    "api": API_CALLS,
    **{call: frozenset({call}) for call in Call},
}
EFFECTS: Mapping[str, EffectKind] = {
    name: EffectKind(group=form["x-group"], calls=_CALLS[form["x-calls"]], default=form.get("default"))
    for name, form in schema("faults")["definitions"]["effect"]["properties"].items()
}
"""Every effect, from `schemas/faults.schema.json`, which holds the forms of their values as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What is done to a call. The form of `value` follows from the name."""

    name: str
    value: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Strikes calls of the kinds `on` when all its conditions hold.

    `nth`, `every` and `from_nth` count, from 1, the calls that the rule could be about. `between_s` is in seconds
    since the sandbox began. `limit` is the most strikes.
    """

    on: frozenset[Call]
    effect: Effect
    match: str | None = None
    nth: Collection[int] | None = None
    every: int | None = None
    from_nth: int | None = None
    probability: float | None = None
    between_s: tuple[float, float] | None = None
    limit: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A fault file: what to change about a sandbox. What is not named stays as it is, and so do rules that are None."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `WorldSettings` with their new values."""
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Behaviour` with their new values."""
    callbacks: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Callbacks` with their new values."""
    rules: tuple[Rule, ...] | None = None

    def over(self, settings: WorldSettings) -> WorldSettings:
        """Change what the scenario names and nothing else."""
        behaviour = replace(settings.behaviour, **self.behaviour)
        callbacks = replace(settings.callbacks, **self.callbacks)
        return replace(settings, **self.settings, behaviour=behaviour, callbacks=callbacks)


Strike: TypeAlias = Mapping[str, Any]
"""Everything that happens to one call: effects by name, with their values. Delays are added up."""


@dataclass(kw_only=True, slots=True)
class _Armed:
    rule: Rule
    rng: random.Random
    seen: int = 0
    struck: int = 0

    def is_due(self, since_start_s: float) -> bool:
        """Count a call that the rule could be about, and say whether it is to be struck."""
        self.seen += 1
        rule, count = self.rule, self.seen
        lucky = rule.probability is None or self.rng.random() < rule.probability
        return (
            lucky
            and (rule.nth is None or count in rule.nth)
            and (rule.every is None or count % rule.every == 0)
            and (rule.from_nth is None or count >= rule.from_nth)
            and (rule.between_s is None or rule.between_s[0] <= since_start_s < rule.between_s[1])
            and (rule.limit is None or self.struck < rule.limit)
        )


class FaultRunner:
    """Holds the counts of a schedule of rules. `tally` counts the strikes by effect."""

    def __init__(self, rules: tuple[Rule, ...], seed: int, tally: Counter[str]) -> None:
        self._tally = tally
        self._armed: Mapping[Call, list[_Armed]] = {call: [] for call in Call}
        for index, rule in enumerate(rules):
            armed = _Armed(rule=rule, rng=random.Random(f"{seed}:rule:{index}"))  # noqa: S311 - chance, no secret
            for call in rule.on:
                self._armed[call].append(armed)

    def strike(self, call: Call, text: Callable[[], str], since_start_s: float) -> Strike:
        """Decide what happens to a call. `text` is what `match` looks into, made only when it is needed."""
        struck: dict[str, Any] = {"delay_s": 0.0}
        groups = set()
        for armed in self._armed[call]:
            rule, name = armed.rule, armed.rule.effect.name
            group = EFFECTS[name].group
            if rule.match is not None and rule.match.lower() not in text().lower():
                continue
            if not armed.is_due(since_start_s) or group in groups:
                continue
            armed.struck += 1
            self._tally[name] += 1
            if group == "delay":
                struck[name] += rule.effect.value.draw(armed.rng)
            else:
                groups.add(group)
                struck[name] = rule.effect.value
        return struck
