"""The truth about what a client did to the sandbox. Tests and benchmarks believe this, never the client's log."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Charge:
    """A payment, at a Unix time in seconds."""

    external_id: str
    task_id: str
    units: Decimal
    at: float


@dataclass(kw_only=True, slots=True)
class LedgerTask:
    """A task that was made. Times are Unix seconds; `ends_at` is infinite for a task that is stuck.

    For speech, which has no external id, its text stands here and in all books.
    """

    kind: str
    external_id: str
    task_id: str
    created_at: float
    processing_at: float
    ends_at: float
    failure: str | None

    @property
    def ended_at(self) -> float | None:
        """When it ends, or None: never."""
        return self.ends_at if math.isfinite(self.ends_at) else None


_TOLD = ("kind", "external_id", "task_id", "created_at", "processing_at", "ended_at", "failure")


@dataclass(kw_only=True)
class Ledger:
    """The books.

    `posts` counts the create calls that arrived, by external id, also those that were refused or whose answer was
    lost. `tasks_by_external_id` counts the tasks made: more than one is a take paid for twice. `requests` counts
    calls by kind, `refusals` by code, `faults` by effect, `callbacks` by what became of them. `token_leaks` counts
    calls to the file host that carried an `Authorization` header. `in_flight_max` is the most tasks that ever held a
    slot at once.
    """

    charges: list[Charge] = field(default_factory=list)
    tasks: list[LedgerTask] = field(default_factory=list)
    posts: Counter[str] = field(default_factory=Counter)
    tasks_by_external_id: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    refusals: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    callbacks: Counter[str] = field(default_factory=Counter)
    token_leaks: int = 0
    in_flight: int = 0
    in_flight_max: int = 0
    charged: Decimal = Decimal(0)

    def opened(self, task: LedgerTask) -> None:
        """Enter a new task, which holds a slot from now on."""
        self.tasks.append(task)
        self.tasks_by_external_id[task.external_id] += 1
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)

    def closed(self, charge: Charge) -> None:
        """Enter a task's end, which frees its slot. A charge of 0 is none."""
        self.in_flight -= 1
        if charge.units:
            self.charges.append(charge)
            self.charged += charge.units

    @property
    def api_requests(self) -> int:
        """How many calls the API host had."""
        return sum(count for kind, count in self.requests.items() if kind not in {"download", "upload"})

    def as_json(self) -> dict[str, Any]:
        """Write the books, as `GET /sandbox/ledger` serves them. Units are decimal strings."""
        return {
            **vars(self),
            "charged": str(self.charged),
            "charges": [{**vars(charge), "units": str(charge.units)} for charge in self.charges],
            "tasks": [{name: getattr(task, name) for name in _TOLD} for task in self.tasks],
            "api_requests": self.api_requests,
        }
