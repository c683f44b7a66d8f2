"""Two coordinators, which are real processes, on one set and one bucket; whoever works is killed or stopped.

The sandbox behind a real socket keeps the books; the bucket is that of an S3 endpoint in a process of its own.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

from kling_batch.records.lease import NOBODY, Holder
from kling_batch.records.object_store import ObjectDocuments
from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.settings import Behaviour, Span, WorldSettings
from kling_batch.service.auth import Keys
from tests.quick_clips import quick_clip

LIFE_S = 2.0
_SETTLE_S = 1.0
_TAKES = 12
_MOST_ACTS = 3
_BOUND_S = 240.0
_MOST_STARTS = 12
"""For how long, and over how many starts of one machine, nothing may move: however slow all of it is."""
_GAP_S = 0.02
_MACHINES = ("one", "two")
_BUCKET = "rounds"
_MANIFEST = f"""\
version: 1
project: rounds
defaults: {{duration: 3.0, formats: [wav], takes: {_TAKES // 3}}}
jobs:
  - {{id: creak, prompt: A door creaks}}
  - {{id: rain, prompt: Rain on tin}}
  - {{id: bell, prompt: A bell far away}}
"""
_CHECKOUT = Path(__file__).parents[2]


@dataclass(kw_only=True)
class Tally:
    """What came of many rounds.

    Of the runs that were stopped and succeeded, `fenced` found it before they paid, and `had_paid` had nothing to pay
    for any more.
    """

    rounds: int = 0
    kills: int = 0
    stops: int = 0
    fenced: int = 0
    had_paid: int = 0
    succeeded: int = 0
    charges: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def play_rounds(
    count: int, s3: str, root: Path, *, tell: Callable[[str], None], first: int = 0, acts: Sequence[str] = ()
) -> Tally:
    """Play rounds against an S3 endpoint, and judge each.

    Args:
        count: How many.
        s3: The endpoint.
        root: Where the machines' folders are made.
        tell: Is told how it stands, after each round.
        first: The number of the first, which decides what happens in it.
        acts: What is done to who works, `kill` or `stop`, in each round; empty is drawn.
    """
    tally = Tally()
    _make_bucket(s3)
    for number in range(first, first + count):
        rng = random.Random(f"lease round {number}")
        folder = root / str(number)
        with SandboxServer(_settings(rng), rules=(), synth=quick_clip) as server, patch.dict(os.environ, _cloud(s3)):
            _Round(number, folder, server, rng, tally).play(acts)
        tally.rounds += 1
        tell(str(tally))
    return tally


def _make_bucket(s3: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(s3).netloc)
    connection.request("PUT", f"/{_BUCKET}")
    connection.getresponse().read()
    connection.close()


def _cloud(s3: str) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": "ada", "AWS_SECRET_ACCESS_KEY": "lovelace", "AWS_REGION": "eu-central-1"}
    return {"AWS_ENDPOINT_URL": s3, "AWS_ALLOW_HTTP": "true", **keys}


def _settings(rng: random.Random) -> WorldSettings:
    late = Span(low=0.0, high=_SETTLE_S / 2)
    return WorldSettings(
        seed=rng.randrange(10**6),
        concurrency=8,
        generation=Span(low=0.2, high=1.0),
        latency=Span(low=0.0, high=0.1),
        sample_rate=8000,
        behaviour=Behaviour(
            duplicate_id="accept",
            query_visible_after=late,
            list_visible_after=late,
        ),
    )


class _Round:
    """One set, worked on by two machines until it is done on both."""

    def __init__(self, number: int, folder: Path, server: SandboxServer, rng: random.Random, tally: Tally) -> None:
        self._number, self._folder, self._server, self._rng, self._tally = number, folder, server, rng, tally
        self._store = f"s3://{_BUCKET}/{number}-{uuid.uuid4()}"  # another round of this number may have been here
        self._documents = ObjectDocuments(self._store)
        account = Keys(api_key=server.world.settings.api_key).fingerprint(server.url)
        self._name = f"leases/{account}/rounds.json"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._starts: Counter[str] = Counter()
        """How often each machine was started since something moved."""
        self._moved: tuple[int, ...] = ()
        self._since = 0.0
        self._stopped: set[int] = set()
        """The processes that were stopped."""

    def play(self, acts: Sequence[str]) -> None:
        drawn = self._rng.choices(("kill", "stop"), (2, 3), k=self._rng.randint(1, _MOST_ACTS))
        todo = list(acts or drawn)
        moments = sorted(self._rng.sample(range(1, _TAKES - 1), len(todo)))
        for machine in _MACHINES:
            self._start(machine)
        try:
            while self._running:
                if todo and self._charges >= moments[0] and (holder := self._holder()) is not None:
                    moments.pop(0)
                    self._act(todo.pop(0), holder)
                self._look()
                self._bounded()
            self._judge()
        finally:
            for process in self._running.values():
                process.kill()
                process.wait()

    @property
    def _charges(self) -> int:
        return len(self._server.world.ledger.charges)

    def _bounded(self) -> None:
        """Let time pass while something moves: a task, a charge, a file, a run that ends well."""
        time.sleep(_GAP_S)
        ledger = self._server.world.ledger
        moved = (len(ledger.tasks), len(ledger.charges), ledger.requests["download"], self._tally.statuses[0])
        if moved != self._moved:
            self._moved, self._since = moved, time.monotonic()
            self._starts.clear()
        if time.monotonic() - self._since > _BOUND_S:
            raise TimeoutError(f"round {self._number}: nothing has moved for {_BOUND_S:.0f} s")

    def _start(self, machine: str) -> None:
        home = self._folder / machine
        home.mkdir(parents=True, exist_ok=True)
        (home / "rounds.yaml").write_text(_MANIFEST, encoding="utf-8")
        self._starts[machine] += 1
        options = ["--store", self._store, "--wait", "60", "--settle-time", str(_SETTLE_S), "--poll-interval", "0.1"]
        command = [sys.executable, "-m", "tests.lease.coordinator", str(LIFE_S), "run", str(home / "rounds.yaml")]
        with (home / "said.txt").open("ab") as said:
            self._running[machine] = subprocess.Popen(
                [*command, "--yes", "--quiet", "--out", str(home / "out"), "--concurrency", "8", *options],
                cwd=_CHECKOUT, env=self._environment(home), stdout=subprocess.DEVNULL, stderr=said,
            )  # fmt: skip

    def _environment(self, home: Path) -> Mapping[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("KLING_", "XDG_"))}
        keys = {"KLING_BASE_URL": self._server.url, "KLING_API_KEY": self._server.world.settings.api_key}
        return {**ours, **keys, "HOME": str(home)}

    def _holder(self) -> Holder | None:
        """Say who works, if it is one of ours that runs."""
        holder = Holder.of(self._documents.read(self._name))
        pids = {process.pid for process in self._running.values() if process.poll() is None}
        return holder if not holder.ended and holder.pid in pids else None

    def _act(self, what: str, holder: Holder) -> None:
        """Kill who works; or stop it for longer than its lease lasts, and let it go on once another has worked."""
        if what == "kill":
            os.kill(holder.pid, signal.SIGKILL)
            self._tally.kills += 1
            return
        os.kill(holder.pid, signal.SIGSTOP)
        self._tally.stops += 1
        self._stopped.add(holder.pid)
        paid, wanted = self._charges, self._rng.randint(0, 4)
        while len(self._running) > 1:  # else nobody is left who could take over
            if self._was_succeeded(holder) and (self._charges >= paid + wanted or self._holder() is None):
                break
            self._look()
            self._bounded()
        with suppress(ProcessLookupError):  # it had ended by then
            os.kill(holder.pid, signal.SIGCONT)

    def _was_succeeded(self, holder: Holder) -> bool:
        now = Holder.of(self._documents.read(self._name))
        return now != NOBODY and now.run != holder.run

    def _look(self) -> None:
        """See who has ended, and begin again what is not done."""
        for machine, process in list(self._running.items()):
            if (status := process.poll()) is None:
                continue
            del self._running[machine]
            self._tally.statuses[status] += 1
            if process.pid in self._stopped:
                said = (self._folder / machine / "said.txt").read_text("utf-8", errors="replace")
                self._tally.fenced += status == 6 and "silent for longer" in said
                self._tally.had_paid += status == 0
            if status != 0:
                if self._starts[machine] == _MOST_STARTS:
                    raise TimeoutError(f"round {self._number}: {machine} does not get done")
                self._start(machine)

    def _judge(self) -> None:
        """Compare both reports with the books."""
        self._server.world.settle()
        ledger = self._server.world.ledger
        self._tally.charges += len(ledger.charges)
        wrong = []
        if len(ledger.charges) != _TAKES or len(ledger.tasks) != _TAKES:
            wrong.append(f"{len(ledger.charges)} charges and {len(ledger.tasks)} tasks for {_TAKES} takes")
        for machine in _MACHINES:
            report = json.loads((self._folder / machine / "out" / "report.json").read_text(encoding="utf-8"))
            done = [take for take in report["takes"] if take["status"] == "succeeded"]
            if {take["task_id"] for take in done} != {charge.task_id for charge in ledger.charges}:
                wrong.append(f"{machine} reports {len(done)} takes, and others than were charged")
        self._tally.violations += [f"round {self._number}: {words}" for words in wrong]
        self._tally.succeeded += not wrong
