"""What callbacks save, in virtual time."""

from __future__ import annotations

import pytest

from benchmarks.simulated import SIGMA, Case, program, simulate


@pytest.mark.parametrize("sigma", [0.0, SIGMA], ids=["fixed", "log-normal"])
@pytest.mark.parametrize("seconds", [2.0, 20.0])
@pytest.mark.parametrize(
    ("signed", "lost", "span", "requests"), [(True, 0.0, 1.005, 1.2), (False, 0.0, 1.005, 2.2), (True, 0.2, 1.02, 2.5)]
)
def test_with_callbacks_a_run_is_as_fast_as_can_be_at_hardly_a_request_beside_the_paid_one(
    seconds: float, sigma: float, signed: bool, lost: float, span: float, requests: float
) -> None:
    """10 slots, 100 takes: the span over the shortest possible, and requests a take."""
    case = Case(takes=100, slots=10, median_s=seconds, sigma=sigma, lost=lost, signed=signed)
    found = simulate(case, program(poll_interval_s=0.1 if seconds == 2.0 else 1.0))
    assert found.span.ratio <= span
    assert found.span.requests_a_take <= requests
