"""(e) Fetching finished sounds, against `curl --parallel` on the same files."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.cost import use_of, use_of_run
from benchmarks.service import ROOT, Service, service, write_manifest

_PATH = "/v1/audio/text-to-audio"
_TAKES = 300


def downloads(rounds: int = 3) -> list[dict[str, Any]]:
    """Bring 300 sounds of 3 s at 44.1 kHz home by `restore`, which also finds their URLs, checks and records them."""
    found = [_round() for _ in range(rounds)]
    curl_s, restore_s = (statistics.median(figures) for figures in zip(*found, strict=True))
    return [
        {
            "files": _TAKES,
            "curl_parallel_s": round(curl_s, 2),
            "restore_s": round(restore_s, 2),
            "over_curl": round(restore_s / curl_s, 1),
            "restored_a_second": round(_TAKES / restore_s),
        }
    ]


def _round() -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as name, service(slots=1000, median_s=0.0, sample_rate=44_100) as sandbox:
        manifest = write_manifest(Path(name), _TAKES)
        use_of_run(manifest, sandbox)
        curl_s = _curl(Path(name), sandbox)
        shutil.rmtree(manifest.parent / "out")
        words = [sys.executable, "-m", "kling_batch", "restore", manifest.name, "--no-store", "--quiet"]
        restore = use_of(words, manifest.parent, {**sandbox.environment, "PYTHONPATH": str(ROOT)})
    return curl_s, restore.wall_s


def _curl(folder: Path, sandbox: Service) -> float:
    reach = sandbox.reach()
    answer = httpx.get(f"{reach.url}{_PATH}?pageNum=1&pageSize={_TAKES}", headers=reach.headers(), timeout=60)
    urls = [row["task_result"]["audios"][0]["url_wav"] for row in answer.json()["data"]]
    listed = folder / "urls"
    listed.write_text("".join(f'url = "{url}"\noutput = "curl-{n}.wav"\n' for n, url in enumerate(urls)))
    began = time.perf_counter()
    subprocess.run(
        ["curl", "--silent", "--fail", "--parallel", "--parallel-max", "8", "--config", str(listed)],
        cwd=folder,
        check=True,
    )
    return time.perf_counter() - began
