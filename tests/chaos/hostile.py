"""Histories in which everything around the program means it harm, and one take meets a bug of the program itself.

Answers of hostile shape never lie: none says that a task failed or is not there, since nobody could see through that.
"""

from __future__ import annotations

import functools
import inspect
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from kling_batch.errors import DiskUnusable
from kling_batch.events import Event
from kling_batch.model import Status, Take
from kling_batch.records.attempts import Attempt
from kling_batch.records.journal import Journal
from kling_batch.running.deliver import Deliveries
from kling_batch.running.delivery import Delivery
from kling_batch.running.engine import Engine
from kling_batch.running.files import Files
from kling_batch.running.locking import LockKeeper
from kling_batch.running.reconcile import Reconciler
from kling_batch.running.run import Outcome
from kling_batch.running.scheduler import Scheduler
from kling_batch.running.watch import Watcher
from kling_batch.running.work import Work
from kling_batch.sandbox.settings import API_BASE_URL, Behaviour, Span, WorldSettings
from kling_batch.service.client import KlingService
from tests.chaos.broken import Broken
from tests.chaos.history import SAMPLE_RATE, End, History, Life, manifest_of
from tests.chaos.play import Record, in_peace, machine_of, workshop
from tests.chaos.process import SOUND, Machine, Parts, Program, Way
from tests.chaos.scenes import jobs
from tests.chaos.truth import Truth, always, told

TAKES = 12
_LATE = Span(low=0.0, high=4.0)
_HUGE = "1" * 4_000
_VALUES: tuple[str, ...] = (
    "1e999", "-1e999", "NaN", "Infinity", _HUGE, f"-{_HUGE}", "18446744073709551616", "1e30", "true",
    '"\\ud800"', '"\\u0000\\u001b[2J\\u009b\\u202e"', '"::error::\\n::stop-commands::x"', '"../../../account/costs"',
    '".."', '"%2e%2e/"', '"http://a..b/"', '"file:///etc/passwd"', '"javascript:alert(1)"', '"https://u:p@h.test/"',
    '"so on"', '"=1+1"', "[[1]]", '{"a": [1]}', "[" * 900 + "]" * 900, f'"{"x" * 100_000}"', f"[{'0,' * 50_000}0]",
)  # fmt: skip
"""What stands in for a value: it is of no type that is expected there, or of no size."""
_BODIES: tuple[bytes, ...] = (
    b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b"[" * 200_000, b'{"code":' * 50_000, b'{"code":0,"data":', b"\x00" * 100_000,
    b'{"code":1e999}', b'{"code":"0\\u0000"}', b'"' + b"x" * 10_000_000, b'{"code":NaN,"data":{}}',
)  # fmt: skip
"""Whole bodies that say nothing."""
_HEADERS: tuple[tuple[str, str], ...] = (
    ("date", "Thu, 99 Foo 99999 99:99:99"), ("date", "x" * 60_000), ("content-encoding", "br"),
    ("content-encoding", "gzip"), ("location", "http://a..b/"), ("content-type", "\x80" * 9), ("set-cookie", "a=b"),
)  # fmt: skip
_BROKEN: tuple[Exception, ...] = (
    BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device"), OSError(5, "Input/output error"),
    ValueError("I/O operation on closed file"), UnicodeEncodeError("cp1252", "\U0001f980", 0, 1, "no such character"),
)  # fmt: skip


def hostile_answer(body: bytes, rng: random.Random) -> bytes:
    """Spoil an answer: all of it, one value of it, or names that stand in it twice."""
    if rng.random() < 0.3:
        return rng.choice(_BODIES)
    try:
        answer = json.loads(body)
    except ValueError:
        return body
    if rng.random() < 0.2:
        return b'{"code":5000,"data":null,' + body[1:]
    holder, name = rng.choice(list(_places(answer)))
    holder[name] = _MARK
    return json.dumps(answer).replace(f'"{_MARK}"', rng.choice(_VALUES), 1).encode()


_MARK = "what-is-spoilt"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give every place of an answer that holds a value."""
    names = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in names:
        yield value, name
        yield from _places(inner)


class HostileWay(Way):
    """A network on which some answers of the API have been spoilt."""

    def __init__(self, *arguments: Any, share: float, chance: random.Random) -> None:
        super().__init__(*arguments)
        self._share = share
        self._chance = chance

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if not str(request.url).startswith(API_BASE_URL) or self._chance.random() >= self._share:
            return response
        body = hostile_answer(await response.aread(), self._chance)
        headers = dict([self._chance.choice(_HEADERS)]) if self._chance.random() < 0.3 else {}
        return httpx.Response(response.status_code, headers=headers, stream=httpx.ByteStream(body))


@dataclass(slots=True)
class Poison:
    """A bug that strikes the work on one take, once: at its n-th step, as it begins or as it ends."""

    take: Take
    step: int
    struck: str = ""
    steps: int = 0

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the program carry the bug for as long as the context lasts."""
        with ExitStack() as stack:
            for owner in (Scheduler, Engine, Reconciler, Watcher, Deliveries, Delivery, Files, LockKeeper):
                for name, function in list(vars(owner).items()):
                    if inspect.isfunction(function) and name not in _NOT_ABOUT_ONE:
                        taken = "work" in inspect.signature(function).parameters or owner in {Delivery, Files}
                        if taken:
                            stack.enter_context(self._in(owner, name, function))
            stack.enter_context(self._in(Journal, "save", Journal.save))
            stack.enter_context(self._in(KlingService, "create", KlingService.create))
            yield

    def _in(self, owner: type, name: str, function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        def at_once(*given: Any, **named: Any) -> Any:
            self._step(name, *given, *named.values())
            made = function(*given, **named)
            self._step(name, *given, *named.values())
            return made

        @functools.wraps(function)
        async def later(*given: Any, **named: Any) -> Any:
            self._step(name, *given, *named.values())
            made = await function(*given, **named)
            self._step(name, *given, *named.values())
            return made

        value = later if inspect.iscoroutinefunction(function) else at_once
        return Broken(owner=owner, name=name, value=value).applied()

    def _step(self, name: str, *given: Any) -> None:
        if self.struck or not any(self._is_about(each) for each in given):
            return
        self.steps += 1
        if self.steps == self.step:
            self.struck = name
            raise ZeroDivisionError(f"poison in {name}")

    def _is_about(self, value: Any) -> bool:
        match value:
            case Work(take=take):
                return take == self.take
            case Attempt(job_id=job_id, take=number):
                return (job_id, number) == (self.take.job.id, self.take.number)
            case Delivery(work=work) | Files(work=work):
                return work.take == self.take
            case _:
                return False


_NOT_ABOUT_ONE = {"__init__", "about", "_bring_home", "_end_by", "ask_for", "_move"}
"""What keeps a bug in its take, and what is called for many takes at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hostility:
    """What befalls the first life of a history.

    A share `spoilt` of the API's answers is of hostile shape; nobody can be told anything from the event `deaf_from`
    on; a bug strikes the take `poisoned` at its step `step`.
    """

    history: History
    spoilt: float = 0.0
    deaf_from: int | None = None
    poisoned: int
    step: int


def draw_hostility(seed: int) -> Hostility:
    """Draw a history of twelve takes in which some of it happens."""
    rng = random.Random(f"hostile {seed}")
    settings = WorldSettings(
        seed=seed,
        concurrency=rng.randint(4, 12),
        generation=Span(low=0.5, high=rng.choice((2.0, 10.0))),
        latency=Span(low=0.02, high=0.3),
        sample_rate=SAMPLE_RATE,
        behaviour=Behaviour(duplicate_id="accept", query_visible_after=_LATE, list_visible_after=_LATE),
    )
    full = rng.random() < 0.25
    life = Life(end=End.DISK_FULL if full else End.ITSELF, at=float(rng.randint(60, 500)))
    return Hostility(
        history=History(
            seed=seed,
            manifest=manifest_of(f"hostile-{seed}", jobs(f"hostile-{seed}", 4, 3)),
            settings=settings,
            lives=(life,),
            concurrency=rng.choice((None, 4, 8)),
            writes_reports=True,
        ),
        spoilt=rng.choice((0.0, 0.05, 0.2)),
        deaf_from=rng.randint(0, 60) if rng.random() < 0.6 else None,
        poisoned=rng.randrange(TAKES),
        step=rng.randint(1, 60),
    )


class _Deaf:
    """Somebody who is told what happens, until the stream breaks."""

    def __init__(self, hostility: Hostility, rng: random.Random) -> None:
        self._left = hostility.deaf_from
        self._rng = rng

    def __call__(self, event: Event) -> None:
        del event
        if self._left is None:
            return
        if self._left == 0:
            raise self._rng.choice(_BROKEN)
        self._left -= 1


def play_hostile(hostility: Hostility) -> Record:
    """Play the hostile life, then runs in peace, to the end or to the first violation."""
    history = hostility.history
    record = Record(seed=history.seed, takes=len(history.manifest.takes))
    with workshop() as root:
        machine = machine_of(history, root)
        try:
            for violation in _violations(hostility, machine, record):
                record.violations.append(violation)
                break
        except Exception as error:  # noqa: BLE001 - whatever the program raises is what is looked for
            record.violations.append(f"{type(error).__name__}: {error}")
        record.log = machine.log
    return record


def _violations(hostility: Hostility, machine: Machine, record: Record) -> Iterator[str]:
    history, rng = hostility.history, random.Random(f"hostile life {hostility.history.seed}")
    truth = Truth(history, machine)
    poison = Poison(take=history.manifest.takes[hostility.poisoned], step=hostility.step)
    parts = Parts(way=partial(HostileWay, share=hostility.spoilt, chance=rng), watch=_Deaf(hostility, rng))
    with poison.applied():
        outcome = Program(machine, history, history.lives[0], number=0, parts=parts).live()
    record.faults = Counter({f"bug in {poison.struck}": 1} if poison.struck else {})
    yield from always(truth)
    yield from _reported(truth, outcome)
    if outcome is not None:
        yield from told(truth, outcome, history.manifest.takes)
        yield from _stayed(truth, outcome, poison)
    yield from in_peace(history, machine, record, SOUND)


def _reported(truth: Truth, outcome: Outcome | None) -> Iterator[str]:
    """See that there is a report of every take, unless the disk was too full to begin."""
    path = truth.machine.out() / "report.json"
    if not path.is_file():
        if outcome is not None or truth.posts():
            yield "there is no report"
        return
    if len(json.loads(path.read_text(encoding="utf-8"))["takes"]) != TAKES:
        yield "the report lacks takes"


def _stayed(truth: Truth, outcome: Outcome, poison: Poison) -> Iterator[str]:
    """See that the bug has ended its take alone, and that a full disk alone has stopped the run."""
    full = truth.history.lives[0].end is End.DISK_FULL
    if outcome.stopped is not None and not (full and isinstance(outcome.stopped, DiskUnusable)):
        yield f"the run was stopped: {outcome.stopped!r}"
    for each in outcome.result.takes:
        words = each.error.message if each.error else ""
        poisoned = bool(poison.struck) and each.take == poison.take
        if poisoned and each.status is Status.FAILED and "a bug in kling-batch" not in words:
            yield f"{each.take.key}, which met a bug, is said to have failed for another reason: {words}"
        if not poisoned and "a bug in kling-batch" in words:
            yield f"{each.take.key} has failed by a bug that was not its own: {words}"
        if not (poisoned or full or each.status is Status.SUCCEEDED or _led_nowhere(words)):
            yield f"{each.take.key} is {each.status}, and nothing befell it: {words}"


def _led_nowhere(words: str) -> bool:
    """Whether a sound is not delivered for where a spoilt answer says that it is."""
    return "Paid for and not delivered: the file's URL" in words
