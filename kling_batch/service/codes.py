"""The service's error table: what each code means, and what a batch runner does on it.

Codes, HTTP statuses and meanings are the official documentation's; the reactions are ours. Decisions are made on
the code, never on the HTTP status (429 alone carries six codes) and never on the words of a message.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Reaction(Enum):
    """What a runner does when a call is answered with a code."""

    PROCEED = auto()
    SIGN_AGAIN = auto()
    """Sign once more and repeat; when that is refused too, stop the run."""
    CHECK_CLOCK = auto()
    """The token is from the future: sign by the service's clock once; then stop the run and name the clock."""
    STOP_ACCOUNT = auto()
    """A person has to mend the account: nothing more is sent."""
    STOP_CLIENT = auto()
    """The service does not know this call at all: nothing more is sent."""
    REFUSE = auto()
    """This request will never be taken."""
    REFUSE_OR_EXISTS = auto()
    """This request is wrong, or its external id is taken already: look the id up before believing either."""
    ABSENT = auto()
    """Reading: the service knows no such task. Creating: this request will never be taken."""
    SLOW_DOWN = auto()
    """Too many calls: wait and repeat."""
    NO_ROOM = auto()
    """Every slot is taken: wait for one. No failure, but how free room is learned."""
    TROUBLE = auto()
    """The service's own trouble. Reading: repeat. Creating: unclear whether a task was made."""
    UNKNOWN = auto()
    """A refusal that no table knows. Reading: repeat. Creating: nothing more is sent until a person has looked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """A row of the table."""

    code: int
    http: int
    meaning: str
    hint: str
    reaction: Reaction


_KEYS = "Check KLING_API_KEY, or KLING_ACCESS_KEY with KLING_SECRET_KEY; keys belong to a region: see KLING_BASE_URL."

_ROWS = (
    Code(code=0, http=200, meaning="accepted", hint="", reaction=Reaction.PROCEED),
    Code(code=1000, http=401, meaning="authentication failed", hint=_KEYS, reaction=Reaction.SIGN_AGAIN),
    Code(code=1001, http=401, meaning="no authorization was sent", hint=_KEYS, reaction=Reaction.STOP_ACCOUNT),
    Code(
        code=1002,
        http=401,
        meaning="the key is not known or the token is not valid",
        hint=_KEYS,
        reaction=Reaction.SIGN_AGAIN,
    ),
    Code(
        code=1003,
        http=401,
        meaning="the token is not valid yet",
        hint="Set this machine's clock right (NTP); it is ahead of the service's.",
        reaction=Reaction.CHECK_CLOCK,
    ),
    Code(
        code=1004,
        http=401,
        meaning="the token has expired",
        hint="Set this machine's clock right (NTP); it is behind the service's.",
        reaction=Reaction.SIGN_AGAIN,
    ),
    Code(
        code=1100,
        http=429,
        meaning="the account has an exception",
        hint="Look at the account's settings in the console, then run again.",
        reaction=Reaction.STOP_ACCOUNT,
    ),
    Code(
        code=1101,
        http=429,
        meaning="the account is in arrears",
        hint="Top the account up, then run again.",
        reaction=Reaction.STOP_ACCOUNT,
    ),
    Code(
        code=1102,
        http=429,
        meaning="the resource pack is used up or has expired",
        hint="Buy units or turn on post-payment, then run again.",
        reaction=Reaction.STOP_ACCOUNT,
    ),
    Code(
        code=1103,
        http=403,
        meaning="the account has no right to this API",
        hint="Ask for access to this kind of task in the console, then run again.",
        reaction=Reaction.STOP_ACCOUNT,
    ),
    Code(
        code=1200,
        http=400,
        meaning="the request's parameters are not valid",
        hint="Change what the job asks for.",
        reaction=Reaction.REFUSE_OR_EXISTS,
    ),
    Code(
        code=1201,
        http=400,
        meaning="a parameter is not valid",
        hint="Change what the message names in the job.",
        reaction=Reaction.REFUSE_OR_EXISTS,
    ),
    Code(
        code=1202,
        http=404,
        meaning="the service does not know this call",
        hint="Check KLING_BASE_URL; if it is right, a newer kling-batch is needed.",
        reaction=Reaction.STOP_CLIENT,
    ),
    Code(
        code=1203,
        http=404,
        meaning="what was asked for does not exist",
        hint="Check what the message names.",
        reaction=Reaction.ABSENT,
    ),
    Code(
        code=1300,
        http=400,
        meaning="the platform's policy does not allow it",
        hint="Reword what the job asks for.",
        reaction=Reaction.REFUSE,
    ),
    Code(
        code=1301,
        http=400,
        meaning="the content policy does not allow it",
        hint="Reword what the job asks for; the same words will be refused again.",
        reaction=Reaction.REFUSE,
    ),
    Code(
        code=1302,
        http=429,
        meaning="calls come too fast",
        hint="Nothing: the run slows down by itself.",
        reaction=Reaction.SLOW_DOWN,
    ),
    Code(
        code=1303,
        http=429,
        meaning="every slot of the account is taken",
        hint="Nothing: the run waits for a slot. --concurrency lowers what it asks for.",
        reaction=Reaction.NO_ROOM,
    ),
    Code(
        code=1304,
        http=429,
        meaning="this machine's address is not on the account's whitelist",
        hint="Add the address to the whitelist in the console, then run again.",
        reaction=Reaction.STOP_ACCOUNT,
    ),
    Code(
        code=5000,
        http=500,
        meaning="the service had an internal error",
        hint="Nothing: the run looks whether a task was made.",
        reaction=Reaction.TROUBLE,
    ),
    Code(
        code=5001,
        http=503,
        meaning="the service is down for a while",
        hint="Nothing: the run waits. If it gave up, run again later.",
        reaction=Reaction.TROUBLE,
    ),
    Code(
        code=5002,
        http=504,
        meaning="the service timed out inside",
        hint="Nothing: the run looks whether a task was made.",
        reaction=Reaction.TROUBLE,
    ),
)

CODES = {row.code: row for row in _ROWS}

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
