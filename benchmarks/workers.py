"""Finishing a library again over processes: how much faster two are than one, and what the program itself needs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.service import ROOT, service

_HEAVY = {"true_peak": -1.0, "sample_rate": 48_000, "formats": ["ogg", "flac"]}
_LIGHT = {"formats": ["wav"]}
_MEASURED = """
import json, resource, sys
from kling_batch.cli import main
status = main(sys.argv[1:])
own, its = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps([status, own.ru_utime + own.ru_stime, its.ru_utime + its.ru_stime, own.ru_maxrss / 1024]))
"""


def workers(*, quick: bool) -> list[dict[str, Any]]:
    """Finish one library by one and by two processes, then light sounds, of which ever more, by two."""
    rows = _compared(100 if quick else 400)
    return [*rows, *(_scaled(takes) for takes in ((250, 1000) if quick else (1000, 10_000)))]


def _compared(takes: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make(folder, takes, sample_rate=44_100)
        rows = [
            {"case": "heavy", "takes": takes, "workers": count, **_finish(folder, takes, count, loudness, _HEAVY)}
            for count, loudness in ((1, -18), (2, -19), (1, -20), (2, -21))
        ]
    best = {count: min(row["seconds"] for row in rows if row["workers"] == count) for count in (1, 2)}
    return [*rows, {"case": "two over one", "takes": takes, "times_faster": round(best[1] / best[2], 2)}]


def _scaled(takes: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make(folder, takes, sample_rate=8000)
        return {"case": "light", "takes": takes, "workers": 2, **_finish(folder, takes, 2, None, _LIGHT)}


def _make(folder: Path, takes: int, *, sample_rate: int) -> None:
    """Have a sandbox make a library, with its sounds in a store."""
    _write(folder, takes, None)
    with service(slots=500, median_s=0.0, sample_rate=sample_rate) as sandbox:
        words = ["run", "bench.jsonl", "--yes", "--quiet", "--store", "store", "--settle-time", "0"]
        command = [sys.executable, "-m", "kling_batch", *words, "--concurrency", "500", "--poll-interval", "0.1"]
        subprocess.run(command, cwd=folder, env={**sandbox.environment, "PYTHONPATH": str(ROOT)}, check=True)


def _write(folder: Path, takes: int, finish: Mapping[str, Any] | None) -> None:
    with (folder / "bench.jsonl").open("w", encoding="utf-8") as file:
        for number in range(takes):
            job: dict[str, Any] = {"id": f"s{number:06}", "prompt": f"Rain on a roof, number {number}"}
            job |= {"duration": 10.0, "formats": ["wav"]} | ({"finish": finish} if finish is not None else {})
            file.write(json.dumps(job) + "\n")


def _finish(folder: Path, takes: int, count: int, loudness: float | None, recipe: Mapping[str, Any]) -> dict[str, Any]:
    level = {"loudness": loudness} if loudness is not None else {"peak": -6}
    _write(folder, takes, {**recipe, **level})
    words = ["finish", "bench.jsonl", "--quiet", "--store", "store", "--workers", str(count)]
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
        "own_cpu_ms_a_take": round(1000 * own_s / takes, 2),
        "workers_cpu_ms_a_take": round(1000 * workers_s / takes, 2),
        "own_peak_mb": round(peak_mb),
    }
