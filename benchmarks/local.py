"""(d), (g) What needs no service: validating, starting up. Ratios to a bare interpreter."""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.service import ROOT

_REPEATS = 5


def _seconds(command: list[str], repeats: int = _REPEATS, folder: Path = ROOT) -> float:
    def once() -> float:
        began = time.perf_counter()
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, env={"PYTHONPATH": str(ROOT), "HOME": str(folder)}
        )
        return time.perf_counter() - began

    return statistics.median(once() for _ in range(repeats))


def start_up() -> list[dict[str, Any]]:
    """Time `--help` and the validation of a small file against a bare interpreter."""
    bare = _seconds([sys.executable, "-c", "pass"])
    program = [sys.executable, "-m", "kling_batch"]
    rows = {"--help": [*program, "--help"], "validate": [*program, "validate", "examples/fireworks.yaml"]}
    return [
        {"case": name, "seconds": round(seconds, 3), "over_interpreter": round(seconds / bare, 2)}
        for name, command in rows.items()
        for seconds in [_seconds(command)]
    ]


def validating(rows: int = 50_000) -> list[dict[str, Any]]:
    """Time the validation of many rows, as CSV and as YAML, above a bare interpreter's start."""
    bare = _seconds([sys.executable, "-c", "pass"])
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, write in ((folder / "rows.csv", _write_csv), (folder / "rows.yaml", _write_yaml)):
            write(path, rows)
            seconds = _seconds([sys.executable, "-m", "kling_batch", "validate", str(path)], repeats=3)
            found.append({"case": f"{rows} rows of {path.suffix[1:]}", "seconds_above_start": round(seconds - bare, 2)})
    return found


def _write_csv(path: Path, rows: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", "duration"])
        writer.writerows([f"s{number}", f"Rain on a roof, number {number}", "5.0"] for number in range(rows))


def _write_yaml(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("version: 1\nproject: rows\njobs:\n")
        file.writelines(
            f"  - id: s{number}\n    prompt: Rain on a roof, number {number}\n    duration: 5.0\n"
            for number in range(rows)
        )


def as_table(rows: list[dict[str, Any]]) -> str:
    """Write rows as a table in Markdown."""
    heads = list(dict.fromkeys(head for row in rows for head in row))
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    lines += [f"| {' | '.join(json.dumps(row.get(head)).strip(chr(34)) for head in heads)} |" for row in rows]
    return "\n".join(lines)
