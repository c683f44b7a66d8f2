"""A sandbox in a process of its own, with clips that cost nothing, and the greedy oracle over its books."""

from __future__ import annotations

import heapq
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.baselines import Reach

ROOT = Path(__file__).parent.parent
_COUNT = re.compile(r'"api_requests":\s*(\d+)\s*[,}]')
_LONGEST_COUNT = 64
_NO_ROOM = "1303"

_SERVER = """
import sys
from kling_batch.sandbox.app import SandboxServer
from tests.quick_clips import quick_clip
from kling_batch.sandbox.settings import Span, WorldSettings
slots, median, sigma, seed, rate = int(sys.argv[1]), *map(float, sys.argv[2:4]), *map(int, sys.argv[4:6])
span = Span.log_normal(median, sigma) if sigma else Span.fixed(median)
settings = WorldSettings(concurrency=slots, generation=span, queue=Span.fixed(0.0), seed=seed, sample_rate=rate)
server = SandboxServer(settings, synth=quick_clip)
print(server.url, flush=True)
server.run()
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A running sandbox and what a client needs to call it."""

    url: str
    environment: dict[str, str]

    def books(self) -> dict[str, Any]:
        """Read the ledger."""
        books: dict[str, Any] = httpx.get(f"{self.url}/sandbox/ledger", timeout=60).json()
        return books

    def api_requests(self) -> int:
        """Count the API requests so far, without holding the books.

        Who starts a process lends it its own peak of memory, and the books of 100,000 tasks would be most of it.
        """
        tail = ""
        with httpx.stream("GET", f"{self.url}/sandbox/ledger", timeout=60) as answer:
            for text in answer.iter_text():
                tail = tail[-_LONGEST_COUNT:] + text
                if (found := _COUNT.search(tail)) is not None:
                    return int(found[1])
        raise LookupError("the sandbox's books tell no API requests")

    def reach(self) -> Reach:
        """Give what a client of one's own needs to call it."""
        keys = self.environment
        return Reach(url=self.url, access_key=keys["KLING_ACCESS_KEY"], secret_key=keys["KLING_SECRET_KEY"])

    def change(self, **settings: Any) -> None:
        """Change the sandbox while it runs."""
        httpx.post(f"{self.url}/sandbox/settings", json=settings, timeout=60).raise_for_status()


@contextmanager
def service(
    *, slots: int, median_s: float, sigma: float = 0.0, seed: int = 0, sample_rate: int = 8000
) -> Iterator[Service]:
    """Start a sandbox with `slots` slots and log-normal generation times (fixed where `sigma` is 0)."""
    arguments = [str(slots), str(median_s), str(sigma), str(seed), str(sample_rate)]
    process = subprocess.Popen([sys.executable, "-c", _SERVER, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        url = process.stdout.readline().strip()
        keys = {
            "KLING_BASE_URL": url,
            "KLING_ACCESS_KEY": "sandbox-access-key",
            "KLING_SECRET_KEY": "sandbox-secret-key-that-opens-nothing-else",
        }
        yield Service(url=url, environment={**os.environ, **keys})
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """How long a client took from its first create to the last finish, in seconds, and how long it had to take.

    `refusals` are those for want of room.
    """

    seconds: float
    oracle_s: float
    takes: int
    api_requests: int
    refusals: int
    in_flight_max: int

    @property
    def ratio(self) -> float:
        """The span over the oracle's."""
        return self.seconds / self.oracle_s

    @property
    def requests_a_take(self) -> float:
        """API requests for each task that was made."""
        return self.api_requests / self.takes


def span_of(books: dict[str, Any], *, slots: int) -> Span:
    """Compare what happened with the greedy oracle: the same tasks and times, every slot refilled at once."""
    tasks = sorted(books["tasks"], key=lambda task: (task["created_at"], task["task_id"]))
    begin = tasks[0]["created_at"]
    seconds = max(task["ended_at"] for task in tasks) - begin
    free = [0.0] * min(slots, len(tasks))
    for task in tasks:
        heapq.heappush(free, heapq.heappop(free) + task["ended_at"] - task["created_at"])
    return Span(
        seconds=seconds,
        oracle_s=max(free),
        takes=len(tasks),
        api_requests=books["api_requests"],
        refusals=books["refusals"].get(_NO_ROOM, 0),
        in_flight_max=books["in_flight_max"],
    )


def write_manifest(folder: Path, takes: int, *, formats: str = "wav") -> Path:
    """Write a manifest of so many takes, each a job of its own."""
    path = folder / "bench.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(takes):
            job = {"id": f"s{number:06}", "prompt": f"Rain on a roof, number {number}", "duration": 3.0}
            file.write(json.dumps({**job, "formats": formats.split(",")}) + "\n")
    return path


def run_program(manifest: Path, sandbox: Service, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the program over a manifest, in the manifest's folder, without waiting for a first look at the account."""
    command = [sys.executable, "-m", "kling_batch", "run", manifest.name, "--yes", "--quiet", "--no-store"]
    command += ["--settle-time", "0", *options]
    return subprocess.run(
        command,
        cwd=manifest.parent,
        env={**sandbox.environment, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
