"""The list: pages and orders."""

from __future__ import annotations

from typing import Any

import pytest

NAMES = [f"t{number:02}" for number in range(10)]


def filled(a_caller: Any, order: str = "newest", **behaviour: object) -> Any:
    caller = a_caller({"behaviour": {"list_order": order} | behaviour})
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


def test_a_list_of_another_key_is_empty(a_caller: Any) -> None:
    """Every page is empty, and the single query finds all the same."""
    caller = filled(a_caller, list_scope="other-key")
    assert caller.page().json()["data"] == []
    assert caller.query("t00").status == 200


@pytest.mark.parametrize(("order", "shown"), [("newest", NAMES[:6:-1]), ("oldest", NAMES[7:])])
def test_a_list_can_be_cut(a_caller: Any, order: str, shown: list[str]) -> None:
    """The newest rows alone are shown, in whatever order, on whatever page."""
    caller = filled(a_caller, order, list_cut=3)
    assert caller.listed(pageSize=2) + caller.listed(pageNum=2, pageSize=2) == shown
    assert caller.listed(pageNum=3, pageSize=2) == filled(a_caller, list_cut=0).listed() == []


def test_a_list_can_leave_out_what_runs(a_caller: Any) -> None:
    """A task appears with its end; the single query finds it before."""
    caller = a_caller({"behaviour": {"list_shows_unfinished": False}})
    caller.create("a")
    assert (caller.listed(), caller.query("a").status) == ([], 200)
    caller.clock.now += 10
    assert caller.listed() == ["a"]


def test_a_list_can_forget_what_is_old(a_caller: Any) -> None:
    """A window shows the tasks of the last seconds, and moves on with the time."""
    caller = filled(a_caller, list_window_s=0.055)
    assert caller.listed() == NAMES[:4:-1]
    caller.clock.now += 1
    assert caller.listed() == []


@pytest.mark.parametrize(
    ("offset", "pages"),
    [("capped", [NAMES[:6:-1], NAMES[6:3:-1], NAMES[3:0:-1]]), ("asked", [NAMES[:6:-1], NAMES[5:2:-1], NAMES[1::-1]])],
)
def test_pages_can_be_capped(a_caller: Any, offset: str, pages: list[list[str]]) -> None:
    """No page has more rows than the cap; counted by the size asked for, the rows between are on no page."""
    caller = filled(a_caller, list_page_cap=3, list_page_offset=offset)
    assert [caller.listed(pageNum=number, pageSize=4) for number in (1, 2, 3)] == pages
    assert len(caller.listed(pageSize=2)) == 2
