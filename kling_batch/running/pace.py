"""When to look again: when a slot is likely to have stood empty for long enough. Plain functions and state.

The time that a slot stands empty is the time until its task's end is seen. Looking all the time sees ends at once and
costs requests. So the next look is due when the slots in flight are expected to have stood empty, together, for as
long as a request is worth. Generation times are close to log-normal, as queues are; what is expected follows from the
times seen so far and each task's age. Times are arguments.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter

WORTH_S = 0.029
"""Empty slot-seconds that a request is worth, times the root of the median generation time: about two and a half
requests a take at 10 slots and 2 s, and less than 2 % of the time lost at 20 s."""
IDLE_WORTH_S = 1.0
"""The same where no take waits for a slot."""
LONGEST_GAP_S = 1.0
"""While takes wait for a slot, a longer gap than this is not worth what it saves."""
IDLE_GAP_S = 2.0
"""The same where no take waits: only the delivery of the last sounds depends on it."""
_AGE_SHARE = 0.3
"""Before anything is known, a gap is this share of the oldest task's age."""
_UNKNOWN_GAP_S = 0.3
"""And at least so long, once a first look has shown that tasks do not end at once."""
_LEAST_SIGMA = 0.05
_USUAL_SIGMA = 0.4
"""The spread of queues, so that the first end of a task already tells when the others are likely to end."""
_USUAL_COUNTS = 3
"""As many tasks it counts for when one has ended, for half as many when two have, and so on."""
_STEPS = 10
_MOST_AGES = 32
"""More tasks in flight than that are looked at by quantiles of their ages."""
_SLICES = 6
_ROUNDS = 8
_FAR_OUT = 1e-12
_HARDLY_ANY = 1e-6
_MOST_LEARNED = 200
"""Tasks of earlier runs that are learned from, the latest first: the service may have become another since."""


@dataclass(slots=True)
class GenerationTimes:
    """What is known of generation times: count, mean and variance of their logarithms, updated one by one.

    Of the `seen` tasks `ended` were seen to their end; the others count by what their ages let expect.
    """

    seen: int = 0
    mean: float = 0.0
    _squares: float = 0.0
    ended: int = 0

    def add(self, seconds: float) -> None:
        """Learn from a task that took `seconds` from its creation to its end."""
        if seconds <= 0:
            return
        value = math.log(seconds)
        self.seen += 1
        self.ended += 1
        before = value - self.mean
        self.mean += before / self.seen
        self._squares += before * (value - self.mean)

    @property
    def known(self) -> bool:
        """Whether anything was seen, to expect something of."""
        return self.ended > 0

    @property
    def median_s(self) -> float:
        """The time that half of the tasks take, in seconds."""
        return math.exp(self.mean)

    @property
    def sigma(self) -> float:
        """The spread of the logarithms, as far as it is known."""
        return _spread(self._squares, self.seen, self.ended)

    def ended_by(self, age_s: float) -> float:
        """The share of tasks that have ended by an age."""
        if age_s <= 0:
            return 0.0
        return 0.5 * math.erfc((self.mean - math.log(age_s)) / (self.sigma * math.sqrt(2)))

    def counting(self, ages_s: Iterable[float], each: float = 1.0) -> GenerationTimes:
        """Give what is known when tasks that are still in flight count too, each age standing for `each` of them.

        Those that end first are the quick ones: who learns from them alone expects everybody too early. A task that has
        not ended by its age is taken for what such tasks are expected to be (expectation maximisation for
        right-censored samples).
        """
        logs = [math.log(age) for age in ages_s if age > 0]
        count = self.seen + each * len(logs)
        found, mean, squares = self.mean * self.seen, self.mean, self._squares
        sigma = self.sigma
        moment = squares + self.seen * self.mean**2
        for _ in range(_ROUNDS):
            hazards = [(value, _hazard((value - mean) / sigma)) for value in logs]
            first = found + each * sum(mean + sigma * hazard for _, hazard in hazards)
            second = moment + each * sum(
                mean**2 + sigma**2 + sigma * hazard * (value + mean) for value, hazard in hazards
            )
            mean = first / count
            squares = max(0.0, second - count * mean**2)
            sigma = _spread(squares, count, self.ended)
        return GenerationTimes(seen=round(count), mean=mean, _squares=squares, ended=self.ended)


def _spread(squares: float, count: float, ended: int) -> float:
    """Give the spread that so many tasks show, drawn towards the usual one while few have ended."""
    usual = _USUAL_COUNTS / max(1, ended)
    known = (squares + usual * _USUAL_SIGMA**2) / (count + usual)
    return max(_LEAST_SIGMA, math.sqrt(known))


def _hazard(z: float) -> float:
    """Give how much of what is left of a standard normal distribution at `z` ends there."""
    left = 0.5 * math.erfc(z / math.sqrt(2))
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / left if left > _FAR_OUT else z


def learned(spans: Iterable[tuple[float, float]]) -> GenerationTimes:
    """Learn from tasks of earlier runs, each with its begin and its end in Unix seconds."""
    times = GenerationTimes()
    for begin, end in heapq.nlargest(_MOST_LEARNED, spans, key=itemgetter(1)):
        times.add(end - begin)
    return times


def quantiles(ages_s: Sequence[float]) -> list[float]:
    """Let at most 32 ages stand for all, each for as many tasks: what is expected hardly changes."""
    if len(ages_s) <= _MOST_AGES:
        return list(ages_s)
    ordered = sorted(ages_s)
    return [ordered[int((number + 0.5) * len(ordered) / _MOST_AGES)] for number in range(_MOST_AGES)]


def expected_ends(times: GenerationTimes, ages_s: Iterable[float], gap_s: float) -> float:
    """How many tasks that had not ended at these ages are expected to end within `gap_s` seconds."""
    total = 0.0
    for age in ages_s:
        left = 1.0 - times.ended_by(age)
        # A task far older than any seen may end at any moment.
        total += 1.0 if left < _HARDLY_ANY else (times.ended_by(age + gap_s) - (1.0 - left)) / left
    return total


def expected_empty_s(times: GenerationTimes, ages_s: Sequence[float], gap_s: float) -> float:
    """How long slots are expected to stand empty, together, if nobody looks for `gap_s` seconds."""
    slices = (gap_s * (number + 0.5) / _SLICES for number in range(_SLICES))
    return sum(expected_ends(times, ages_s, passed) for passed in slices) * gap_s / _SLICES


def next_gap_s(times: GenerationTimes, ages_s: Sequence[float], *, least_s: float, takes_wait: bool) -> float:
    """Choose the seconds between the last look and the next.

    Args:
        times: What is known of generation times.
        ages_s: The ages of the tasks in flight at the last look.
        least_s: The poll interval: never less.
        takes_wait: Whether takes wait for a slot.
    """
    most = max(least_s, LONGEST_GAP_S if takes_wait else IDLE_GAP_S)
    if not ages_s:
        return least_s
    if not times.known:
        oldest = max(ages_s)
        return least_s if oldest < least_s else min(most, max(least_s, _UNKNOWN_GAP_S, _AGE_SHARE * oldest))
    ages = quantiles(ages_s)
    each = len(ages_s) / len(ages)
    times = times.counting(ages, each)
    worth = (WORTH_S * math.sqrt(times.median_s) if takes_wait else IDLE_WORTH_S) / each
    if expected_empty_s(times, ages, least_s) >= worth:
        return least_s
    if expected_empty_s(times, ages, most) < worth:
        return most
    low, high = least_s, most
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if expected_empty_s(times, ages, middle) >= worth else (middle, high)
    return (low + high) / 2
