"""The kinds of task, as data: another endpoint is another file under `schemas/tasks/`, not another class."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from kling_batch import resources


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of task. `units` is the list price of one; `final_messages` are words of a failure that a retry repeats.

    A failed task carries no code, only a message [seen in captures], so that here, and here alone, words decide.
    """

    name: str
    path: str
    units: Decimal
    final_messages: tuple[str, ...]

    def fails_for_good(self, message: str) -> bool:
        """Whether a task that failed with this message would fail again."""
        return any(words in message.casefold() for words in self.final_messages)


@cache
def kind(name: str) -> Kind:
    """Read a kind from `schemas/tasks/<name>.json`.

    Raises:
        FileNotFoundError: There is no such kind.
    """
    facts = resources.schema(f"tasks/{name}")["x-kling"]
    return Kind(
        name=name,
        path=facts["path"],
        units=Decimal(facts["units"]),
        final_messages=tuple(facts["final_messages"]),
    )
