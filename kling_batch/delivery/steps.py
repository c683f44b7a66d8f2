"""What a download asks of the world, step by step, as values.

A download is a generator that yields these and is sent what came of them. So its rules stand once, and whoever walks
through the steps says where they happen: on a thread, with a synchronous client, or on an event loop over any clock.
What a step meets is thrown into the generator at that step.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """Send a GET; gives an `Answer` as soon as its headers are there. The answer before it is done with."""

    url: httpx.URL
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Status and headers of an answer whose body waits; names of headers are looked up in any case."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class More:
    """Read on in the body; gives its next bytes, or None at its end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """Let `seconds` pass. The answer before it is done with."""

    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Heavy:
    """Call a function that computes or waits for a disk; gives what it returns."""

    act: Callable[[], object]


Step = Ask | More | Pause | Heavy
Steps = Generator[Step, Any, T]


class Walker(Protocol):
    """Walks through steps, for one caller or for several at once."""

    async def walk(self, make: Callable[[], Steps[T]]) -> T:
        """Make the steps, go through them, and give their result.

        Whoever is cancelled here has the steps cancelled too: they get an `asyncio.CancelledError`.
        """
        ...
