"""Real processes against real sockets; `make chaos KILLS=200` kills many."""

from __future__ import annotations

from tests.chaos.kills import kill_batches


def test_killed_processes_pay_once() -> None:
    """Killed at random instants, half of the time with all state deleted, every take is paid for once."""
    tally = kill_batches(4, tell=lambda _words: None)
    assert tally.violations == []
    assert (tally.kills, tally.bare) == (4, 2)
    assert tally.charges == tally.delivered == 14
