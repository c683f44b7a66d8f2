"""(a) in virtual time: the shipped engine over the sandbox, on a clock that jumps from event to event.

So a case of an hour takes seconds, and neither the machine nor what else it does changes a figure; what is not in them
is the program's own computing, which `span` has. Every answer of the API takes `LATENCY_S`.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import httpx

from benchmarks.baselines import Reach, jobs_of, poll_each
from benchmarks.service import Span, span_of, write_manifest
from kling_batch.delivery.walkers import LoopWalker, file_client
from kling_batch.effects import no_probe
from kling_batch.manifest import load
from kling_batch.planning.plan import make_plan
from kling_batch.records.journal import Journal
from kling_batch.records.lock import Lock
from kling_batch.records.looking import read_snapshot
from kling_batch.records.state import gather
from kling_batch.running.ports import Options, Ports
from kling_batch.running.run import run
from kling_batch.sandbox.quick import quick_clip
from kling_batch.sandbox.settings import API_BASE_URL, SANDBOX_ACCESS_KEY, SANDBOX_SECRET_KEY, WorldSettings
from kling_batch.sandbox.settings import Span as Times
from kling_batch.sandbox.transport import SandboxTransport
from kling_batch.sandbox.world import World
from kling_batch.service.auth import Keys
from kling_batch.service.client import KlingService, api_client
from tests.chaos.virtual import EPOCH, Time, VirtualClock, run_virtual

LATENCY_S = 0.005
"""Seconds that an answer of the API takes, as from this machine."""
SIGMA = 0.4
"""The spread of log-normal generation times."""

P = ParamSpec("P")
T = TypeVar("T")
Client = Callable[["Bench"], Awaitable[object]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What is simulated. Times are seconds; `sigma` 0 is a fixed generation time."""

    takes: int
    slots: int
    median_s: float
    sigma: float = 0.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """A world in virtual time, and a folder with a manifest."""

    case: Case
    world: World
    clock: VirtualClock
    manifest: Path

    @property
    def transport(self) -> httpx.AsyncBaseTransport:
        """The way to the world."""
        return SandboxTransport(self.world, self.clock)


def simulate(case: Case, client: Client) -> Span:
    """Let a client make every take of a case, and compare its span with the oracle's."""
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
    )
    world = World(settings, now=clock.time, synth=quick_clip)
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        manifest = write_manifest(Path(folder), case.takes)
        run_virtual(time, _await(client(Bench(case=case, world=world, clock=clock, manifest=manifest))))
    return span_of(world.ledger.as_json(), slots=case.slots)


async def _await(work: Awaitable[object]) -> None:
    await work


def _memory() -> str | None:
    """Name a folder in memory, where there is such a thing."""
    shared = Path("/dev/shm")  # noqa: S108 - each simulation makes a folder of its own in it
    return str(shared) if shared.is_dir() else None


def program(*, poll_interval_s: float, told: bool = True) -> Client:
    """Run the program; `told` is whether it knows how many slots there are."""
    return partial(_run_program, poll_interval_s=poll_interval_s, told=told)


async def _run_program(bench: Bench, *, poll_interval_s: float, told: bool) -> None:
    out = bench.manifest.parent / "out"
    manifest = load(bench.manifest)
    lock = Lock(project=manifest.project)
    plan = make_plan(
        gather(manifest.takes, read_snapshot(out), lock, out),
        lock,
        retries=0,
        wanted=(take.key for take in manifest.takes),
    )
    options = Options(
        out=out,
        lock_path=bench.manifest.with_suffix(".lock"),
        concurrency=bench.case.slots if told else None,
        poll_interval_s=poll_interval_s,
        newborn=True,
    )
    keys = Keys(access_key=SANDBOX_ACCESS_KEY, secret_key=SANDBOX_SECRET_KEY)
    journal = Journal(out, now=EPOCH, service="benchmark", threaded=False)
    http, files = api_client(API_BASE_URL, bench.transport), file_client(transport=bench.transport)
    try:
        async with http, files:
            ports = Ports(
                service=KlingService(http, keys.signer(bench.clock.time)),
                files=LoopWalker(files, bench.clock, _here),
                journal=journal,
                store=None,
                clock=bench.clock,
                rng=random.Random(bench.case.seed),  # noqa: S311 - jitter of waits
                offload=_here,
                probe=no_probe,
                observe=lambda _: None,
            )
            await run(manifest, plan, lock, ports=ports, options=options)
    finally:
        journal.close()


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


def measure(name: str, case: Case, client: Client, *, repeats: int) -> dict[str, Any]:
    """Simulate a case, each repeat with its own generation times. Gives medians."""
    spans = [simulate(_seeded(case, seed), client) for seed in range(repeats if case.sigma else 1)]
    return {
        "client": name,
        "takes": case.takes,
        "slots": case.slots,
        "generation": f"{case.median_s:g} s {'log-normal' if case.sigma else 'fixed'}",
        "span_over_oracle": round(statistics.median(span.ratio for span in spans), 3),
        "requests_a_take": round(statistics.median(span.requests_a_take for span in spans), 2),
        "refusals": statistics.median(span.refusals for span in spans),
    }


def _seeded(case: Case, seed: int) -> Case:
    return Case(takes=case.takes, slots=case.slots, median_s=case.median_s, sigma=case.sigma, seed=seed)


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
    told, unlike = program(poll_interval_s=0.1), program(poll_interval_s=0.1, told=False)
    return [
        measure("told", ten, told, repeats=15),
        measure("told, --poll-interval 0.1", ten_slow, told, repeats=15),
        measure("told, --poll-interval 1", ten_slow, program(poll_interval_s=1.0), repeats=15),
        measure("told", hundred, told, repeats=5),
        measure("told", seven, told, repeats=15),
        measure("auto", seven, unlike, repeats=15),
        measure("told", sixty, told, repeats=9),
        measure("auto", sixty, unlike, repeats=9),
    ]


def simulated(*, quick: bool) -> list[dict[str, Any]]:
    """Give the rows of this part."""
    return must_show() if quick else [*must_show(), *grid(quick=False)]
