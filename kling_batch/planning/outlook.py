"""What a plan will cost and how long it will take, by what this project's takes really cost and took.

Plain functions over what journal and lock say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from math import ceil
from statistics import median

from kling_batch.catalog import Kind
from kling_batch.model import NOTHING
from kling_batch.planning.plan import PAYING, Action, Plan
from kling_batch.planning.spending import Budget
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.records.lock import Lock
from kling_batch.records.snapshot import Snapshot

_DONE = {Stage.SUCCEEDED, Stage.DELIVERED}
_FINEST = Decimal("0.0001")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What is known of a run before it. `samples` is how many takes the real price was learned from.

    `budget` is what may be spent, and what is.
    `list_units` is what a take costs by the list, and `units` what one really cost, on average. `at_once` is how many
    tasks are in flight: as asked for, else as many as in the latest run that this journal knows. `generation_s` is how
    long one took, by median; None for either where nothing is known.
    """

    list_units: Decimal
    units: Decimal
    budget: Budget
    samples: int = 0
    at_once: int | None = None
    generation_s: float | None = None

    def seconds(self, plan: Plan) -> float | None:
        """Estimate how long a run of a plan generates; None where nothing is known."""
        tasks = sum(1 for step in plan.steps if step.action in PAYING or step.action is Action.RESUME)
        if not tasks:
            return 0.0
        if self.at_once is None or self.generation_s is None:
            return None
        return ceil(tasks / self.at_once) * self.generation_s


def outlook(snapshot: Snapshot, lock: Lock, *, list_units: Decimal, concurrency: int | None, budget: Budget) -> Outlook:
    """Learn from what was done.

    Args:
        snapshot: The journal.
        lock: The lock.
        list_units: The list price of a take, on average.
        concurrency: The most tasks in flight; None where the service's limit is found out.
        budget: What may be spent, and what is.
    """
    done = [row for row in snapshot.attempts.values() if row.stage in _DONE]
    charged = {row.external_id: row.units for row in done}
    charged |= {entry.external_id: entry.units for entry in lock.entries.values()}
    spans = [span for row in done if (span := _span(row)) is not None]
    latest = max((row.run_id for row in done), default=0)
    return Outlook(
        list_units=list_units,
        units=average(charged.values()) if charged else list_units,
        budget=budget,
        samples=len(charged),
        at_once=concurrency or _most_at_once([span for row in done if row.run_id == latest and (span := _span(row))]),
        generation_s=median(end - start for start, end in spans) if spans else None,
    )


def average(prices: Collection[Decimal]) -> Decimal:
    """Average prices, to what is worth saying."""
    return (sum(prices, NOTHING) / max(1, len(prices))).quantize(_FINEST, rounding=ROUND_HALF_UP).normalize()


def highest_price(kind: Kind, rows: Iterable[Attempt], lock: Lock) -> Decimal:
    """Say what a task of a kind may cost, in units, by the list and by what was seen of this set, whoever paid."""
    seen = [row.units for row in rows if row.kind == kind.name]
    seen += [entry.units for entry in lock.everything() if entry.kind == kind.name]
    return max([kind.units, *seen])


def _span(row: Attempt) -> tuple[float, float] | None:
    if row.created_at is None or row.ended_at is None or row.ended_at <= row.created_at:
        return None
    return row.created_at, row.ended_at


def _most_at_once(spans: list[tuple[float, float]]) -> int | None:
    """Count how many of these spans overlap at most."""
    changes = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    most = running = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most or None
