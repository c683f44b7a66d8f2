"""The reference batch, killed at its n-th effect: here a sample of all n, in `make chaos POINTS=1` every one."""

from __future__ import annotations

import pytest

from tests.chaos.history import Kept
from tests.chaos.play import play
from tests.chaos.scenes import killed_at, of_every_kind, reference

_BLOCKS = 3
_STRIDE = 159
_WIDE_STRIDE = 319
"""Odd, so that deaths with and without a power cut take turns."""


@pytest.fixture(scope="module")
def effects() -> int:
    return play(reference()).effects


def test_the_reference_batch_is_large_enough(effects: int) -> None:
    """There are 20 takes in two formats, and hundreds of instants to die at."""
    takes = reference().manifest.takes
    assert (len(takes), {take.job.formats for take in takes}) == (20, {("wav", "mp3")})
    assert effects > 400


@pytest.mark.parametrize("block", range(_BLOCKS))
def test_a_death_at_any_effect_costs_nothing(effects: int, block: int) -> None:
    """Killed at the n-th effect and started again, the batch ends as if nothing had happened."""
    points = range(1 + block * (_STRIDE // _BLOCKS), effects + 1, _STRIDE)
    records = {point: play(killed_at(point, Kept.ALL)) for point in points}
    assert {point: record.violations for point, record in records.items() if record.violations} == {}
    assert {record.charges for record in records.values()} == {20}
    assert all(record.kills == 1 for record in records.values())


def test_a_death_at_any_effect_of_any_kind_costs_no_more_than_what_was_lost() -> None:
    """With every kind in the batch, all is delivered but the speech whose answer died with the program."""
    batch = of_every_kind()
    points = range(1, play(batch).effects, _WIDE_STRIDE)
    records = [play(killed_at(point, Kept.ALL, batch)) for point in points]
    assert [record.violations for record in records if record.violations] == []
    assert {record.delivered for record in records} <= set(range(16, 21))
    assert all(record.kills for record in records)


@pytest.mark.parametrize("block", range(_BLOCKS))
def test_a_death_with_everything_lost_costs_nothing(effects: int, block: int) -> None:
    """Killed at the n-th effect and started again from the manifest alone, the batch ends the same way."""
    points = range(1 + block * (_WIDE_STRIDE // _BLOCKS), effects + 1, _WIDE_STRIDE)
    records = {point: play(killed_at(point, Kept.NOTHING)) for point in points}
    assert {point: record.violations for point, record in records.items() if record.violations} == {}
    assert {record.charges for record in records.values()} == {20}
