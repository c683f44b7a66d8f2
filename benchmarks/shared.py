"""(f) An account with other users: two runs on one limit; a limit that is halved and doubled in the middle of a run."""

from __future__ import annotations

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.service import Service, run_program, service, span_of, write_manifest

_SIGMA = 0.4
_SLOTS = 20
_EACH = 200


def shared() -> list[dict[str, Any]]:
    """Measure both."""
    with tempfile.TemporaryDirectory() as name:
        alone = _together(Path(name), {"alone": 2 * _EACH})
    with tempfile.TemporaryDirectory() as name:
        two = _together(Path(name), {"one": _EACH, "other": _EACH})
    two["over_one_run"] = round(two["seconds"] / alone["seconds"], 3)
    with tempfile.TemporaryDirectory() as name:
        moved = _moving(Path(name))
    return [{"over_one_run": 1.0, **alone}, two, {"over_one_run": None, **moved}]


def _together(folder: Path, runs: dict[str, int]) -> dict[str, Any]:
    """Run the program once for each manifest, side by side."""
    with service(slots=_SLOTS, median_s=2.0, sigma=_SIGMA) as sandbox, ThreadPoolExecutor(len(runs)) as pool:
        works = [pool.submit(_run, folder / name, takes, sandbox) for name, takes in runs.items()]
        for work in works:
            work.result()
        books = sandbox.books()
    names = f"{' and '.join(f'{takes} takes' for takes in runs.values())}, auto, {_SLOTS} slots"
    return _row(names, books, _SLOTS)


def _run(folder: Path, takes: int, sandbox: Service) -> None:
    folder.mkdir()
    manifest = write_manifest(folder, takes)
    run_program(manifest, sandbox, "--poll-interval", "0.1", "--project", folder.name)


def _moving(folder: Path) -> dict[str, Any]:
    """Halve the limit after ten seconds, and double it after twenty."""
    with service(slots=_SLOTS, median_s=2.0, sigma=_SIGMA) as sandbox:
        changes = [
            threading.Timer(10.0, lambda: sandbox.change(concurrency=_SLOTS // 2)),
            threading.Timer(20.0, lambda: sandbox.change(concurrency=2 * _SLOTS)),
        ]
        for change in changes:
            change.start()
        _run(folder / "moving", 2 * _EACH, sandbox)
        for change in changes:
            change.cancel()
        books = sandbox.books()
    return _row(f"{2 * _EACH} takes, auto, slots 20, then 10, then 40", books, _SLOTS)


def _row(name: str, books: dict[str, Any], slots: int) -> dict[str, Any]:
    span = span_of(books, slots=slots)
    return {
        "case": name,
        "seconds": round(span.seconds, 1),
        "refusals_a_take": round(span.refusals / span.takes, 3),
        "most_in_flight": span.in_flight_max,
    }
