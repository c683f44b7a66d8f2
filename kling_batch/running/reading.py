"""Reads are free and harmless: they are repeated until they succeed or patience ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from kling_batch.clock import Clock
from kling_batch.errors import AccountStop, KlingBatchError, NotFinished, ReadRefused, ServiceStop, ServiceUnavailable
from kling_batch.events import Observer, Unanswered
from kling_batch.running.limits import wait_s
from kling_batch.service.client import Service
from kling_batch.service.codes import CODES, Reaction, hint, meaning
from kling_batch.service.outcomes import ReadFailed, Refused

T = TypeVar("T")

_STOPS = {Reaction.SIGN_AGAIN, Reaction.CHECK_CLOCK, Reaction.STOP_ACCOUNT}
_PATIENCE_S = 900.0
_FIRST_PATIENCE_S = 30.0
"""Before the first answer: where nobody ever answers, network or address are wrong, and waiting mends neither."""
_TOLD_AFTER_S = 3.0
_FIRST_TOLD_AGAIN_S = 9.0
_TOLD_AGAIN_S = 30.0
_LATER = "Nothing is sent while tasks cannot be looked for; run again later."
_SLACK_S = 0.25
"""What a wait may take beyond its time on a busy machine. What is more, the machine or the process was asleep."""


class Patience:
    """How long nothing has moved. A laptop's sleep is no reason to lose it: it begins anew on waking.

    Args:
        clock: Tells the time.
        seconds: Says after how many it is lost.
    """

    def __init__(self, clock: Clock, seconds: Callable[[], float]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._since = clock.monotonic()

    @property
    def left_s(self) -> float:
        """How many seconds are left; none or fewer: it is lost."""
        return self._since + self._seconds() - self._clock.monotonic()

    def renew(self) -> None:
        """Begin anew: something moved."""
        self._since = self._clock.monotonic()

    def waited(self, began: float, seconds: float) -> float:
        """Take note of a wait, from `began` on the monotonic clock, that was to take so many seconds at most.

        Returns:
            For how many seconds the machine slept in it, as far as that can be told.
        """
        slept_s = self._clock.monotonic() - began - seconds
        if slept_s <= _SLACK_S:
            return 0.0
        self.renew()
        return slept_s


def words_of(refused: Refused) -> str:
    """Say what the service refused with."""
    words = f"The service refused with {refused.code} ({meaning(refused.code)})"
    words += f": {refused.message}" if refused.message else "."
    return words + (f" [request {refused.request_id}]" if refused.request_id else "")


def stop_for(refused: Refused) -> KlingBatchError | None:
    """Word the end of the run where a refusal means it: a person has to mend the account, or to look at the code."""
    if refused.reaction in _STOPS:
        return AccountStop(words_of(refused), hint=hint(refused.code), code=refused.code, request_id=refused.request_id)
    if refused.reaction is Reaction.STOP_CLIENT:
        return NotFinished(words_of(refused), hint=CODES[refused.code].hint)
    if refused.reaction is Reaction.UNKNOWN:
        return ServiceStop(
            words_of(refused),
            hint="Nothing was charged for it. Look up what the code means, mend that, and run again: it resumes.",
        )
    return None


class Reader:
    """Reads from the service, again and again until it says something or patience ends, and tells of long silence.

    Args:
        service: Is asked.
        clock: Tells the time, and sleeps.
        rng: Draws the jitter of waits.
        observe: Is told why it takes so long.
        patience_s: For how long nothing may be learned; None is 15 minutes, or half of one before the first answer.
        hint: What to do where that was not enough.
    """

    def __init__(
        self,
        service: Service,
        clock: Clock,
        rng: random.Random,
        observe: Observer,
        *,
        patience_s: float | None = None,
        hint: str = "Run the same command again later: it resumes. --patience sets how long it waits.",
    ) -> None:
        self.service = service
        self.clock = clock
        self.rng = rng
        self._observe = observe
        self._patience_s = patience_s
        self._hint = hint
        self._answers = service.answers
        self._silent_since = clock.monotonic()
        self._tell_at = 0.0
        self._reason = "the service has not answered so far"

    @property
    def answered(self) -> bool:
        """Whether the service has answered at all."""
        return self.service.answers > 0

    def patience_s(self) -> float:
        """For how many seconds nothing may be learned, as things are."""
        if self._patience_s is not None:
            return self._patience_s
        return _PATIENCE_S if self.answered else _FIRST_PATIENCE_S

    async def read(self, call: Callable[[], Awaitable[T | Refused | ReadFailed]]) -> T:
        """Repeat a read until it says something.

        Raises:
            AccountStop: The account has to be mended first.
            ReadRefused: The service refuses to be read, for good.
            ServiceUnavailable: Nothing was learned for as long as patience lasts.
        """
        clock, patience = self.clock, Patience(self.clock, self.patience_s)
        failures, telling = 0, None
        try:
            while True:
                if telling is None and (failures or not self.answered):
                    telling = asyncio.create_task(self._keep_telling(patience), name="tell of silence")
                outcome = await call()
                if isinstance(outcome, Refused):
                    raise stop_for(outcome) or ReadRefused(words_of(outcome), hint=_LATER)
                if not isinstance(outcome, ReadFailed):
                    return outcome
                self._reason = outcome.reason
                if patience.left_s <= 0:
                    raise self.gave_up(outcome.reason)
                failures += 1
                pause, began = min(patience.left_s, wait_s(failures, self.rng.random())), clock.monotonic()
                await clock.sleep(pause)
                patience.waited(began, pause)
        finally:
            if telling is not None:
                telling.cancel()

    async def tell_until_answered(self, patience: Patience) -> None:
        """Tell, from time to time, that the service has not answered anything so far."""
        await self.clock.sleep(_TOLD_AFTER_S)
        while not self.answered:
            if self.service.requests:
                self.tell(self._reason, patience.left_s)
            await self.clock.sleep(_TOLD_AFTER_S)

    async def _keep_telling(self, patience: Patience) -> None:
        await self.clock.sleep(_TOLD_AFTER_S)
        while True:
            self.tell(self._reason, patience.left_s)
            await self.clock.sleep(self._gap_s)

    @property
    def _gap_s(self) -> float:
        return _TOLD_AGAIN_S if self.answered else _FIRST_TOLD_AGAIN_S

    def tell(self, reason: str, left_s: float) -> None:
        """Tell why nothing is learned, where that has lasted for a while and was not told a moment ago."""
        now, self._reason = self.clock.monotonic(), reason
        if self._answers != self.service.answers:
            self._answers, self._silent_since = self.service.answers, now
        if now - self._silent_since >= _TOLD_AFTER_S and now >= self._tell_at:
            self._tell_at = now + self._gap_s
            self._observe(Unanswered(at=self.clock.time(), seconds=left_s, reason=reason))

    def gave_up(self, reason: str) -> ServiceUnavailable:
        """Word the end of patience with reads."""
        words = f"The service could not be read for {self.patience_s():.0f} s: {reason}."
        return ServiceUnavailable(words, hint=self._hint)

    def nothing_moved(self) -> ServiceUnavailable:
        """Word the end of patience with a run."""
        if not self.answered:
            return self.gave_up(self._reason)
        return ServiceUnavailable(
            f"Nothing moved for {self.patience_s():.0f} s: no task was taken, ended or delivered.",
            hint="Run the same command again later: it resumes, and nothing is paid for again. --patience sets how "
            "long it waits.",
        )


async def read_all(calls: Iterable[tuple[str, Coroutine[Any, Any, None]]]) -> None:
    """Make named reads side by side. The first failure ends the others and is raised alone, not as a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for name, call in calls:
                group.create_task(call, name=name)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
