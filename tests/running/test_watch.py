"""When to look again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kling_batch.records.attempts import Stage
from kling_batch.running.watch import Watcher


@pytest.mark.parametrize(
    ("seen", "age_s", "least_s", "gap_s"),
    [
        ([20.0], 0.0, 1.0, 1.6),
        ([2.0], 0.0, 1.0, 1.0),
        ([2.0], 0.0, 0.05, 0.16),
        ([2.0, 100.0, 3.0], 0.0, 0.05, 0.24),
        ([], 50.0, 0.05, 4.0),
        ([], 0.0, 1.0, 1.0),
    ],
)
def test_the_gap_is_a_share_of_the_median_and_never_below_the_interval(
    parts_of: Any, work: Any, seen: list[float], age_s: float, least_s: float, gap_s: float
) -> None:
    """8 %; before a task was seen to end, of the age of the oldest one."""
    parts = parts_of([work], poll_interval_s=least_s)
    watcher = Watcher(parts.scheduler, parts.reconciler, parts.ports, asyncio.Event())
    parts.scheduler.durations.extend(seen)
    object.__setattr__(work.row, "stage", Stage.CREATED)
    parts.scheduler.in_flight[work.external_id] = work
    work.in_flight_since = parts.ports.clock.monotonic() - age_s
    assert watcher._pause_s() == pytest.approx(gap_s, abs=0.01)
