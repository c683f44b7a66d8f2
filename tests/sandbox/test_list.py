"""The list: pages and orders."""

from __future__ import annotations

from typing import Any

import pytest

NAMES = [f"t{number:02}" for number in range(10)]


def filled(a_caller: Any, order: str) -> Any:
    caller = a_caller({"behaviour": {"list_order": order}})
    for name in NAMES:
        caller.create(name)
        caller.clock.now += 0.01
    return caller


def test_newest_come_first_by_default(a_caller: Any) -> None:
    """Pages follow each other without gap or overlap, and the last one is short."""
    caller = filled(a_caller, "newest")
    pages = [caller.listed(pageNum=number, pageSize=4) for number in (1, 2, 3, 4)]
    assert pages == [NAMES[:5:-1], NAMES[5:1:-1], NAMES[1::-1], []]


def test_oldest_can_come_first(a_caller: Any) -> None:
    """The other plain order."""
    assert filled(a_caller, "oldest").listed(pageNum=2, pageSize=4) == NAMES[4:8]


def test_shuffled_stays_as_it_is(a_caller: Any) -> None:
    """One arbitrary order, the same on each call, and in whole over the pages."""
    caller = filled(a_caller, "shuffled")
    order = caller.listed()
    assert order == caller.listed() == caller.listed(pageSize=5) + caller.listed(pageNum=2, pageSize=5)
    assert sorted(order) == NAMES
    assert order not in (NAMES, NAMES[::-1])


def test_random_is_another_order_on_each_call(a_caller: Any) -> None:
    """Nothing can be concluded from one call for the next."""
    caller = filled(a_caller, "random")
    first, second = caller.listed(), caller.listed()
    assert sorted(first) == sorted(second) == NAMES
    assert first != second


def test_thirty_rows_are_a_page_unless_said_otherwise(a_caller: Any) -> None:
    """The documented default."""
    caller = a_caller({"concurrency": 40})
    for number in range(40):
        caller.create(f"t{number}")
    assert len(caller.listed()) == 30


@pytest.mark.parametrize(
    "query", [{"pageNum": 0}, {"pageNum": 1001}, {"pageSize": 0}, {"pageSize": 501}, {"pageNum": "x"}, {"pageSize": ""}]
)
def test_bounds_are_kept(caller: Any, query: dict[str, Any]) -> None:
    """Pages 1 to 1000 of 1 to 500 rows; all else is 1201."""
    assert caller.page(**query).json()["code"] == 1201


def test_the_outermost_page_is_allowed(caller: Any) -> None:
    """Page 1000 of 500 rows is legal, and empty."""
    assert caller.listed(pageNum=1000, pageSize=500) == []


def test_rows_are_what_a_query_tells(caller: Any) -> None:
    """A row of the list has the same fields and values as the single query."""
    url = caller.url()
    assert caller.page().json()["data"] == [caller.query().json()["data"]]
    assert url in caller.page().body.decode()
