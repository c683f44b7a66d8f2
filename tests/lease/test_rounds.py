"""Real processes, a real S3 endpoint and a sandbox behind a socket; `python -m tests.lease --rounds 100` plays many."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lease.rounds import play_rounds


@pytest.mark.parametrize("act", ["kill", "stop"])
def test_two_coordinators_pay_once(s3: str, tmp_path: Path, act: str) -> None:
    """Begun at once; who works is killed, or stopped for longer than its lease lasts and let go on."""
    tally = play_rounds(1, s3, tmp_path, tell=lambda _: None, acts=(act,))
    assert tally.violations == []
    assert (tally.kills, tally.stops) == ((1, 0) if act == "kill" else (0, 1))
    assert tally.fenced + tally.had_paid == tally.stops
