"""(b) What a take costs: CPU above the decoding, beside the floor of the HTTP client alone; takes a second; memory."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.service import ROOT, Service, service, write_manifest
from kling_batch.delivery.verify import verify_audio

_PATH = "/v1/audio/text-to-audio"
_CONNECTIONS = 8
_PAGE = 500
_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """What a process used: CPU and wall time in seconds, memory in MB."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def use_of(words: list[str], folder: Path, environment: dict[str, str]) -> Use:
    """Run a command to its end, and say what it alone used."""
    began = time.perf_counter()
    with subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    wall_s = time.perf_counter() - began
    return Use(cpu_s=usage.ru_utime + usage.ru_stime, wall_s=wall_s, peak_mb=usage.ru_maxrss / 1024)


def use_of_run(manifest: Path, sandbox: Service) -> Use:
    """Run the program over a manifest with instant generation."""
    words = [sys.executable, "-m", "kling_batch", "run", manifest.name, "--yes", "--quiet", "--no-store"]
    words += ["--settle-time", "0", "--concurrency", "500", "--poll-interval", "0.1"]
    return use_of(words, manifest.parent, {**sandbox.environment, "PYTHONPATH": str(ROOT)})


def cpu_a_take(takes: int = 1000, rounds: int = 3) -> list[dict[str, Any]]:
    """Measure program, floor and decoding in turns, so that a slow moment of the machine meets all of them."""
    with tempfile.TemporaryDirectory() as name:
        # Nothing is deleted in between: ext4 makes files slowly for half a minute after many were deleted.
        found = [_round(takes, Path(name) / str(number)) for number in range(rounds)]
    start, run, floor, decoding = (statistics.median(figures) for figures in zip(*found, strict=True))
    above = run - decoding
    return [
        {
            "takes": takes,
            "ms_a_take": round(run, 2),
            "of_it_decoding": round(decoding, 2),
            "above_decoding": round(above, 2),
            "above_decoding_and_start_up": round(above - start, 2),
            "floor_http_alone": round(floor, 2),
            "over_floor": round((above - start) / floor, 2),
        }
    ]


def _round(takes: int, folder: Path) -> tuple[float, float, float, float]:
    with service(slots=2 * takes, median_s=0.0) as sandbox:
        (folder / "one").mkdir(parents=True)
        (folder / "all").mkdir()
        start = use_of_run(write_manifest(folder / "one", 1, formats="wav,mp3"), sandbox).cpu_s
        run = use_of_run(write_manifest(folder / "all", takes, formats="wav,mp3"), sandbox).cpu_s
        floor = asyncio.run(_floor(sandbox, takes))
        decoding = _decoding_s((folder / "all" / "out" / "bench").glob("s*.*"))
    return tuple(1000 * seconds / takes for seconds in (start, run, floor, decoding))  # type: ignore[return-value]


async def _floor(sandbox: Service, takes: int) -> float:
    """Make as many tasks and fetch as many files with the HTTP client alone. Gives CPU seconds."""
    reach = sandbox.reach()
    limits = httpx.Limits(max_connections=_CONNECTIONS)
    async with (
        httpx.AsyncClient(base_url=reach.url, headers=reach.headers(), limits=limits, timeout=60) as api,
        httpx.AsyncClient(limits=limits, timeout=60) as files,
    ):
        bodies = [
            {"prompt": "Rain", "duration": _SECONDS, "external_task_id": f"floor-{number}"} for number in range(takes)
        ]
        began = time.process_time()
        await _together(lambda body: _post(api, body), bodies)
        creating = time.process_time() - began
        urls = await _urls(api, takes)
        began = time.process_time()
        await _together(lambda url: _get(files, url), urls)
        return creating + time.process_time() - began


async def _together(call: Callable[[Any], Awaitable[None]], values: Iterable[Any]) -> None:
    waiting = iter(values)

    async def work() -> None:
        for value in waiting:
            await call(value)

    await asyncio.gather(*(work() for _ in range(_CONNECTIONS)))


async def _post(api: httpx.AsyncClient, body: dict[str, object]) -> None:
    (await api.post(_PATH, json=body)).raise_for_status()


async def _get(files: httpx.AsyncClient, url: str) -> None:
    async with files.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
        async for _ in response.aiter_raw():
            pass


async def _urls(api: httpx.AsyncClient, takes: int) -> list[str]:
    """Ask where the newest tasks' files are."""
    rows: list[dict[str, Any]] = []
    for number in range(1, -(-takes // _PAGE) + 1):
        answer = await api.get(_PATH, params={"pageNum": number, "pageSize": _PAGE})
        rows += answer.json()["data"]
    audios = [row["task_result"]["audios"][0] for row in rows[:takes]]
    return [audio[name] for audio in audios for name in ("url_wav", "url_mp3")]


def _decoding_s(files: Iterable[Path]) -> float:
    """Decode and check every file, one after another. Gives CPU seconds."""
    verify_audio(ROOT / "README.md", audio_format="wav", requested_s=_SECONDS)
    began = time.process_time()
    for path in files:
        verify_audio(path, audio_format=path.suffix[1:], requested_s=_SECONDS)
    return time.process_time() - began


def memory(*, quick: bool) -> list[dict[str, Any]]:
    """Measure takes a second and peak memory of a first run, and of the run after it, which has nothing to do."""
    rows = []
    for takes in (1000, 10_000) if quick else (1000, 10_000, 100_000):
        with tempfile.TemporaryDirectory() as name, service(slots=1000, median_s=0.0) as sandbox:
            manifest = write_manifest(Path(name), takes)
            first = use_of_run(manifest, sandbox)
            asked = sandbox.api_requests()
            again = use_of_run(manifest, sandbox)
            asked_again = sandbox.api_requests() - asked
        rows.append(
            {
                "takes": takes,
                "takes_a_second": round(takes / first.wall_s),
                "peak_mb": round(first.peak_mb),
                "no_op_s": round(again.wall_s, 2),
                "no_op_peak_mb": round(again.peak_mb),
                "no_op_requests": asked_again,
            }
        )
    return rows
