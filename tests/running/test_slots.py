"""Slots of tasks that nobody can see: taken for as long as the task may run."""

from __future__ import annotations

import pytest

from kling_batch.running.slots import HeldSlots


@pytest.mark.parametrize(
    ("longest_s", "seconds"), [(None, 3600.0), (0.0, 60.0), (2.0, 60.0), (10.0, 60.0), (11.0, 66.0), (200.0, 1200.0)]
)
def test_a_slot_is_held_until_its_task_surely_has_ended(longest_s: float | None, seconds: float) -> None:
    """Six times the longest generation seen, a minute at least, and an hour where none was seen."""
    held = HeldSlots(20.0)
    held.hold("kb-1", 1000.0, longest_s)
    assert held.free_at() == 1000.0 + seconds
    held.release(1000.0 + seconds - 0.001)
    assert len(held) == 1
    held.release(1000.0 + seconds)
    assert (len(held), held.free_at()) == (0, None)


def test_the_time_counts_from_the_sending() -> None:
    """A task that was sent long ago by an earlier run may be free already."""
    held = HeldSlots(20.0)
    held.hold("kb-1", -3600.0, None)
    held.hold("kb-2", 5.0, None)
    held.release(0.0)
    assert (repr(held), held.free_at()) == ("1 held", 3605.0)


def test_a_call_that_waits_for_its_result_may_take_a_minute() -> None:
    """However soon others were answered, and however short the settle time is: it says nothing of such a call."""
    held = HeldSlots(8.0)
    held.hold("kb-1", 0.0, 2.0)
    held.hold("kb-2", 0.0, 2.0, answers_at_once=True)
    held.release(59.0)
    assert (len(held), held.free_at()) == (1, 60.0)


def test_a_task_holds_one_slot_however_often_it_is_lost() -> None:
    """And the next to be freed is the one that was sent first."""
    held = HeldSlots(20.0)
    for task, since in (("kb-2", 20.0), ("kb-1", 10.0), ("kb-2", 20.0)):
        held.hold(task, since, 10.0)
    assert (len(held), held.free_at()) == (2, 70.0)
