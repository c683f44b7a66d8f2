"""Slots that are taken by tasks nobody can see: a task that the service forgets may run all the same."""

from __future__ import annotations

from kling_batch.service.client import CALL_TIMEOUT_S

_TIMES_THE_LONGEST = 6
"""A task that takes so many times the longest generation seen would surely have ended."""
_TIMES_SETTLING = 3
"""And so many times the settle time, a minute by default: one generation that was quick says little of the others."""
_WITHOUT_A_MEASURE_S = 3600.0


def surely_ended_s(longest_s: float | None, settle_time_s: float) -> float:
    """Say after how many seconds a task would surely have ended; where no generation was ever seen, after an hour."""
    if longest_s is None:
        return _WITHOUT_A_MEASURE_S
    return max(_TIMES_SETTLING * settle_time_s, _TIMES_THE_LONGEST * longest_s)


class HeldSlots:
    """Which slots stay taken, and until when, by moments of the monotonic clock.

    Args:
        settle_time_s: How long a task may stay invisible, in seconds.
    """

    def __init__(self, settle_time_s: float) -> None:
        self._settle_time_s = settle_time_s
        self._until: dict[str, float] = {}
        self._slots: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(self._slots[task] for task in self._until)

    def __repr__(self) -> str:
        return f"{len(self)} held"

    def hold(
        self, task: str, since: float, longest_s: float | None, *, slots: int = 1, answers_at_once: bool = False
    ) -> None:
        """Hold the slots of a task that was sent at `since`.

        Args:
            task: Its name.
            since: When it was sent.
            longest_s: The longest generation that was seen, in seconds; see `surely_ended_s`.
            slots: How many it takes.
            answers_at_once: Whether its end was waited for in the call itself: it may take as long as that may.
        """
        self._slots[task] = slots
        least_s = CALL_TIMEOUT_S if answers_at_once else 0.0
        self._until[task] = since + max(least_s, surely_ended_s(longest_s, self._settle_time_s))

    def free(self, task: str) -> None:
        """Free the slots of a task that is watched from now on."""
        self._until.pop(task, None)

    def release(self, now: float) -> None:
        """Free what surely has ended."""
        for task in [task for task, until in self._until.items() if until <= now]:
            del self._until[task]

    def free_at(self) -> float | None:
        """Say when the next slot is freed; None where none is held."""
        return min(self._until.values(), default=None)
