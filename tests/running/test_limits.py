"""How many may be in flight, as plain state."""

from __future__ import annotations

import pytest

from kling_batch.running.limits import Backoff, Limit, wait_s


def test_a_number_is_full_from_the_start_and_never_exceeded() -> None:
    """A given concurrency is used at once, and no acceptance raises it."""
    limit = Limit(cap=5)
    assert limit.room(0) == 5
    limit.accepted(5)
    assert limit.current == 5
    assert not limit.grow(5, now=1e9)


def test_auto_grows_by_half_of_what_is_in_flight() -> None:
    """Growth is quick, and few calls are under way beyond what is known to be taken."""
    limit = Limit()
    seen = []
    for in_flight in (1, 2, 4, 8, 12, 40):
        limit.accepted(in_flight)
        seen.append(limit.current)
    assert seen == [4, 4, 6, 12, 18, 48]


def test_a_refusal_tells_the_room() -> None:
    """What is in flight when 1303 comes is the limit, and growth waits for the cooldown."""
    limit = Limit()
    limit.accepted(8)
    limit.refused(7, now=100.0)
    assert limit.current == 7
    assert not limit.grow(7, now=104.9)
    assert limit.grow(7, now=105.0)
    assert limit.current == 8


def test_growth_needs_that_the_limit_is_used() -> None:
    """A limit that is not reached is no reason to raise it."""
    limit = Limit()
    limit.refused(7, now=0.0)
    assert not limit.grow(6, now=100.0)


def test_refusals_of_probes_make_the_next_probe_later() -> None:
    """Each growth that is refused doubles the cooldown, up to a minute."""
    limit = Limit()
    limit.refused(7, now=0.0)
    waits, now = [], 0.0
    for _ in range(5):
        grows_at = limit.grows_at()
        assert grows_at is not None
        waits.append(grows_at - now)
        now = grows_at
        assert limit.grow(7, now)
        limit.refused(7, now)
    assert waits == [5, 10, 20, 40, 60]


def test_growth_that_is_taken_goes_on_quickly() -> None:
    """Who finds room does not wait for the cooldown to find more; a refusal then is no failed try."""
    limit = Limit()
    limit.refused(7, now=0.0)
    for now, grown in ((5.0, 8), (6.0, 10), (7.0, 14)):
        assert limit.grow(limit.current, now)
        assert limit.current == grown
    limit.refused(12, now=7.5)
    assert (limit.current, limit.grows_at()) == (12, 12.5)


def test_room_that_others_leave_empty_is_taken() -> None:
    """When the other user of a full account ends, its slots are ours without a try."""
    limit = Limit()
    limit.saw(8, 12, now=0.0)
    limit.refused(8, now=0.0)
    assert not limit.saw(8, 12, now=1.0)
    assert not limit.saw(8, 3, now=2.0)
    assert not limit.saw(8, 2, now=3.0)
    assert limit.saw(8, 0, now=3.6)
    assert limit.current == 8 + 9


def test_slots_that_others_refill_at_once_stay_theirs() -> None:
    """What is free for a moment only is no room."""
    limit = Limit()
    limit.saw(8, 12, now=0.0)
    limit.refused(8, now=0.0)
    for now in range(1, 20):
        assert not limit.saw(8, 11 + now % 2, now=float(now))
    assert limit.current == 8


def test_whoever_is_alone_learns_nothing_from_looking() -> None:
    """Without others, only a refusal and a try tell the room."""
    limit = Limit()
    limit.refused(8, now=0.0)
    assert not any(limit.saw(8, 0, now=float(now)) for now in range(20))


def test_an_account_full_of_others_still_leaves_one_try() -> None:
    """With nothing of ours in flight the limit is one, so that room is found when there is some."""
    limit = Limit()
    limit.refused(0, now=0.0)
    assert limit.current == 1


@pytest.mark.parametrize(
    ("failures", "least", "most"), [(1, 1.0, 1.25), (2, 2.0, 2.5), (4, 8.0, 10.0), (99, 30.0, 37.5)]
)
def test_waits_double_and_are_bounded(failures: int, least: float, most: float) -> None:
    """The first wait is at least a second; jitter adds up to a quarter."""
    assert (wait_s(failures, 0.0), wait_s(failures, 1.0)) == (least, most)


def test_calls_that_fail_together_are_one_lesson() -> None:
    """One that began before the last failure was known says nothing new."""
    backoff = Backoff()
    assert backoff.is_lesson(began=10.0, now=11.0)
    assert not backoff.is_lesson(began=10.5, now=12.0)
    assert backoff.is_lesson(began=11.0, now=12.0)
