"""Ten thousand locked takes: what it costs to look at a set in which nothing is to be done.

`python -m benchmarks.locked [TAKES]` prints JSON: for plan, a verify of names and sizes and a run that does nothing,
the median wall time in seconds, and its ratio to reading the lock alone; each command is a process of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.cost import Use, use_of
from kling_batch.identity import external_task_id
from kling_batch.manifest import load
from kling_batch.model import FileRecord, RunResult, Take
from kling_batch.records.attempts import Attempt, PlacedFile, Stage
from kling_batch.records.journal import Journal
from kling_batch.records.lock import Lock, LockEntry, write_lock

TAKES = 10_000
_TAKES_A_JOB = 4
_ROUNDS = 5
_ROOT = Path(__file__).parent.parent
_MAKE = """
import sys
from pathlib import Path
from benchmarks.locked import locked_set
locked_set(Path(sys.argv[1]), int(sys.argv[2]))
"""
_READ_LOCK = """
from pathlib import Path
from kling_batch.records.lock import read_lock
read_lock(Path("set.yaml.lock"), project="set")
"""


def locked_set(folder: Path, takes: int = TAKES) -> Path:
    """Make a manifest, its lock, its journal and its files, as a finished run leaves them."""
    manifest = folder / "set.yaml"
    jobs = "".join(
        f"  - id: sound-{number:05}\n    prompt: Sound number {number} of a large set\n    takes: {_TAKES_A_JOB}\n"
        for number in range(takes // _TAKES_A_JOB)
    )
    manifest.write_text(f"version: 1\nproject: set\njobs:\n{jobs}", encoding="utf-8")
    out = folder / "out" / "set"
    rows = [_finished(take, out) for take in load(manifest).takes]
    journal = Journal(out, now=time.time())
    run = journal.start_run(time.time())
    asyncio.run(_save(journal, run, rows))
    journal.close()
    entries = [_entry(take, attempt, placed) for take, attempt, placed in rows]
    write_lock(folder / "set.yaml.lock", Lock(project="set", entries={entry.key: entry for entry in entries}))
    return manifest


async def _save(journal: Journal, run: int, rows: list[tuple[Take, Attempt, PlacedFile]]) -> None:
    await journal.save_all((attempt, [placed]) for _, attempt, placed in rows)
    now = time.time()
    ended = RunResult(
        project="set", manifest="", started_at=now, finished_at=now, exit_status=0, takes=(), api_requests=0
    )
    await journal.end_run(run, ended)


def _finished(take: Take, out: Path) -> tuple[Take, Attempt, PlacedFile]:
    name = external_task_id(take)
    file = out / take.path("wav")
    file.parent.mkdir(parents=True, exist_ok=True)
    data = name.encode() * 32
    file.write_bytes(data)
    attempt = Attempt(
        external_id=name,
        kind=take.job.kind,
        job_id=take.job.id,
        take=take.number,
        attempt=1,
        stage=Stage.DELIVERED,
        units=Decimal("0.25"),
        run_id=1,
        task_id=str(10**17 + take.number),
        created_at=0.0,
        ended_at=20.0,
    )
    sha256 = hashlib.sha256(data).hexdigest()
    record = FileRecord(path=take.path("wav"), format="wav", sha256=sha256, bytes=len(data), duration_s=5.0)
    return take, attempt, PlacedFile(external_id=name, record=record, mtime_ns=file.stat().st_mtime_ns)


def _entry(take: Take, attempt: Attempt, placed: PlacedFile) -> LockEntry:
    return LockEntry(
        job_id=take.job.id,
        take=take.number,
        edition=take.edition,
        attempt=1,
        kind=take.job.kind,
        external_id=attempt.external_id,
        task_id=attempt.task_id or "",
        units=attempt.units,
        request=take.job.request,
        files=(placed.record,),
    )


def measure(takes: int = TAKES, rounds: int = _ROUNDS) -> dict[str, Any]:
    """Time every command, in turns, so that a slow moment of the machine meets all of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: what this one has in memory would count as the commands'.
        subprocess.run([sys.executable, "-c", _MAKE, str(folder), str(takes)], cwd=_ROOT, check=True)
        program = [sys.executable, "-m", "kling_batch"]
        commands = {
            "interpreter": [sys.executable, "-c", ""],
            "read the lock": [sys.executable, "-c", _READ_LOCK],
            "plan": [*program, "plan", "set.yaml"],
            "verify --quick": [*program, "verify", "--quick", "set.yaml"],
            "run, nothing to do": [*program, "run", "set.yaml", "--no-store"],
        }
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        uses: dict[str, list[Use]] = {label: [] for label in commands}
        for _ in range(rounds):
            for label, words in commands.items():
                uses[label].append(use_of(words, folder, environment))
    medians = {label: statistics.median(use.wall_s for use in found) for label, found in uses.items()}
    peaks = {label: round(max(use.peak_mb for use in found[1:])) for label, found in uses.items()}
    alone = medians["read the lock"]
    return {
        "takes": takes,
        "rounds": rounds,
        "results": {
            label: {
                "seconds": round(seconds, 3),
                "times_reading_the_lock": round(seconds / alone, 2),
                "peak_mb": peaks[label],
            }
            for label, seconds in medians.items()
        },
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else TAKES), indent=2))
