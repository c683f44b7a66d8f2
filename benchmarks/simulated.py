"""(a) in virtual time: the shipped engine over the sandbox, on a clock that jumps from event to event.

So a case of an hour takes seconds, and neither the machine nor what else it does changes a figure; what is not in them
is the program's own computing, which `span` has. Every answer of the API takes `LATENCY_S`. Where nothing else is said,
the program knows that the account came to life with the run, so that only the work itself is measured.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import httpx

from benchmarks.baselines import Reach, jobs_of, poll_each
from benchmarks.service import Span, span_of, write_manifest
from kling_batch.api.project import load
from kling_batch.delivery.download import Downloader, file_client
from kling_batch.effects import no_probe
from kling_batch.events import Observer
from kling_batch.records.account import AccountMemory
from kling_batch.records.journal import Journal
from kling_batch.records.store import Store
from kling_batch.running.options import Options
from kling_batch.running.ports import Ports
from kling_batch.running.run import Stopper
from kling_batch.running.session import Session
from kling_batch.sandbox.settings import API_BASE_URL, SANDBOX_ACCESS_KEY, SANDBOX_SECRET_KEY, Callbacks, WorldSettings
from kling_batch.sandbox.settings import Span as Times
from kling_batch.sandbox.transport import SandboxTransport
from kling_batch.sandbox.world import World
from kling_batch.service.auth import Keys
from kling_batch.service.callbacks import Callback
from kling_batch.service.client import KlingService, api_client
from tests.chaos.virtual import EPOCH, Time, VirtualClock, run_virtual
from tests.quick_clips import quick_clip

LATENCY_S = 0.005
"""Seconds that an answer of the API takes, as from this machine."""
SIGMA = 0.4
"""The spread of log-normal generation times."""

P = ParamSpec("P")
T = TypeVar("T")
Client = Callable[["Bench"], Awaitable[object]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What is simulated. Times are seconds; `sigma` 0 is a fixed generation time.

    `lost` is the share of callbacks that never arrive; None has no callbacks. `signed` ones are believed.
    """

    takes: int
    slots: int
    median_s: float
    sigma: float = 0.0
    seed: int = 0
    lost: float | None = None
    signed: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """A world in virtual time, a folder with a manifest, and the state folder of the machine."""

    case: Case
    world: World
    clock: VirtualClock
    manifest: Path
    state: Path

    @property
    def transport(self) -> httpx.AsyncBaseTransport:
        """The way to the world."""
        return SandboxTransport(self.world, self.clock)

    @property
    def elsewhere(self) -> Bench:
        """Another folder of the same machine, with a manifest of one take."""
        folder = self.manifest.parent / "elsewhere"
        folder.mkdir()
        return replace(self, manifest=write_manifest(folder, 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """The world of a bench as a session takes it, and what the machine knows of the account."""

    bench: Bench
    memory: AccountMemory
    fingerprint: str
    uploads: None = None

    @asynccontextmanager
    async def open(self, journal: Journal, store: Store | None, observe: Observer) -> AsyncIterator[Ports]:
        """Open the clients of a run."""
        bench, keys = self.bench, Keys(access_key=SANDBOX_ACCESS_KEY, secret_key=SANDBOX_SECRET_KEY)
        http, files = api_client(API_BASE_URL, bench.transport), file_client(transport=bench.transport)
        rng = random.Random(bench.case.seed)  # noqa: S311 - jitter of waits
        url = None if bench.case.lost is None else "https://hooks.invalid"
        async with http, files, _told(bench) as callbacks:
            yield Ports(
                service=KlingService(http, keys.signer(bench.clock.time), callback_url=url),
                files=Downloader(files, clock=bench.clock, rng=rng),
                journal=journal,
                store=store,
                clock=bench.clock,
                rng=rng,
                offload=_here,
                probe=no_probe,
                observe=observe,
                callbacks=callbacks,
            )


@asynccontextmanager
async def _told(bench: Bench) -> AsyncIterator[asyncio.Queue[Callback] | None]:
    """Bring callbacks over, each within `LATENCY_S`."""
    if bench.case.lost is None:
        yield None
        return
    inbox: asyncio.Queue[Callback] = asyncio.Queue()

    async def bring() -> None:
        while True:
            await bench.clock.sleep(LATENCY_S)
            for callback in bench.world.news():
                inbox.put_nowait(Callback(fields=json.loads(callback.body), signed=bench.case.signed))

    bringing = asyncio.create_task(bring(), name="callbacks")
    yield inbox
    bringing.cancel()


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a client's run took: its span, and the seconds from its start to the end of its last task."""

    span: Span
    seconds: float


def simulate(case: Case, client: Client, *, before: Client | None = None) -> Found:
    """Let a client make every take of a case, after an earlier run or none, and compare its span with the oracle's."""
    time = Time()
    clock = VirtualClock(time)
    generation = Times.log_normal(case.median_s, case.sigma) if case.sigma else Times.fixed(case.median_s)
    settings = WorldSettings(
        concurrency=case.slots,
        generation=generation,
        queue=Times.fixed(0.0),
        latency=Times.fixed(LATENCY_S),
        seed=case.seed,
        sample_rate=8000,
        callbacks=Callbacks(lost=case.lost or 0.0),
    )
    world = World(settings, now=clock.time, synth=quick_clip)
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        manifest = write_manifest(Path(folder), case.takes)
        bench = Bench(case=case, world=world, clock=clock, manifest=manifest, state=Path(folder) / "state")
        if before is not None:
            run_virtual(time, _await(before(bench)))
        earlier, began = world.ledger.as_json(), clock.time()
        run_virtual(time, _await(client(bench)))
    books = _without(world.ledger.as_json(), earlier)
    return Found(
        span=span_of(books, slots=case.slots),
        seconds=max(task["ended_at"] for task in books["tasks"]) - began,
    )


def _without(books: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """Take out of the books what they held earlier."""
    known = {task["task_id"] for task in earlier["tasks"]}
    return {
        **books,
        "tasks": [task for task in books["tasks"] if task["task_id"] not in known],
        "api_requests": books["api_requests"] - earlier["api_requests"],
    }


async def _await(work: Awaitable[object]) -> None:
    await work


def _memory() -> str | None:
    """Name a folder in memory, where there is such a thing."""
    shared = Path("/dev/shm")  # noqa: S108 - each simulation makes a folder of its own in it
    return str(shared) if shared.is_dir() else None


def program(
    *, poll_interval_s: float, told: bool = True, empty_account: bool = True, select: str | None = None
) -> Client:
    """Run the program.

    Args:
        poll_interval_s: Least time between two polls.
        told: Whether it knows how many slots there are.
        empty_account: Whether it knows that the account holds nothing yet; else nobody but the state folder tells.
        select: Which takes are meant; None means all.
    """
    return partial(_run_program, poll_interval_s=poll_interval_s, told=told, empty_account=empty_account, select=select)


async def _run_program(
    bench: Bench, *, poll_interval_s: float, told: bool, empty_account: bool, select: str | None = None
) -> None:
    project = load(bench.manifest, out=bench.manifest.parent / "out")
    options = Options(
        out=project.out,
        lock_path=project.lock_path,
        select=(select,) if select else (),
        consented=True,
        concurrency=bench.case.slots if told else None,
        poll_interval_s=poll_interval_s,
        empty_account=empty_account,
    )
    access = Access(bench=bench, memory=AccountMemory(bench.state, "benchmark"), fingerprint="benchmark")
    session = Session(
        project=project,
        options=options,
        agree=lambda *_: None,
        access=lambda: access,
        nobody=access,
        open_journal=lambda out: Journal(out, now=EPOCH, threaded=False),
        report_to=lambda *_, **__: "",
        store=None,
    )
    with session.hold() as held:
        await held.execute(lambda _: None, Stopper())


async def _here(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    return function(*args, **kwargs)


def polling(*, interval_s: float, slots: int | None = None) -> Client:
    """Run the loop that people write from the documentation; `slots` None uses all there are."""

    async def work(bench: Bench) -> None:
        reach = Reach(
            url=API_BASE_URL,
            access_key=SANDBOX_ACCESS_KEY,
            secret_key=SANDBOX_SECRET_KEY,
            now=bench.clock.time,
            transport=bench.transport,
        )
        jobs = jobs_of(bench.manifest)
        await poll_each(jobs, bench.manifest.parent, reach, slots=slots or bench.case.slots, interval_s=interval_s)

    return work


def measure(name: str, case: Case, client: Client, *, repeats: int, before: Client | None = None) -> dict[str, Any]:
    """Simulate a case, each repeat with its own generation times. Gives medians."""
    seeds = range(repeats if case.sigma else 1)
    found = [simulate(replace(case, seed=seed), client, before=before) for seed in seeds]
    spans = [each.span for each in found]
    return {
        "client": name,
        "takes": case.takes,
        "slots": case.slots,
        "generation": f"{case.median_s:g} s {'log-normal' if case.sigma else 'fixed'}",
        "span_over_oracle": round(statistics.median(span.ratio for span in spans), 3),
        "requests_a_take": round(statistics.median(span.requests_a_take for span in spans), 2),
        "refusals": statistics.median(span.refusals for span in spans),
        "seconds": round(statistics.median(each.seconds for each in found), 1),
    }


def grid(*, quick: bool) -> list[dict[str, Any]]:
    """Measure every case with every client."""
    rows = []
    for median_s, poll_interval_s in ((2.0, 0.1), (20.0, 1.0)):
        clients = {
            f"kling-batch, --poll-interval {poll_interval_s:g}": program(poll_interval_s=poll_interval_s),
            "each task every 1 s": polling(interval_s=1.0),
            "each task every 5 s": polling(interval_s=5.0),
            "one at a time, every 1 s": polling(interval_s=1.0, slots=1),
        }
        for takes in (1, 100) if quick else (1, 100, 1000):
            for slots in (each for each in (1, 5, 20, 100) if each <= takes):
                for sigma in (0.0, SIGMA):
                    case = Case(takes=takes, slots=slots, median_s=median_s, sigma=sigma)
                    rows += [
                        measure(name, case, client, repeats=1 if takes > 100 else 3) for name, client in clients.items()
                    ]
    return rows


def must_show() -> list[dict[str, Any]]:
    """Measure the cases that the project promises something of, with more repeats."""
    ten = Case(takes=100, slots=10, median_s=2.0, sigma=SIGMA)
    ten_slow = Case(takes=100, slots=10, median_s=20.0, sigma=SIGMA)
    hundred = Case(takes=1000, slots=100, median_s=2.0, sigma=SIGMA)
    seven = Case(takes=100, slots=7, median_s=2.0, sigma=SIGMA)
    sixty = Case(takes=300, slots=60, median_s=2.0, sigma=SIGMA)
    fast, slow = replace(ten, sigma=0.0), replace(ten_slow, sigma=0.0)
    told, unlike = program(poll_interval_s=0.1), program(poll_interval_s=0.1, told=False)
    real = program(poll_interval_s=0.1, empty_account=False)
    one = program(poll_interval_s=0.1, empty_account=False, select="s000000")

    def elsewhere(bench: Bench) -> Awaitable[object]:
        return one(bench.elsewhere)

    return [
        measure("told", ten, told, repeats=15),
        measure("told, first run on an account", ten, real, repeats=15),
        measure("told, fresh folder on a known account", ten, real, repeats=15, before=elsewhere),
        measure("told, new takes in a folder at work just now", ten, real, repeats=15, before=one),
        measure("told, --poll-interval 0.1", ten_slow, told, repeats=15),
        measure("told, --poll-interval 1", ten_slow, program(poll_interval_s=1.0), repeats=15),
        measure("told", hundred, told, repeats=5),
        measure("told", seven, told, repeats=15),
        measure("auto", seven, unlike, repeats=15),
        measure("told", sixty, told, repeats=9),
        measure("auto", sixty, unlike, repeats=9),
        *(
            measure(f"callbacks, {words}", replace(case, lost=lost, signed=signed), told, repeats=9)
            for case in (fast, ten, slow, ten_slow)
            for words, lost, signed in (("signed", 0.0, True), ("unsigned", 0.0, False), ("20 % lost", 0.2, True))
        ),
    ]


def simulated(*, quick: bool) -> list[dict[str, Any]]:
    """Give the rows of this part."""
    return must_show() if quick else [*must_show(), *grid(quick=False)]
