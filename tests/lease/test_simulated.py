"""The lease on simulated machines; `make chaos LEASES=3000` plays many more histories."""

from __future__ import annotations

import pytest

from kling_batch.records.lease import Claim
from tests.lease.simulated import BOUND_S, Boastful, ByCalendar, Credulous, Record, Unfenced, play

SEEDS = range(400)


def records(kind: type[Claim]) -> list[Record]:
    return [play(seed, kind) for seed in SEEDS]


def test_nothing_is_paid_for_twice() -> None:
    """Whatever is stopped, killed, cut off or unlocked; but for stops that are longer than the stated bound."""
    played = records(Claim)
    assert [record for record in played if record.violations] == []
    assert all(stopped > BOUND_S for record in played for stopped in record.beyond)
    for number in ("paid", "takeovers", "fenced", "stops", "vouched", "unlocked"):
        assert sum(getattr(record, number) for record in played) > 10, number


@pytest.mark.parametrize("broken", [Unfenced, ByCalendar, Credulous, Boastful])
def test_a_broken_lease_is_caught(broken: type[Claim]) -> None:
    """A proof that cannot fail proves nothing."""
    assert any(record.violations for record in records(broken))
