"""The error table: what a runner does on each code."""

from __future__ import annotations

import pytest

from kling_batch.service.codes import CODES, Reaction, hint, meaning, reaction

TABLE = {
    # code: (HTTP status of the documentation, what a runner does)
    0: (200, Reaction.PROCEED),
    1000: (401, Reaction.SIGN_AGAIN),
    1001: (401, Reaction.STOP_ACCOUNT),
    1002: (401, Reaction.SIGN_AGAIN),
    1003: (401, Reaction.CHECK_CLOCK),
    1004: (401, Reaction.SIGN_AGAIN),
    1100: (429, Reaction.STOP_ACCOUNT),
    1101: (429, Reaction.STOP_ACCOUNT),
    1102: (429, Reaction.STOP_ACCOUNT),
    1103: (403, Reaction.STOP_ACCOUNT),
    1200: (400, Reaction.REFUSE_OR_EXISTS),
    1201: (400, Reaction.REFUSE_OR_EXISTS),
    1202: (404, Reaction.STOP_CLIENT),
    1203: (404, Reaction.ABSENT),
    1300: (400, Reaction.REFUSE),
    1301: (400, Reaction.REFUSE),
    1302: (429, Reaction.SLOW_DOWN),
    1303: (429, Reaction.NO_ROOM),
    1304: (429, Reaction.STOP_ACCOUNT),
    5000: (500, Reaction.TROUBLE),
    5001: (503, Reaction.TROUBLE),
    5002: (504, Reaction.TROUBLE),
}
REFUSALS = [code for code, (_, does) in TABLE.items() if does not in {Reaction.PROCEED, Reaction.TROUBLE}]


def test_the_table_is_the_documentations() -> None:
    """No code is missing, and none is invented."""
    assert {code: row.http for code, row in CODES.items()} == {code: http for code, (http, _) in TABLE.items()}


@pytest.mark.parametrize("code", TABLE)
def test_each_code_has_its_reaction(code: int) -> None:
    """As the documentation's HTTP status brings it."""
    http, does = TABLE[code]
    assert reaction(code, http) is does


@pytest.mark.parametrize("code", TABLE)
def test_the_reaction_follows_the_code_and_not_the_status(code: int) -> None:
    """One status carries many codes, and a code may come with 200."""
    assert {reaction(code, http) for http in (200, 400, 401, 403, 404, 429)} == {TABLE[code][1]}


def test_only_two_codes_of_429_are_waited_for() -> None:
    """The other four of that status stop the account."""
    of_429 = {code for code, (http, _) in TABLE.items() if http == 429}
    waited = {code for code in of_429 if reaction(code, 429) in {Reaction.SLOW_DOWN, Reaction.NO_ROOM}}
    assert len(of_429) == 6
    assert waited == {1302, 1303}


@pytest.mark.parametrize("http", [500, 502, 503, 504, 599])
@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_inside_a_5xx_is_trouble(code: int, http: int) -> None:
    """The answer contradicts itself: it may hide a task that was made."""
    assert reaction(code, http) is Reaction.TROUBLE


@pytest.mark.parametrize("code", [-1, 1, 999, 1005, 1305, 4000, 5003, 10**18])
@pytest.mark.parametrize(
    ("http", "does"),
    [(http, Reaction.UNKNOWN) for http in (400, 401, 403, 404, 499)]
    + [(http, Reaction.SLOW_DOWN) for http in (425, 429)]
    + [(http, Reaction.TROUBLE) for http in (200, 302, 408, 500, 503)],
)
def test_an_unknown_code_goes_by_its_status(code: int, http: int, does: Reaction) -> None:
    """Only a 4xx is a refusal, and none that a take could fail for; some pass. Of anything else nobody can tell."""
    assert reaction(code, http) is does


@pytest.mark.parametrize("code", [code for code in TABLE if code])
def test_each_code_says_what_it_means_and_what_to_do(code: int) -> None:
    """A message carries the repair."""
    assert meaning(code)
    said = hint(code)
    assert said is not None
    assert said.endswith(".")


@pytest.mark.parametrize(
    ("code", "repair"),
    [(1002, "KLING_BASE_URL"), (1003, "clock"), (1004, "clock"), (1101, "Top the account up"), (1102, "Buy units"),
     (1301, "Reword what the job asks for"), (1304, "whitelist"), (1303, "--concurrency")],
)  # fmt: skip
def test_the_repair_is_the_codes_own(code: int, repair: str) -> None:
    """What mends one would not mend another."""
    assert repair in str(hint(code))


@pytest.mark.parametrize("code", [None, 0, 4711])
def test_where_the_table_is_silent_nothing_is_advised(code: int | None) -> None:
    """No advice is better than a wrong one."""
    assert hint(code) is None


def test_an_unknown_code_is_called_unknown() -> None:
    """Its meaning is not guessed."""
    assert "does not name" in meaning(4711)
