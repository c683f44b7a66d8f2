"""The books: what a client did, in truth."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest


def test_success_is_charged_when_it_ends(caller: Any) -> None:
    """A charge is entered with the task's end, once, however often the task is asked for."""
    caller.create("a")
    assert caller.world.ledger.charges == []
    caller.clock.now += 10
    caller.query()
    caller.query()
    (charge,) = caller.world.ledger.charges
    assert (charge.external_id, charge.units, charge.at) == (
        "a",
        Decimal("0.25"),
        pytest.approx(caller.clock.now - 7.9),
    )


def test_every_post_is_counted(a_caller: Any) -> None:
    """Posts count by external id, also those that were refused or lost."""
    caller = a_caller({"rules": [{"on": "create", "when": {"nth": [2]}, "do": "lost-before"}]})
    for _ in range(3):
        caller.create("a")
    assert caller.world.ledger.posts == {"a": 3}
    assert caller.world.ledger.tasks_by_external_id == {"a": 1}


def test_calls_and_codes_are_counted(caller: Any) -> None:
    """Requests count by kind, refusals by code, and downloads are no API requests."""
    url = caller.url()
    caller.query("none")
    caller.page()
    caller.fetch(url)
    ledger = caller.world.ledger
    assert ledger.requests == {"create": 1, "query": 3, "list": 1, "download": 1}
    assert ledger.refusals == {1203: 2}
    assert ledger.api_requests == 5


def test_a_token_at_the_file_host_is_a_leak(caller: Any) -> None:
    """An `Authorization` header that reaches the file host is counted."""
    url = caller.url()
    caller.fetch(url)
    assert caller.world.ledger.token_leaks == 0
    caller.fetch(url, authorization="Bearer x")
    assert caller.world.ledger.token_leaks == 1


def test_the_books_are_json(caller: Any) -> None:
    """The ledger can be written, and tells spans, charges and room."""
    caller.url()
    books = json.loads(json.dumps(caller.world.ledger.as_json()))
    assert books["charged"] == "0.25"
    assert books["in_flight_max"] == 1
    assert books["tasks"][0]["ended_at"] - books["tasks"][0]["created_at"] == pytest.approx(2.1)
