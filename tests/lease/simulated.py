"""Machines that share a lease, simulated: the shipped `Claim`, on clocks that run apart, with storage that fails.

A history has one true time. Each process has a clock of its own, may be stopped and killed at any instant, and reaches
the storage when it can. What a request does there may come late, or come and never be answered. The books of the
service are the truth: an item that was paid for twice is a violation. One limit remains, and is counted apart: a
process that is stopped between its last check and its call, for longer than `BOUND_S`.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from kling_batch.records.lease import NOBODY, Claim, Holder
from kling_batch.records.object_store import Tag

LIFE_S = 60.0
SETTLE_S = 20.0
DRIFT = 0.1
"""By what share of the truth a clock runs fast or slow at most."""
BOUND_S = LIFE_S / (1 + DRIFT) - LIFE_S / 2 / (1 - DRIFT) + SETTLE_S / (1 + DRIFT)
"""From the last moment at which a call is begun to the second look of the earliest successor, in true seconds."""
_HORIZON_S = 1500.0
_LOOKS = 12
_ON_THE_WAY_S = 0.5
_LATEST_S = 120.0

Journal = tuple[str | None, frozenset[int]]
"""Its token, and what it knows to be paid for."""
Step = Generator[Any, Any, Any]


class StorageFailed(Exception):
    """No answer came."""


@dataclass(frozen=True, kw_only=True)
class Content(Holder):
    """What the object says, with the time of its writer's calendar, which the program must not need."""

    at: float = 0.0


@dataclass(frozen=True)
class Sleep:
    """Wait so many seconds of one's own clock."""

    seconds: float


@dataclass(frozen=True)
class Request:
    """Ask the storage something."""

    act: Callable[[], Any]


class ByCalendar(Claim):
    """Broken on purpose: takes the other machine's time for one's own."""

    calendar: Callable[[], float]

    def is_free(self, tag: Tag | None, holder: Holder) -> bool:
        del tag
        return holder.ended or not isinstance(holder, Content) or self.calendar() - holder.at >= self.life_s


class Unfenced(Claim):
    """Broken on purpose: whoever took the lease once believes that it is theirs."""

    def call_s(self) -> float:
        return LIFE_S


class Credulous(Claim):
    """Broken on purpose: believes that a journal worked last because a lease that was never ended names it."""

    def vouches_for(self, journal: str | None) -> bool:
        return journal is not None and self.before.journal == journal


class Boastful(Claim):
    """Broken on purpose: has its journal named, whether it knows all that was sent or not."""


@dataclass(kw_only=True)
class Paid:
    """A call that the service took: when it was checked, and when it arrived."""

    item: int
    checked: float
    arrived: float
    process: int


@dataclass(kw_only=True)
class Record:
    """What came of a history."""

    seed: int
    paid: int = 0
    takeovers: int = 0
    fenced: int = 0
    stops: int = 0
    vouched: int = 0
    unlocked: int = 0
    beyond: list[float] = field(default_factory=list)
    """For each item paid twice by the limit that remains: how long the process was stopped."""
    violations: list[str] = field(default_factory=list)


class World:
    """The true time, the storage and the service."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"lease {seed}")
        self.now = 0.0
        self.record = Record(seed=seed)
        self.items = self.rng.randint(4, 16)
        self.deaf = self.rng.random() < 0.3
        """Whether the account shows nothing: then only a journal that worked last may go on."""
        self.content: Holder = NOBODY
        self.tag: Tag | None = None
        self.paid: list[Paid] = []
        self._tags = count(1)
        self._order = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, moment: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), act))

    def run(self) -> Record:
        while self._events and self._events[0][0] <= _HORIZON_S:
            self.now, _, act = heapq.heappop(self._events)
            act()
        self._judge()
        return self.record

    def write(self, content: Content, after: Tag | None) -> Tag | None:
        if after != self.tag:
            return None
        self.content, self.tag = content, (f"tag {next(self._tags)}", None)
        return self.tag

    def visible(self, lag_s: float) -> frozenset[int]:
        """Say what the account shows; a task may stay invisible for a while."""
        shown = (paid.item for paid in self.paid if paid.arrived <= self.now - lag_s)
        return frozenset() if self.deaf else frozenset(shown)

    def _judge(self) -> None:
        self.record.paid = len(self.paid)
        for item in range(self.items):
            calls = [paid for paid in self.paid if paid.item == item]
            late = [paid.arrived - paid.checked for paid in calls if paid.arrived - paid.checked > BOUND_S]
            if len(calls) > 1 and late:
                self.record.beyond.append(min(late))
            elif len(calls) > 1:
                told = ", ".join(f"{paid.arrived:.1f} by {paid.process}" for paid in calls)
                self.record.violations.append(f"item {item} was paid for twice: {told}")


class Process:
    """A machine with a run of the set on it, begun anew when it has ended or was killed."""

    def __init__(self, world: World, number: int, kind: type[Claim]) -> None:
        rng = world.rng
        self.world, self.number, self._kind = world, number, kind
        self._rate = 1 + rng.uniform(-DRIFT, DRIFT)
        self._offset = rng.uniform(0, 10**6)
        self._calendar = rng.choice((0.0, rng.uniform(-300, 300)))
        self._stops = sorted(self._spans(rng.choice((0.0, 2.0, 4.0)), longest_s=150.0))
        self._cut_off = sorted(self._spans(rng.choice((0.0, 2.0, 4.0)), longest_s=120.0))
        self._life = 0
        self._tokens = count(1)
        self._journal: Journal = (None, frozenset())
        self._copies: list[Journal] = [self._journal]
        world.record.stops += len(self._stops)
        for _ in range(rng.choice((0, 0, 1, 2))):
            world.at(rng.uniform(0, _HORIZON_S / 2), self._die)
        if rng.random() < 0.1:
            world.at(rng.uniform(0, _HORIZON_S / 2), lambda: self._go(self._unlock(), self._life, None))
        self._start(rng.choice((0.0, rng.uniform(0, 60))))

    def _spans(self, most: float, *, longest_s: float) -> Iterator[tuple[float, float]]:
        rng = self.world.rng
        for _ in range(round(rng.uniform(0, most))):
            begin = rng.uniform(0, _HORIZON_S / 2)
            yield begin, begin + rng.choice((rng.uniform(0, 5), rng.uniform(0, longest_s)))

    # The machine

    def clock(self) -> float:
        return self._offset + self._rate * self.world.now

    def calendar(self) -> float:
        return self._calendar + self.world.now

    def _die(self) -> None:
        self._life += 1
        self._start(self.world.now + self.world.rng.uniform(1, 120))

    def _start(self, moment: float) -> None:
        life = self._life
        self.world.at(moment, lambda: self._go(self._run(), life, None))

    def _awake(self, moment: float) -> float:
        """Say when the process does what it would do at a moment."""
        for begin, end in self._stops:
            if begin <= moment < end:
                moment = end
        return moment

    def _go(self, steps: Step, life: int, answer: Any) -> None:
        """Take the next step, at an instant at which the process may do so."""
        world = self.world
        if life != self._life:
            return
        if (awake := self._awake(world.now)) > world.now:
            world.at(awake, lambda: self._go(steps, life, answer))
            return
        try:
            asked = steps.throw(answer) if isinstance(answer, StorageFailed) else steps.send(answer)
        except StopIteration:
            return
        if isinstance(asked, Sleep):
            world.at(world.now + asked.seconds / self._rate, lambda: self._go(steps, life, None))
        else:
            self._ask(asked, steps, life)

    def _ask(self, asked: Request, steps: Step, life: int) -> None:
        """Have a request arrive, if it does, and its answer come, if it does."""
        world, rng = self.world, self.world.rng
        cut = any(begin <= world.now < end for begin, end in self._cut_off) or rng.random() < 0.02
        fate = rng.choice(("lost", "unanswered", "late")) if cut else "fine"
        arrives = world.now + (rng.uniform(1, _LATEST_S) if fate == "late" else rng.uniform(0.01, _ON_THE_WAY_S))

        def arrive() -> None:
            answer = asked.act()
            if fate == "fine":
                world.at(world.now + rng.uniform(0.01, _ON_THE_WAY_S), lambda: self._go(steps, life, answer))

        if fate != "lost":
            world.at(arrives, arrive)
        if fate != "fine":
            world.at(world.now + rng.uniform(1, 15), lambda: self._go(steps, life, StorageFailed()))

    # The program, as `Lease`, session and engine do it

    def _run(self) -> Step:
        world = self.world
        claim = self._kind(run=f"{self.number}.{self._life}.{world.now}", life_s=LIFE_S, clock=self.clock)
        if isinstance(claim, ByCalendar):
            claim.calendar = self.calendar
        if world.rng.random() < 0.2:
            self._journal = world.rng.choice(self._copies)  # the folder is put back from a backup
        token, known = self._journal
        try:
            yield from self._take(claim)
        except StorageFailed:
            self._start(world.now + world.rng.uniform(1, 30))
            return
        world.record.takeovers += not claim.before.ended
        working = [True]
        life = self._life
        world.at(world.now, lambda: self._go(self._keep(claim, working), life, None))
        lag_s = world.rng.uniform(0, SETTLE_S * (1 - 2 * DRIFT))
        known |= world.visible(lag_s)
        knows_all = claim.vouches_for(token)
        world.record.vouched += knows_all
        if not knows_all:
            yield Sleep(SETTLE_S)
            known |= world.visible(lag_s)
            knows_all = not world.deaf
        self._journal = (self._journal[0], known)
        first = claim.before == NOBODY  # by a person's word, as with --unproven
        for item in range(world.items):
            if not (knows_all or first):
                break
            if item not in known and not (yield from self._pay(claim, item)):
                world.record.fenced += 1
                working[0] = False
                self._start(world.now + world.rng.uniform(1, 60))
                return
        working[0] = False
        try:
            named = knows_all or first or isinstance(claim, Boastful)
            yield from self._write(claim, ended=True, journal=self._journal[0] if named else None)
        except StorageFailed:
            pass
        if world.rng.random() < 0.5:
            self._start(world.now + world.rng.uniform(1, 200))

    def _unlock(self) -> Step:
        """Do what a person does who is impatient, whether the holder is gone or not."""
        world, claim = self.world, self._kind(run=f"unlock {self.number}", life_s=LIFE_S, clock=self.clock)
        try:
            claim.after, holder = yield Request(lambda: (world.tag, world.content))
            if not holder.ended and (yield from self._write(claim)):
                world.record.unlocked += 1
                yield Sleep(holder.life_s)
                yield from self._write(claim, ended=True)
        except StorageFailed:
            pass

    def _take(self, claim: Claim) -> Step:
        while (yield from self._try(claim)) is not None:
            yield Sleep(LIFE_S / _LOOKS)

    def _try(self, claim: Claim) -> Step:
        world = self.world
        may_write = claim.holds
        while True:
            if may_write and (yield from self._write(claim)):
                return None
            tag, holder = yield Request(lambda: (world.tag, world.content))
            if not (may_write := claim.may_write(tag, holder)):
                return holder

    def _write(self, claim: Claim, *, ended: bool = False, journal: str | None = None) -> Step:
        world, began = self.world, self.clock()
        journal = journal if ended else self._journal[0]
        content = Content(run=claim.run, life_s=LIFE_S, ended=ended, journal=journal, at=self.calendar())
        after = claim.after
        tag = yield Request(lambda: world.write(content, after))
        if tag is not None:
            claim.wrote(tag, began)
        return tag is not None

    def _keep(self, claim: Claim, working: list[bool]) -> Step:
        while True:
            yield Sleep(claim.pause_s())
            if not working[0] or claim.lost_to is not None:
                return
            try:
                yield from self._renew(claim)
            except StorageFailed:
                continue

    def _renew(self, claim: Claim) -> Step:
        if claim.lost_to is None:
            yield from self._try(claim)

    def _pay(self, claim: Claim, item: int) -> Step:
        """Pay for an item; False where this run may not."""
        world, rng = self.world, self.world.rng
        yield Sleep(rng.choice((0.0, rng.uniform(0, 15))))
        self._journal = (f"{self.number}.{next(self._tokens)}", self._journal[1] | {item})  # the intent
        if rng.random() < 0.3:
            self._copies.append(self._journal)
        for _ in range(3):
            if (left_s := claim.call_s()) > 0:
                break
            try:
                yield from self._renew(claim)
            except StorageFailed:
                return False
        if left_s <= 0:
            return False
        checked = world.now
        takes_s = rng.choice((0.01, 0.01, 0.01, rng.uniform(0, LIFE_S)))
        yield Sleep(min(takes_s, left_s))
        if takes_s > left_s:
            return (yield from self._pay(claim, item))  # it was given up before it was sent
        world.at(world.now + rng.uniform(0.01, _ON_THE_WAY_S), lambda: self._arrive(item, checked))
        yield Sleep(rng.uniform(0.01, 1))
        return True

    def _arrive(self, item: int, checked: float) -> None:
        self.world.paid.append(Paid(item=item, checked=checked, arrived=self.world.now, process=self.number))


def play(seed: int, kind: type[Claim] = Claim) -> Record:
    """Play a history to its end, and judge it."""
    world = World(seed)
    for number in range(world.rng.randint(2, 4)):
        Process(world, number, kind)
    return world.run()
