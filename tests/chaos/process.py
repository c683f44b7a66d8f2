"""One life of the program: the shipped engine, journal, client and files over a sandbox, until it ends or is killed."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import httpx

from kling_batch.delivery.walkers import LoopWalker, file_client
from kling_batch.effects import Probe
from kling_batch.errors import DiskUnusable, Interrupted
from kling_batch.model import Manifest
from kling_batch.planning.plan import make_plan
from kling_batch.records.journal import Journal, _Write
from kling_batch.records.layout import sqlite_border
from kling_batch.records.lock import read_lock
from kling_batch.records.looking import read_snapshot
from kling_batch.records.rows import Statement
from kling_batch.records.state import gather
from kling_batch.records.store import FolderStore
from kling_batch.running.ports import Options, Ports
from kling_batch.running.run import Outcome, Stopper, run
from kling_batch.sandbox.settings import API_BASE_URL, SANDBOX_ACCESS_KEY, SANDBOX_SECRET_KEY, Span
from kling_batch.sandbox.transport import SandboxTransport
from kling_batch.sandbox.wire import Request
from kling_batch.sandbox.world import World
from kling_batch.service.auth import Keys
from kling_batch.service.client import KlingService, api_client
from tests.chaos.history import End, History, Kept, Life
from tests.chaos.virtual import Time, VirtualClock, run_virtual

P = ParamSpec("P")
T = TypeVar("T")

_KEYS = Keys(access_key=SANDBOX_ACCESS_KEY, secret_key=SANDBOX_SECRET_KEY)
_ARRIVES_ANYWAY = 0.5
"""Share of the calls on their way at a kill that still reach the service."""


class Killed(KeyboardInterrupt):
    """The process is gone. Derived so that it leaves the event loop at once, past every handler."""


class Body:
    """What can be killed: counts the effects, and does none after its death."""

    def __init__(self, life: Life, *, at_death: Callable[[], None], tell: Callable[[str], None]) -> None:
        self.effects = 0
        self.dead = False
        self._life = life
        self._at_death = at_death
        self._tell = tell

    def probe(self, effect: str) -> None:
        """See `kling_batch.effects.Probe`."""
        self.check()
        self.effects += 1
        self._tell(effect)
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
    if effect in {"partial open", "partial write", "partial note", "fsync file", "store write", "lock write"}:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass(slots=True)
class Machine:
    """What outlives the program: its disk, the time, the service, and the calls that are on their way to it.

    `effects` counts those of each life, `kills` the lives that were cut off.
    """

    root: Path
    time: Time
    world: World
    log: list[str] = field(default_factory=list)
    on_the_way: list[tuple[float, Request]] = field(default_factory=list)
    effects: list[int] = field(default_factory=list)
    kills: int = 0

    @property
    def home(self) -> Path:
        """Where the program works."""
        return self.root / "home"

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.home / "out"

    @property
    def lock_path(self) -> Path:
        """The lock."""
        return self.home / "chaos.yaml.lock"

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

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._body.check()
        seconds = self._history.way_s.draw(self._rng)
        lost = request.method == "POST" and self._rng.random() < self._history.lingering
        if lost:
            seconds += self._rng.uniform(0.5, 1.9) * self._history.settle_time_s
        await self._travel(request, min(seconds, 58.0))
        response = await self._inner.handle_async_request(request)
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

    def leave_all_behind(self) -> None:
        """Decide which calls of a dead program still arrive."""
        for at, request in self._under_way.values():
            self._leave_behind(at, request)

    def _leave_behind(self, at: float, request: Request) -> None:
        """Let a call whose sender is gone arrive, perhaps: a quarter of the settle time later at most."""
        if request.method == "POST" and self._rng.random() < _ARRIVES_ANYWAY:
            latest = self._machine.time.now + self._history.settle_time_s / 4
            self._machine.on_the_way.append((min(at, latest), request))


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
        super().__init__(out, now=now, service="simulation", probe=probe, threaded=False)
        self._delay_s = delay_s
        self._waiting: list[_Write] = []

    async def _write(self, statements: list[Statement]) -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._waiting.append(_Write(tuple(statements), done, loop))
        if len(self._waiting) == 1:
            loop.call_later(self._delay_s(), self._flush)
        with sqlite_border(self.path):
            await done

    def _flush(self) -> None:
        group, self._waiting = self._waiting, []
        self._write_group(group)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """How to make the parts of the program that a mutation breaks."""

    journal: Callable[..., LateJournal] = LateJournal
    service: Callable[..., KlingService] = KlingService


SOUND = Parts()


def live(machine: Machine, history: History, life: Life, *, number: int, parts: Parts = SOUND) -> Outcome | None:
    """Start the program and let it live; None if it was killed, or could not even keep its journal."""
    machine.tell(f"life {number}: {life.end} at {life.at:g}")
    rng = random.Random(f"life {history.seed} {number}")
    body = Body(life, at_death=lambda: _photograph(machine), tell=machine.tell)
    way = Way(machine, body, history, rng)
    try:
        with _journal(machine, history, body, rng, parts) as journal:
            return run_virtual(machine.time, _main(machine, history, life, body, journal, way, rng, parts))
    except Killed:
        return None
    except DiskUnusable as error:
        machine.tell(f"ended: {error.message}")
        if life.end is not End.DISK_FULL:
            raise
        return None
    finally:
        machine.effects.append(body.effects)
        if body.dead:
            machine.kills += 1
            way.leave_all_behind()
            _wake_from_photograph(machine, life, rng)
            machine.tell("killed")


@contextmanager
def _journal(machine: Machine, history: History, body: Body, rng: random.Random, parts: Parts) -> Iterator[LateJournal]:
    journal = parts.journal(
        machine.out, now=machine.clock.time(), probe=body.probe, delay_s=lambda: history.commit_s.draw(rng)
    )
    try:
        yield journal
    finally:
        journal.close()


async def _main(
    machine: Machine,
    history: History,
    life: Life,
    body: Body,
    journal: Journal,
    way: Way,
    rng: random.Random,
    parts: Parts,
) -> Outcome:
    """Do what the command line does: read the lock, plan, run."""
    _schedule(machine, life, body)
    http, files = api_client(API_BASE_URL, way), file_client(transport=way)
    offload = partial(_offload, machine.clock, Span(low=0.0, high=0.03), rng)
    ports = Ports(
        service=parts.service(http, _KEYS.signer(machine.clock.time), probe=body.probe),
        files=LoopWalker(files, machine.clock, offload),
        journal=journal,
        store=FolderStore(machine.home / "store", namespace="sandbox", probe=body.probe),
        clock=machine.clock,
        rng=rng,
        offload=offload,
        probe=body.probe,
        observe=lambda event: machine.tell(repr(event)),
    )
    async with http, files:
        return await _start(history.manifest, life, machine, ports, _options(machine, history, life))


async def _start(manifest: Manifest, life: Life, machine: Machine, ports: Ports, options: Options) -> Outcome:
    """Plan from what is on the disk, and run the plan."""
    lock = read_lock(machine.lock_path, project=manifest.project)
    takes = life.selected(manifest.takes)
    facts = gather(takes, read_snapshot(machine.out), lock, machine.out)
    plan = make_plan(facts, lock, retries=options.retries, wanted=(take.key for take in manifest.takes))
    everything = takes == manifest.takes
    stopper = _stopper(life)
    return await run(manifest, plan, lock, ports=ports, options=options, everything=everything, stopper=stopper)


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
        out=machine.out,
        lock_path=machine.lock_path,
        concurrency=history.concurrency,
        max_units=history.max_units,
        poll_interval_s=history.poll_interval_s,
        settle_time_s=history.settle_time_s,
        hold_unclear=history.hold_unclear,
        retries=history.retries,
        deadline_s=life.at if life.end is End.DEADLINE else None,
        patience_s=history.patience_s,
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


def _photograph(machine: Machine) -> None:
    """Copy the disk as it is at the instant of death: what the dying program does afterwards never happened."""
    shutil.copytree(machine.home, machine.root / "photograph", symlinks=True)


def _wake_from_photograph(machine: Machine, life: Life, rng: random.Random) -> None:
    shutil.rmtree(machine.home)
    (machine.root / "photograph").rename(machine.home)
    if life.power_cut:
        _cut_power(machine, rng)


def _cut_power(machine: Machine, rng: random.Random) -> None:
    """Tear what nobody has asked the disk to make last: partial files, and copies in the store."""
    torn = [*machine.out.glob(".kling-batch/partial/*.wav"), *machine.out.glob(".kling-batch/partial/*.mp3")]
    for path in sorted([*torn, *machine.home.glob("store/*/sha256/*/*")]):
        note = path.with_name(path.name + ".etag")
        lasting = int(note.read_text().split("\n")[1]) if note.is_file() else 0
        size = path.stat().st_size
        if rng.random() < 0.5 or size <= lasting:
            continue
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.truncate(rng.randint(lasting, size))
            file.truncate(size if rng.random() < 0.5 else file.seek(0, 2))


def forget(machine: Machine, kept: Kept) -> None:
    """Delete what the next life does not find."""
    if kept is Kept.ALL:
        return
    machine.tell(f"kept: {kept}")
    if kept is Kept.LOCK_AND_FILES:
        shutil.rmtree(machine.out / ".kling-batch", ignore_errors=True)
    else:
        shutil.rmtree(machine.out, ignore_errors=True)
    if kept in {Kept.NOTHING, Kept.LOCK, Kept.LOCK_AND_FILES}:
        shutil.rmtree(machine.home / "store", ignore_errors=True)
    if kept in {Kept.NOTHING, Kept.STORE}:
        machine.lock_path.unlink(missing_ok=True)
