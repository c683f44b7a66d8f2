"""One life of the program: the shipped engine, journal, client and files over a sandbox, until it ends or is killed."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import httpx

from kling_batch.delivery.download import Downloader, file_client
from kling_batch.effects import Probe
from kling_batch.errors import BudgetStop, DiskUnusable, FolderHeld, Interrupted, NotFinished, UsageError
from kling_batch.events import Event, Observer
from kling_batch.model import RunResult
from kling_batch.planning.project import Project
from kling_batch.records.account import AccountMemory
from kling_batch.records.journal import Journal, Statement
from kling_batch.records.layout import sqlite_border
from kling_batch.records.lock import Lock, LockEntry, read_lock, update_lock
from kling_batch.records.store import FolderStore, Store
from kling_batch.report import write_reports
from kling_batch.running.options import Options
from kling_batch.running.ports import Ports
from kling_batch.running.run import Outcome, Stopper
from kling_batch.running.session import Session
from kling_batch.sandbox.callbacks import Callback as Told
from kling_batch.sandbox.callbacks import signature
from kling_batch.sandbox.kinds import SPEECH, VOICE
from kling_batch.sandbox.settings import API_BASE_URL, SANDBOX_ACCESS_KEY, SANDBOX_SECRET_KEY, Span
from kling_batch.sandbox.transport import SandboxTransport
from kling_batch.sandbox.wire import Request
from kling_batch.sandbox.world import World
from kling_batch.service.auth import Keys
from kling_batch.service.callbacks import Callback
from kling_batch.service.client import KlingService, api_client
from tests.chaos.history import End, History, Kept, Life, Place
from tests.chaos.speech import SpeechBook
from tests.chaos.virtual import EPOCH, Time, VirtualClock, run_virtual

P = ParamSpec("P")
T = TypeVar("T")

_KEYS = Keys(access_key=SANDBOX_ACCESS_KEY, secret_key=SANDBOX_SECRET_KEY)
_ARRIVES_ANYWAY = 0.5
"""Share of the calls on their way at a kill that still reach the service."""


class Killed(KeyboardInterrupt):
    """The process is gone. Derived so that it leaves the event loop at once, past every handler."""


class Body:
    """What can be killed: counts the effects, and does none after its death.

    `beside` is what others do at the same instant, by the number of the effect.
    """

    def __init__(
        self,
        life: Life,
        *,
        at_death: Callable[[], None],
        tell: Callable[[str], None],
        beside: Mapping[int, Callable[[str], None]] | None = None,
    ) -> None:
        self._beside = beside or {}
        self.effects = 0
        self.dead = False
        self.has_rights = life.rights
        self._life = life
        self._at_death = at_death
        self._tell = tell

    def probe(self, effect: str) -> None:
        """See `kling_batch.effects.Probe`."""
        self.check()
        self.effects += 1
        self._tell(effect)
        if (act := self._beside.get(self.effects)) is not None:
            act(effect)
        if self._life.end is End.EFFECT and self.effects == self._life.at:
            self.die()
        if self._life.end is End.DISK_FULL and self.effects >= self._life.at:
            _refuse_write(effect)

    def check(self) -> None:
        """Do nothing more after death."""
        if self.dead:
            raise Killed

    def die(self) -> None:
        """End, here and now."""
        self.dead = True
        self._at_death()
        raise Killed


def _refuse_write(effect: str) -> None:
    """Refuse what a full disk refuses, in the words of whoever would have written."""
    if effect == "journal commit":
        raise sqlite3.OperationalError("database or disk is full")
    if effect in {
        "partial open",
        "partial write",
        "partial note",
        "fsync file",
        "store write",
        "lock write",
        "finish write",
    }:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass(slots=True)
class Machine:
    """What outlives the program: its disk, the time, the service, and the calls that are on their way to it.

    `effects` counts those of each life, `kills` the lives that were cut off, `intrusions` how often a second program
    got into a folder that was held. `colleague` is where somebody put an entry into the lock. `speech` is what came of
    calls whose answer is the result, `unlicensed` counts the voices asked for without rights. `places` are those where
    a program lived, and `forgotten` counts how often one lost what it knew.
    """

    root: Path
    time: Time
    world: World
    log: list[str] = field(default_factory=list)
    on_the_way: list[tuple[float, Request]] = field(default_factory=list)
    effects: list[int] = field(default_factory=list)
    kills: int = 0
    intrusions: int = 0
    colleague: Place | None = None
    speech: SpeechBook = field(default_factory=SpeechBook)
    unlicensed: int = 0
    places: set[Place] = field(default_factory=set)
    forgotten: int = 0

    @property
    def journals(self) -> int:
        """How many journals began without knowing what others have sent."""
        return len(self.places) + self.forgotten

    def home(self, place: Place) -> Path:
        """Where the program works: a disk of its own for each machine."""
        return self.root / ("elsewhere" if place is Place.MACHINE else "home")

    def out(self, place: Place = Place.FOLDER) -> Path:
        """The output folder."""
        return self.home(place) / ("out-2" if place is Place.SECOND_FOLDER else "out")

    def lock_path(self, place: Place = Place.FOLDER) -> Path:
        """The lock: two folders of a machine share it."""
        return self.home(place) / "chaos.yaml.lock"

    @property
    def clock(self) -> VirtualClock:
        """Its clock."""
        return VirtualClock(self.time)

    def tell(self, words: str) -> None:
        """Write a line of the log."""
        self.log.append(f"{self.time.now:.6f} {words}".replace(str(self.root), "ROOT"))

    def pass_time(self, seconds: float) -> None:
        """Let time pass while the program is not running: what is on its way to the service arrives."""
        until = self.time.now + seconds
        for at, request in sorted(self.on_the_way, key=lambda each: each[0]):
            if at <= until:
                self.time.now = max(self.time.now, at)
                self.arrive(request)
                self.on_the_way.remove((at, request))
        self.time.now = until

    def arrive(self, request: Request) -> None:
        """Have a dead program's call reach the service."""
        self.tell(f"late arrival {request.method} {request.path}")
        self.world.handle(request)


class Way(httpx.AsyncBaseTransport):
    """The network: a call takes its time to the service, and may arrive although its sender is gone."""

    def __init__(self, machine: Machine, body: Body, history: History, rng: random.Random) -> None:
        self._inner = SandboxTransport(machine.world, machine.clock)
        self._machine = machine
        self._body = body
        self._history = history
        self._rng = rng
        self._under_way: dict[int, tuple[float, Request]] = {}
        self.inbox: asyncio.Queue[Callback] | None = asyncio.Queue() if history.calls_back else None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._body.check()
        if request.method == "POST" and request.url.path == VOICE.path and not self._body.has_rights:
            self._machine.unlicensed += 1
        if request.method == "POST" and request.url.path == SPEECH.path:
            return await self._machine.speech.noted(request, self._there_and_back)
        return await self._there_and_back(request)

    async def _there_and_back(self, request: httpx.Request) -> httpx.Response:
        seconds = self._history.way_s.draw(self._rng)
        lost = request.method == "POST" and self._rng.random() < self._history.lingering
        if lost:
            seconds += self._rng.uniform(0.5, 1.9) * self._history.settle_time_s
        await self._travel(request, min(seconds, 58.0))
        response = await self._inner.handle_async_request(request)
        self.await_news()
        if lost:
            raise httpx.ReadError("the answer came too late", request=request)
        self._machine.tell(f"{request.method} {request.url.path} -> {response.status_code}")
        return response

    async def _travel(self, request: httpx.Request, seconds: float) -> None:
        mark = id(request)
        self._under_way[mark] = (self._machine.time.now + seconds, _as_sandbox(request))
        try:
            await self._machine.clock.sleep(seconds)
            self._body.check()
        except asyncio.CancelledError:
            self._leave_behind(*self._under_way[mark])
            raise
        finally:
            if not self._body.dead:
                del self._under_way[mark]

    def await_news(self) -> None:
        """Have the service's callbacks come in when they are due."""
        if self.inbox is not None and (at := self._machine.world.next_news_at) is not None:
            asyncio.get_running_loop().call_at(at - EPOCH, self._take_news, self.inbox)

    def _take_news(self, inbox: asyncio.Queue[Callback]) -> None:
        secrets = self._history.settings.callbacks.secrets
        for told in [] if self._body.dead else self._machine.world.news():
            callback = Callback(fields=json.loads(told.body), signed=_is_signed(told, secrets))
            self._machine.tell(f"callback {'signed' if callback.signed else 'unsigned'}")
            inbox.put_nowait(callback)
            self.await_news()

    def leave_all_behind(self) -> None:
        """Decide which calls of a dead program still arrive."""
        for at, request in self._under_way.values():
            self._leave_behind(at, request)

    def _leave_behind(self, at: float, request: Request) -> None:
        """Let a call whose sender is gone arrive, perhaps: a quarter of the settle time later at most."""
        if request.method == "POST" and self._rng.random() < _ARRIVES_ANYWAY:
            latest = self._machine.time.now + self._history.settle_time_s / 4
            self._machine.on_the_way.append((min(at, latest), request))


def _is_signed(told: Told, secrets: tuple[str, ...]) -> bool:
    """Whether the service has signed what it tells."""
    name, sent_at = told.headers.get("webhook-id", ""), told.headers.get("webhook-timestamp", "0")
    given = told.headers.get("webhook-signature", "").split(" ")
    return any(signature(secret, name, int(sent_at), told.body) in given for secret in secrets)


def _as_sandbox(request: httpx.Request) -> Request:
    return Request(
        method=request.method,
        path=request.url.path,
        query=dict(request.url.params),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.content,
    )


class LateJournal(Journal):
    """The journal with its writer a moment behind, as its thread is, but in virtual time."""

    def __init__(self, out: Path, *, now: float, probe: Probe, delay_s: Callable[[], float]) -> None:
        super().__init__(out, now=now, probe=probe, threaded=False)
        self._delay_s = delay_s
        self._late: list[tuple[Iterable[Statement], asyncio.Future[None]]] = []

    async def _write(self, statements: Iterable[Statement]) -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._late.append((statements, done))
        if len(self._late) == 1:
            loop.call_later(self._delay_s(), self._flush)
        with sqlite_border(self.path):
            await done

    def _flush(self) -> None:
        group, self._late = self._late, []
        error: sqlite3.Error | None = None
        try:
            self._commit(statement for statements, _ in group for statement in statements)
        except sqlite3.Error as caught:
            error = caught
        for _, done in group:
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """How to make what a mutation breaks, and what breaks by itself: parts of the program, and what is around it."""

    journal: Callable[..., LateJournal] = LateJournal
    service: Callable[..., KlingService] = KlingService
    way: Callable[..., Way] = Way
    watch: Observer = lambda _: None
    """Is told of every event, and may break."""


SOUND = Parts()
COLLEAGUE = "kb-colleague"
"""The external id of an entry that somebody else puts into the lock while the program runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Way:
    """The program's way to the service, over virtual time: see `kling_batch.running.ports.Access`."""

    machine: Machine
    history: History
    life: Life
    body: Body
    way: Way
    rng: random.Random
    parts: Parts
    fingerprint: str = "simulation"
    uploads: None = None

    @property
    def memory(self) -> AccountMemory:
        """What the machine knows of the account."""
        return AccountMemory(self.machine.home(self.life.place) / "state", self.fingerprint)

    @asynccontextmanager
    async def open(self, journal: Journal, store: Store | None, observe: Observer) -> AsyncIterator[Ports]:
        """Open the clients of a run."""
        machine = self.machine
        http, files = api_client(API_BASE_URL, self.way), file_client(transport=self.way)
        offload = partial(_offload, machine.clock, Span(low=0.0, high=0.03), self.rng)
        async with http, files:
            yield Ports(
                service=self.parts.service(
                    http, _KEYS.signer(machine.clock.time), callback_url=self._callback_url, probe=self.body.probe
                ),
                files=Downloader(files, clock=machine.clock, rng=self.rng, probe=self.body.probe),
                journal=journal,
                store=store,
                clock=machine.clock,
                rng=self.rng,
                offload=offload,
                probe=self.body.probe,
                observe=observe,
                callbacks=self.way.inbox,
            )

    @property
    def _callback_url(self) -> str | None:
        return None if self.way.inbox is None else "https://hooks.invalid/kling"


class Program:
    """One start of the program, on one machine, in one folder: it may be asked long before it is told yes."""

    def __init__(
        self, machine: Machine, history: History, life: Life, *, number: int, parts: Parts, later: Program | None = None
    ) -> None:
        self.life = life
        self._machine = machine
        self._number = number
        self._history = history
        self._rng = random.Random(f"life {history.seed} {number}")
        self._body = Body(life, at_death=self._photograph, tell=machine.tell, beside=self._others(later))
        self._watch = parts.watch
        self._way = parts.way(machine, self._body, history, self._rng)
        access = _Way(
            machine=machine,
            history=history,
            life=life,
            body=self._body,
            way=self._way,
            rng=self._rng,
            parts=parts,
            fingerprint="rotated" if life.rotated else "simulation",
        )
        self.session = Session(
            project=_project(machine, history, life),
            options=_options(machine, history, life),
            agree=lambda plan, _: machine.tell(f"agreed to {plan.units} units"),
            access=lambda: access,
            nobody=replace(access, fingerprint=""),
            open_journal=lambda out: parts.journal(
                out, now=machine.clock.time(), probe=self._body.probe, delay_s=lambda: history.commit_s.draw(self._rng)
            ),
            report_to=self._report,
            store=FolderStore(machine.home(life.place) / "store", namespace="sandbox", probe=self._body.probe),
        )

    def _others(self, later: Program | None) -> dict[int, Callable[[str], None]]:
        """Say what others do while this program is alive, at which of its effects."""
        acts: dict[int, Callable[[str], None]] = {}
        if self.life.colleague_at is not None:
            acts[self.life.colleague_at] = self._put_a_colleagues_entry
        if later is not None and later.life.asked_at is not None:
            acts[later.life.asked_at] = later.ask
        return acts

    def _put_a_colleagues_entry(self, effect: str) -> None:
        """Add an entry to the lock, as `pick` or a pull does. Not while the program itself writes to it."""
        if not effect.startswith("lock"):
            self._machine.tell("a colleague's entry")
            path = self._machine.lock_path(self.life.place)
            update_lock(path, self._history.manifest.project, _with_colleague)
            self._machine.colleague = self.life.place

    def ask(self, effect: str) -> None:
        """Make the plan and ask, while somebody else works in the folder; and find that it is held."""
        if effect.startswith("lock"):
            return
        self._machine.tell(f"life {self._number} is asked")
        with self._unlicensed():
            self.session.consent()
        if self._history.intrudes:
            with suppress(FolderHeld):
                Journal(self._machine.out(self.life.place), now=0.0, threaded=False).close()
                self._machine.intrusions += 1

    def _report(self, result: RunResult, out: Path, *, last: str | None) -> str:
        if not self._history.writes_reports:
            return ""
        return write_reports(replace(result, place=()), out, last=last)

    def live(self) -> Outcome | None:
        """Hold the folder, plan, and work; None if it was killed, or could not even keep its journal."""
        machine, life = self._machine, self.life
        machine.tell(f"life {self._number} in {life.place}: {life.end} at {life.at:g}")
        machine.places.add(life.place)
        try:
            with self._unlicensed(), self.session.hold() as held:
                return run_virtual(machine.time, self._main(held))
        except Killed:
            pass
        except (UsageError, NotFinished, Interrupted) as error:
            machine.tell(f"ended: {error.message}")
            strange = any(each.rotated for each in self._history.lives)
            if not strange and not (isinstance(error, DiskUnusable) and life.end is End.DISK_FULL):
                raise
        finally:
            machine.effects.append(self._body.effects)
            if self._body.dead:
                machine.kills += 1
                self._way.leave_all_behind()
                self._wake_from_photograph()
                machine.tell("killed")
        return None

    @contextmanager
    def _unlicensed(self) -> Iterator[None]:
        """Have a life be refused as a whole that would clone voices and was not told who agrees."""
        try:
            yield
        except BudgetStop as error:
            if self.life.rights:
                raise
            self._machine.tell(f"ended: {error.message}")

    async def _main(self, held: Session) -> Outcome:
        _schedule(self._machine, self.life, self._body)
        outcome = await held.execute(self._observe, _stopper(self.life))
        await held.report(outcome)
        return outcome

    def _observe(self, event: Event) -> None:
        self._machine.tell(repr(event))
        self._watch(event)

    def _photograph(self) -> None:
        """Copy the disk as it is at the instant of death: what the dying program does afterwards never happened."""
        shutil.copytree(self._machine.home(self.life.place), self._machine.root / "photograph", symlinks=True)

    def _wake_from_photograph(self) -> None:
        home = self._machine.home(self.life.place)
        shutil.rmtree(home)
        (self._machine.root / "photograph").rename(home)
        if self.life.power_cut:
            _cut_power(self._machine, self.life.place, self._rng)


def _with_colleague(lock: Lock) -> Lock:
    """Add an entry of a job that this manifest does not have."""
    entry = LockEntry(
        job_id="colleague",
        take=1,
        edition=1,
        attempt=1,
        kind="text-to-audio",
        external_id=COLLEAGUE,
        task_id="1",
        units=Decimal(0),
        request={"prompt": "A colleague's", "duration": 3.0},
        files=(),
    )
    return replace(lock, entries={**lock.entries, entry.key: entry})


def _project(machine: Machine, history: History, life: Life) -> Project:
    lock_path = machine.lock_path(life.place)
    project = history.manifest.project
    return Project(
        manifest=history.manifest,
        out=machine.out(life.place),
        lock_path=lock_path,
        lock=read_lock(lock_path, project=project),
        sandbox=False,
    )


def _schedule(machine: Machine, life: Life, body: Body) -> None:
    loop = asyncio.get_running_loop()
    if life.end is End.MOMENT:
        loop.call_later(life.at, body.die)
    for at, request in sorted(machine.on_the_way, key=lambda each: each[0]):
        loop.call_at(at, machine.arrive, request)
    machine.on_the_way.clear()


def _stopper(life: Life) -> Stopper:
    stopper = Stopper()
    if life.end is End.SIGNAL:
        asyncio.get_running_loop().call_later(life.at, stopper.stop, Interrupted("Interrupted."))
    return stopper


def _options(machine: Machine, history: History, life: Life) -> Options:
    return Options(
        out=machine.out(life.place),
        lock_path=machine.lock_path(life.place),
        select=life.selected(history.manifest),
        consented=life.asked_at is None,
        unproven=history.unproven,
        concurrency=history.concurrency,
        max_total_units=history.max_units,
        poll_interval_s=history.poll_interval_s,
        settle_time_s=history.settle_time_s,
        hold_unclear=history.hold_unclear,
        retries=history.retries,
        deadline_s=life.at if life.end is End.DEADLINE else None,
        patience_s=history.patience_s,
        voice_rights="their owner" if life.rights else None,
        keep_sources=history.keeps_sources,
    )


def _offload(
    clock: VirtualClock,
    takes_s: Span,
    rng: random.Random,
    function: Callable[P, T],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> Awaitable[T]:
    """Run a slow function as a thread would: its effect comes a moment later."""

    async def later() -> T:
        await clock.sleep(takes_s.draw(rng))
        return function(*args, **kwargs)

    return later()


def _cut_power(machine: Machine, place: Place, rng: random.Random) -> None:
    """Tear what nobody has asked the disk to make last: partial files, and copies in the store."""
    partials = machine.out(place) / ".kling-batch" / "partial"
    torn = [path for ending in ("wav", "mp3", "mp4", "flac", "ogg") for path in partials.glob(f"*.{ending}")]
    for path in sorted([*torn, *machine.home(place).glob("store/*/sha256/*/*")]):
        note = path.with_name(path.name + ".etag")
        lasting = int(note.read_text().split("\n")[1]) if note.is_file() else 0
        size = path.stat().st_size
        if rng.random() < 0.5 or size <= lasting:
            continue
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.truncate(rng.randint(lasting, size))
            file.truncate(size if rng.random() < 0.5 else file.seek(0, 2))


def back_up(machine: Machine, place: Place) -> None:
    """Keep a copy of an output folder, as a CI cache does."""
    backup = machine.root / "backup"
    shutil.rmtree(backup, ignore_errors=True)
    if machine.out(place).is_dir():
        shutil.copytree(machine.out(place), backup, symlinks=True)


def forget(machine: Machine, kept: Kept, place: Place = Place.FOLDER) -> None:
    """Delete what the next life does not find, or put back what was there before this one."""
    if kept is Kept.ALL:
        return
    machine.tell(f"kept: {kept}")
    machine.forgotten += 1
    out = machine.out(place)
    if kept is Kept.WITHOUT_LOG:
        for path in (out / ".kling-batch").glob("journal.sqlite3-*"):
            path.unlink()
        return
    shutil.rmtree(out / ".kling-batch" if kept is Kept.LOCK_AND_FILES else out, ignore_errors=True)
    if kept is Kept.OLDER and (machine.root / "backup").is_dir():
        shutil.copytree(machine.root / "backup", out, symlinks=True)
    if kept in {Kept.NOTHING, Kept.LOCK, Kept.LOCK_AND_FILES}:
        shutil.rmtree(machine.home(place) / "store", ignore_errors=True)
    if kept in {Kept.NOTHING, Kept.STORE}:
        machine.lock_path(place).unlink(missing_ok=True)
    if kept is Kept.NOTHING:
        shutil.rmtree(machine.home(place) / "state", ignore_errors=True)
