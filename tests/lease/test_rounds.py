"""Real processes, a real S3 endpoint and a sandbox behind a socket; `python -m tests.lease --rounds 100` plays many."""

from __future__ import annotations

from pathlib import Path

from tests.lease.rounds import play_rounds


def test_two_coordinators_pay_once(s3: str, tmp_path: Path) -> None:
    """Begun at once; who works is killed, and then stopped for longer than its lease lasts and let go on."""
    tally = play_rounds(1, s3, tmp_path, tell=lambda _: None, acts=("kill", "stop"))
    assert tally.violations == []
    assert (tally.kills, tally.stops) == (1, 1)
    assert tally.fenced + tally.had_paid == tally.stops
