"""The service's error table: what each code means, and what a batch runner does on it.

The rows are in `codes.json`. Codes, HTTP statuses and meanings are the official documentation's; the reactions and
hints are ours. Decisions are made on the code, never on the HTTP status (429 alone carries six codes) and never on the
words of a message.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Reaction(StrEnum):
    """What a runner does when a call is answered with a code."""

    PROCEED = "proceed"
    SIGN_AGAIN = "sign-again"
    """Sign once more and repeat; when that is refused too, stop the run."""
    CHECK_CLOCK = "check-clock"
    """The token is from the future: sign by the service's clock once; then stop the run and name the clock."""
    STOP_ACCOUNT = "stop-account"
    """A person has to mend the account: nothing more is sent."""
    STOP_CLIENT = "stop-client"
    """The service does not know this call at all: nothing more is sent."""
    REFUSE = "refuse"
    """This request will never be taken."""
    REFUSE_OR_EXISTS = "refuse-or-exists"
    """This request is wrong, or its external id is taken already: look the id up before believing either."""
    ABSENT = "absent"
    """Reading: the service knows no such task. Creating: this request will never be taken."""
    SLOW_DOWN = "slow-down"
    """Too many calls: wait and repeat."""
    NO_ROOM = "no-room"
    """Every slot is taken: wait for one. No failure, but how free room is learned."""
    TROUBLE = "trouble"
    """The service's own trouble. Reading: repeat. Creating: unclear whether a task was made."""
    UNKNOWN = "unknown"
    """A refusal that no table knows. Reading: repeat. Creating: nothing more is sent until a person has looked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """A row of the table."""

    code: int
    http: int
    meaning: str
    hint: str
    reaction: Reaction


_ROWS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
CODES = {row["code"]: Code(**row | {"reaction": Reaction(row["reaction"])}) for row in _ROWS}

ABOUT_WORDS = frozenset({1300, 1301})
"""Refusals of what is asked for, in its own words: the same words will be refused again."""

_CLIENT_ERRORS = range(400, 500)
_SERVER_ERRORS = 500
_MAY_BE_DONE = 408
"""A gateway that gave up waiting: what it passed on may have been carried out all the same."""
_PASSING = {425, 429}


def reaction(code: int, http_status: int) -> Reaction:
    """Decide on the code; the HTTP status only settles what the table does not name.

    A code of the 1000s inside a 5xx answer is a contradiction and counts as trouble: an answer that may hide a
    created task is never read as a refusal. A code that the table does not name is somebody else's, such as a
    gateway's, or new: it is waited for where HTTP says that it passes, and never taken for a verdict on a request.
    """
    row = CODES.get(code)
    if row is None:
        if http_status in _PASSING:
            return Reaction.SLOW_DOWN
        refused = http_status in _CLIENT_ERRORS and http_status != _MAY_BE_DONE
        return Reaction.UNKNOWN if refused else Reaction.TROUBLE
    if http_status >= _SERVER_ERRORS and row.reaction is not Reaction.PROCEED:
        return Reaction.TROUBLE
    return row.reaction


def hint(code: int | None) -> str | None:
    """Say what to do about a code, or None where the table is silent."""
    row = CODES.get(code) if code is not None else None
    return (row.hint or None) if row else None


def meaning(code: int) -> str:
    """Say what a code means."""
    row = CODES.get(code)
    return row.meaning if row else "a code that the documentation does not name"
