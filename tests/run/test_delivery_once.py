"""A take is delivered once, however its task's end is seen."""

from __future__ import annotations

from typing import Any


def test_a_task_that_ends_while_its_creation_is_written_is_delivered_once(tavern: Any, serve: Any) -> None:
    """Tasks that are done at once are counted once: the run ends, with every take, and fetches every file once."""
    server = serve(seconds=0.0)
    assert tavern.run("--concurrency", "1") == 0
    assert tavern.report()["summary"]["succeeded"] == 7
    assert server.world.ledger.requests["download"] == 14
