"""Real processes, killed at random instants, against the sandbox behind real sockets."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.faults import Call, Effect, Rule
from kling_batch.sandbox.settings import Behaviour, Span, WorldSettings
from tests.chaos.history import SAMPLE_RATE
from tests.chaos.play import workshop
from tests.quick_clips import quick_clip

_KILLS_A_BATCH = 8
_CONCURRENCY = 5
_SETTLE_S = 1.5
_PATIENCE_S = 180
_MANIFEST = """\
version: 1
project: kills
defaults: {duration: 3.0, formats: [wav, mp3], takes: 3}
jobs:
  - {id: creak, prompt: A door creaks}
  - {id: rain, prompt: Rain on tin}
  - {id: steps, prompt: Steps on gravel}
  - {id: bell, prompt: A bell far away}
  - {id: bird, prompt: A bird, takes: 2}
"""


@dataclass(slots=True)
class Tally:
    """What came of many kills."""

    batches: int = 0
    kills: int = 0
    bare: int = 0
    charges: int = 0
    delivered: int = 0
    violations: list[str] = field(default_factory=list)


def kill_batches(count: int, *, tell: Callable[[str], None], seed: int = 0) -> Tally:
    """Kill `count` processes, half of them with everything deleted afterwards; finish each batch, and judge it."""
    tally = Tally()
    while tally.kills < count:
        rng = random.Random(f"kills {seed} {tally.batches}")
        with workshop() as root, SandboxServer(_settings(rng), rules=_rules(), synth=quick_clip) as server:
            _batch(root, server, rng, min(_KILLS_A_BATCH, count - tally.kills), tally)
        tally.batches += 1
        tell(f"{tally.kills} kills, {tally.charges} charges, {tally.delivered} delivered, {tally.violations}")
    return tally


def _settings(rng: random.Random) -> WorldSettings:
    late = Span(low=0.0, high=0.6)
    return WorldSettings(
        seed=rng.randrange(10**6),
        concurrency=7,
        generation=Span(low=0.2, high=1.5),
        latency=Span(low=0.0, high=0.1),
        sample_rate=SAMPLE_RATE,
        behaviour=Behaviour(
            duplicate_id=rng.choice(("accept", "accept", "refuse-1201", "replay")),
            list_order=rng.choice(("newest", "oldest", "random", "shuffled")),
            query_visible_after=late,
            list_visible_after=late,
        ),
    )


def _rules() -> tuple[Rule, ...]:
    create, download = frozenset({Call.CREATE}), frozenset({Call.DOWNLOAD})
    return (
        Rule(on=create, effect=Effect(name="lost-after", value="reset"), probability=0.1),
        Rule(on=create, effect=Effect(name="error-after", value=5000), probability=0.05),
        Rule(on=download, effect=Effect(name="cut", value=0.5), probability=0.1),
    )


def _batch(root: Path, server: SandboxServer, rng: random.Random, kills: int, tally: Tally) -> None:
    (root / "kills.yaml").write_text(_MANIFEST, encoding="utf-8")
    for _ in range(kills):
        process = _start(root, server)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0.3, 4.0))
        process.kill()
        process.wait()
        tally.kills += 1
        if tally.kills % 2:
            tally.bare += 1
            _forget(root)
    status = _start(root, server).wait(timeout=_PATIENCE_S)
    tally.violations += [f"batch {tally.batches}: {words}" for words in _judge(root, server, status, tally)]


def _start(root: Path, server: SandboxServer) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KLING_")}
    environment |= {"KLING_BASE_URL": server.url, "KLING_API_KEY": server.world.settings.api_key, "HOME": str(root)}
    command = [sys.executable, "-m", "kling_batch", "run", str(root / "kills.yaml"), "--yes", "--quiet"]
    command += ["--out", str(root / "out"), "--store", str(root / "store"), "--concurrency", str(_CONCURRENCY)]
    command += ["--settle-time", str(_SETTLE_S), "--poll-interval", "0.1"]
    checkout = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL)


def _forget(root: Path) -> None:
    """Leave nothing but the manifest."""
    for path in root.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "kills.yaml":
            path.unlink()


def _judge(root: Path, server: SandboxServer, status: int, tally: Tally) -> list[str]:
    """Compare the report with the books. The server's thread has nothing to do any more, so they stand still."""
    server.world.settle()
    ledger = server.world.ledger
    report: dict[str, Any] = json.loads((root / "out" / "report.json").read_text(encoding="utf-8"))
    done = [take for take in report["takes"] if take["status"] == "succeeded"]
    tally.charges += len(ledger.charges)
    tally.delivered += len(done)
    wrong = []
    if status != 0 or len(done) != len(report["takes"]):
        wrong.append(f"exit {status} with {len(done)} of {len(report['takes'])} takes delivered")
    if len(ledger.charges) != len(done) or len(ledger.tasks) != len(done):
        wrong.append(f"{len(ledger.charges)} charges and {len(ledger.tasks)} tasks for {len(done)} takes")
    if {take["task_id"] for take in done} != {charge.task_id for charge in ledger.charges}:
        wrong.append("the report names other tasks than were charged")
    if report["summary"]["units"] != f"{ledger.charged:.2f}":
        wrong.append(f"the report sums up to {report['summary']['units']} units, {ledger.charged} were charged")
    if ledger.in_flight_max > _CONCURRENCY:
        wrong.append(f"{ledger.in_flight_max} tasks were in flight, {_CONCURRENCY} were allowed")
    wrong += [f"{file['path']} is missing" for take in done for file in take["files"] if not _is_there(root, file)]
    return wrong


def _is_there(root: Path, file: dict[str, Any]) -> bool:
    path = root / "out" / str(file["path"])
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]
