"""When to look again, as plain functions."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_batch.running.pace import (
    IDLE_GAP_S,
    LONGEST_GAP_S,
    GenerationTimes,
    expected_ends,
    learned,
    next_gap_s,
    quantiles,
)


def _times(*seconds: float) -> GenerationTimes:
    times = GenerationTimes()
    for one in seconds:
        times.add(one)
    return times


def test_generation_times_are_learned_as_log_normal() -> None:
    """Median and spread are those of the logarithms."""
    times = _times(*[1.0, 2.0, 4.0] * 10)
    assert math.isclose(times.median_s, 2.0)
    assert math.isclose(times.sigma, math.log(2) * math.sqrt(2 / 3), rel_tol=0.01)


@pytest.mark.parametrize(("sigma", "ends"), [(0.0, 12), (0.8, 60)])
def test_the_usual_spread_is_expected_until_another_is_seen(sigma: float, ends: int) -> None:
    """One end tells the median alone; a service that is steadier or less steady than most is soon known as such."""
    rng = random.Random(4)
    assert math.isclose(_times(2.0).sigma, 0.4, rel_tol=0.2)
    known = _times(*(rng.lognormvariate(math.log(2.0), sigma) for _ in range(ends)))
    assert math.isclose(known.sigma, max(0.05, sigma), rel_tol=0.25, abs_tol=0.02)


def test_the_first_end_tells_when_to_look_for_the_others() -> None:
    """Tasks that may end any moment are looked for soon, and young ones are left alone."""
    first = _times(2.0)
    soon = next_gap_s(first, [1.9] * 9, least_s=0.05, takes_wait=True)
    later = next_gap_s(first, [0.2] * 9, least_s=0.05, takes_wait=True)
    assert soon < 0.2
    assert later > 0.4


def test_until_then_the_looks_come_later_and_later() -> None:
    """The first after the poll interval, the next when a sound can have been made."""

    def gap(age: float) -> float:
        return next_gap_s(_times(), [age], least_s=0.1, takes_wait=True)

    assert gap(0.0) == 0.1
    assert gap(0.1) == 0.3
    assert math.isclose(gap(2.0), 0.6)
    assert gap(60.0) == LONGEST_GAP_S


def test_tasks_in_flight_count_too() -> None:
    """Quick tasks end first: what has not ended yet corrects what they alone would teach."""
    rng = random.Random(1)
    drawn = [rng.lognormvariate(math.log(2.0), 0.4) for _ in range(400)]
    ended = _times(*(each for each in drawn if each < 1.8))
    still_running = [1.8] * sum(1 for each in drawn if each >= 1.8)
    assert ended.median_s < 1.6
    assert math.isclose(ended.counting(still_running).median_s, 2.0, rel_tol=0.12)
    assert ended.counting([]).median_s == ended.median_s


def test_many_tasks_in_flight_are_looked_at_by_few_of_their_ages() -> None:
    """With hundreds in flight a plan looks at a few ages, and decides as if it had looked at all."""
    rng = random.Random(2)
    ages = [rng.lognormvariate(math.log(1.5), 0.5) for _ in range(500)]
    few = quantiles(ages)
    assert len(few) <= 32
    assert quantiles(ages[:32]) == ages[:32]
    times = _times(*(rng.lognormvariate(math.log(2.0), 0.4) for _ in range(50)))
    each = len(ages) / len(few)
    assert math.isclose(times.counting(few, each).median_s, times.counting(ages).median_s, rel_tol=0.02)
    assert math.isclose(each * expected_ends(times, few, 0.2), expected_ends(times, ages, 0.2), rel_tol=0.05)


def test_many_slots_are_worth_a_look_sooner_than_few_of_the_same_ages() -> None:
    """An age that stands for many tasks counts as many."""
    ages = [0.05 * number for number in range(32)]
    times = _times(1.0, 2.0, 4.0, 2.5, 1.8)
    assert next_gap_s(times, ages * 32, least_s=0.001, takes_wait=False) < next_gap_s(
        times, ages, least_s=0.001, takes_wait=False
    )


def test_earlier_runs_teach_what_to_expect_the_latest_first() -> None:
    """A service that has become slower is known by its latest tasks."""
    old, new = [(at, at + 1.0) for at in range(500)], [(1000.0 + at, 1004.0 + at) for at in range(200)]
    assert math.isclose(learned([*old, *new]).median_s, 4.0)
    assert not learned([]).known


def test_nothing_is_looked_for_while_nothing_can_have_ended() -> None:
    """Young tasks of a service that always takes two seconds are left alone."""
    times = _times(2.0, 2.0, 2.0, 2.01)
    assert next_gap_s(times, [0.0] * 10, least_s=0.1, takes_wait=True) == LONGEST_GAP_S


def test_tasks_that_are_due_are_looked_for_at_once() -> None:
    """At the age at which tasks end, the gap is the poll interval."""
    times = _times(*[2.0] * 12)
    assert next_gap_s(times, [2.0] * 10, least_s=0.1, takes_wait=True) == 0.1


def test_who_waits_for_no_slot_may_wait_longer() -> None:
    """Where no take waits, only the delivery depends on it, and looks are fewer."""
    times = _times(1.5, 2.0, 2.5, 3.0)
    ages = [1.0, 1.2, 1.4]
    busy = next_gap_s(times, ages, least_s=0.05, takes_wait=True)
    idle = next_gap_s(times, ages, least_s=0.05, takes_wait=False)
    assert busy < idle <= IDLE_GAP_S


@given(
    seen=st.lists(st.floats(0.01, 1000), max_size=8),
    ages=st.lists(st.floats(0, 5000), max_size=20),
    least=st.floats(0.05, 60),
    takes_wait=st.booleans(),
)
def test_a_gap_is_never_below_the_poll_interval_nor_without_end(
    seen: list[float], ages: list[float], least: float, takes_wait: bool
) -> None:
    """Whatever was seen, the gap stays between the poll interval and the longest gap."""
    gap = next_gap_s(_times(*seen), ages, least_s=least, takes_wait=takes_wait)
    assert least <= gap <= max(least, LONGEST_GAP_S, IDLE_GAP_S)


@given(ages=st.lists(st.floats(0, 100), max_size=10), gap=st.floats(0, 100))
def test_no_more_ends_are_expected_than_there_are_tasks(ages: list[float], gap: float) -> None:
    """An expectation is a number of tasks."""
    assert -1e-9 <= expected_ends(_times(1.0, 2.0, 3.0), ages, gap) <= len(ages) + 1e-9
