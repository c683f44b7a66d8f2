"""(a) The span over the greedy oracle's, and API requests a take, beside what people write from the documentation."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.baselines import jobs_of, poll_each
from benchmarks.service import Service, Span, run_program, service, span_of, write_manifest

SIGMA = 0.4
"""The spread of log-normal generation times."""
Client = Callable[[Path, Service], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One line of the table. `median_s` is the generation time."""

    name: str
    client: Client
    takes: int
    slots: int
    median_s: float
    sigma: float
    repeats: int = 3


def _program(*options: str) -> Client:
    return lambda manifest, sandbox: run_program(manifest, sandbox, *options)


def _polling(slots: int, interval_s: float) -> Client:
    def work(manifest: Path, sandbox: Service) -> None:
        jobs = jobs_of(manifest)
        asyncio.run(poll_each(jobs, manifest.parent, sandbox.reach(), slots=slots, interval_s=interval_s))

    return work


def cases(*, quick: bool) -> list[Case]:
    """List what is measured; `quick` leaves out what takes minutes."""
    told = ("--poll-interval", "0.1", "--concurrency")
    found = [
        Case(name="1 take, fixed 2 s", client=_program(*told, "1"), takes=1, slots=1, median_s=2, sigma=0),
        Case(name="told 10 slots", client=_program(*told, "10"), takes=100, slots=10, median_s=2, sigma=SIGMA),
        Case(name="told 10 slots, fixed", client=_program(*told, "10"), takes=100, slots=10, median_s=2, sigma=0),
        Case(name="told 100 slots", client=_program(*told, "100"), takes=1000, slots=100, median_s=2, sigma=SIGMA),
        Case(
            name="auto, limit 7", client=_program("--poll-interval", "0.1"), takes=100, slots=7, median_s=2, sigma=SIGMA
        ),
        Case(
            name="auto, limit 60",
            client=_program("--poll-interval", "0.1"),
            takes=300,
            slots=60,
            median_s=2,
            sigma=SIGMA,
        ),
        Case(name="each task every 1 s", client=_polling(10, 1.0), takes=100, slots=10, median_s=2, sigma=SIGMA),
        Case(
            name="each task every 5 s",
            client=_polling(10, 5.0),
            takes=100,
            slots=10,
            median_s=2,
            sigma=SIGMA,
            repeats=1,
        ),
    ]
    if not quick:
        found += [
            Case(name="told 5 slots", client=_program(*told, "5"), takes=50, slots=5, median_s=2, sigma=SIGMA),
            Case(
                name="told 20 slots, 20 s",
                client=_program(*told, "20"),
                takes=100,
                slots=20,
                median_s=20,
                sigma=SIGMA,
                repeats=1,
            ),
            Case(name="one at a time", client=_polling(1, 1.0), takes=10, slots=1, median_s=2, sigma=SIGMA, repeats=1),
        ]
    return found


def measure(case: Case) -> dict[str, Any]:
    """Measure a case, each repeat with its own generation times. Gives medians."""
    spans = [_once(case, seed) for seed in range(case.repeats)]
    return {
        "case": case.name,
        "takes": case.takes,
        "slots": case.slots,
        "generation_s": case.median_s,
        "sigma": case.sigma,
        "repeats": case.repeats,
        "span_over_oracle": round(statistics.median(span.ratio for span in spans), 3),
        "requests_a_take": round(statistics.median(span.requests_a_take for span in spans), 2),
        "refusals": statistics.median(span.refusals for span in spans),
        "most_in_flight": max(span.in_flight_max for span in spans),
    }


def _once(case: Case, seed: int) -> Span:
    with (
        tempfile.TemporaryDirectory() as folder,
        service(slots=case.slots, median_s=case.median_s, sigma=case.sigma, seed=seed) as sandbox,
    ):
        case.client(write_manifest(Path(folder), case.takes), sandbox)
        return span_of(sandbox.books(), slots=case.slots)
