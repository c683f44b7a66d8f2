"""Finishing a library again over processes: how much faster two are than one, and what the program itself needs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.service import ROOT, service
from kling_batch import load
from kling_batch.identity import external_task_id
from kling_batch.records.lock import Lock, write_lock

_HEAVY = {"true_peak": -1.0, "sample_rate": 48_000, "formats": ["ogg", "flac"]}
_LIGHT = {"peak": -6, "formats": ["wav"]}
_SOUNDS = 100
_MEASURED = """
import json, resource, sys
from kling_batch.cli import main
status = main(sys.argv[1:])
own, its = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps([status, own.ru_utime + own.ru_stime, its.ru_utime + its.ru_stime, own.ru_maxrss / 1024]))
"""


def workers(*, quick: bool) -> list[dict[str, Any]]:
    """Finish one library by one and by two processes, then light sounds, of which ever more, in one set and in ten."""
    many = 1000 if quick else 10_000
    return [*_compared(many), *(_scaled(sets, takes) for sets, takes in ((1, many // 10), (10, many // 10), (1, many)))]


def _compared(takes: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make(folder, 1, takes, sample_rate=44_100)
        rows = [
            {"case": "heavy", "takes": takes, "workers": count, **_finish(folder, 1, takes, count, recipe)}
            for count, recipe in ((1, {**_HEAVY, "loudness": -18}), (2, {**_HEAVY, "loudness": -19}))
        ]
    faster = round(rows[0]["seconds"] / rows[1]["seconds"], 2)
    return [*rows, {"case": "two over one", "takes": takes, "times_faster": faster}]


def _scaled(sets: int, takes: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make(folder, sets, takes, sample_rate=8000)
        figures = _finish(folder, sets, takes, 2, _LIGHT)
    return {"case": "light", "sets": sets, "takes": sets * takes, "workers": 2, **figures}


def _make(folder: Path, sets: int, takes: int, *, sample_rate: int) -> None:
    """Have a sandbox make some sounds, with copies in a store, and lock sets of many takes that have them in turn."""
    made = _write(folder, "made", min(takes, _SOUNDS), None)
    with service(slots=500, median_s=0.0, sample_rate=sample_rate) as sandbox:
        words = ["run", made.name, "--yes", "--quiet", "--store", "store", "--settle-time", "0"]
        command = [sys.executable, "-m", "kling_batch", *words, "--concurrency", "500", "--poll-interval", "0.1"]
        subprocess.run(command, cwd=folder, env={**sandbox.environment, "PYTHONPATH": str(ROOT)}, check=True)
    sounds = list(load(made).lock.entries.values())
    for name in _names(sets):
        project = load(_write(folder, name, takes, None))
        entries = {
            take.key: replace(
                sounds[number % len(sounds)],
                job_id=take.job.id,
                request=take.job.request,
                external_id=external_task_id(take),
                task_id=str(number),
            )
            for number, take in enumerate(project.manifest.takes)
        }
        write_lock(project.lock_path, Lock(project=name, entries=entries))


def _names(sets: int) -> list[str]:
    return [f"set-{number}" for number in range(sets)]


def _write(folder: Path, name: str, takes: int, finish: Mapping[str, Any] | None) -> Path:
    path = folder / f"{name}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(takes):
            job: dict[str, Any] = {"id": f"s{number:06}", "prompt": f"Rain on a roof, number {number}"}
            job |= {"duration": 10.0, "formats": ["wav"]} | ({"finish": finish} if finish is not None else {})
            file.write(json.dumps(job) + "\n")
    return path


def _finish(folder: Path, sets: int, takes: int, count: int, recipe: Mapping[str, Any]) -> dict[str, Any]:
    manifests = [_write(folder, name, takes, recipe).name for name in _names(sets)]
    words = ["finish", *manifests, "--quiet", "--store", "store", "--workers", str(count)]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *words], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    seconds = time.perf_counter() - began
    status, own_s, workers_s, peak_mb = json.loads(done.stdout.splitlines()[-1])
    if status:
        raise RuntimeError(done.stdout)
    return {
        "seconds": round(seconds, 1),
        "own_cpu_ms_a_take": round(1000 * own_s / (sets * takes), 2),
        "workers_cpu_ms_a_take": round(1000 * workers_s / (sets * takes), 2),
        "own_peak_mb": round(peak_mb),
    }
