"""`make bench`: measures everything, prints tables, and writes `docs/performance.csv`, its page and its chart."""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import version
from typing import Any

from benchmarks import locked
from benchmarks.cost import cpu_a_take, memory
from benchmarks.downloads import downloads
from benchmarks.finish import finishing
from benchmarks.listening import listening
from benchmarks.local import as_table, start_up, validating
from benchmarks.page import chart, page, read, write
from benchmarks.service import ROOT
from benchmarks.shared import shared
from benchmarks.simulated import simulated
from benchmarks.span import cases, measure
from benchmarks.workers import workers

PARTS = (
    "startup",
    "validate",
    "locked",
    "cpu",
    "downloads",
    "shared",
    "span",
    "simulated",
    "memory",
    "page",
    "finish",
    "workers",
)
_LIBRARIES = ("kling-batch", "httpx", "soundfile", "soxr", "jsonschema", "pandas")


def main() -> None:
    """Run the parts that are named, or all. What an earlier call measured of the other parts stays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"of {', '.join(PARTS)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    options = parser.parse_args()
    docs = ROOT / "docs"
    versions = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    machine = {"part": "machine", "case": f"{system}; Python {platform.python_version()}, {versions}."}
    kept = [machine, *(row for row in read(docs / "performance.csv") if row["part"] != "machine")]
    for part in options.parts or PARTS:
        rows = _part(part, quick=options.quick)
        print(f"\n## {part}\n\n{as_table(rows)}", flush=True)
        kept = [row for row in kept if row["part"] != part]
        kept += [{"part": part, **{name: _word(value) for name, value in row.items()}} for row in rows]
        write(docs / "performance.csv", kept)
        (docs / "performance.md").write_text(page(kept), encoding="utf-8")
        (docs / "performance.svg").write_text(chart(kept), encoding="utf-8")


def _word(value: object) -> str:
    return "" if value is None else str(value)


def _part(part: str, *, quick: bool) -> list[dict[str, Any]]:  # noqa: C901 - a case a part
    match part:
        case "startup":
            return start_up()
        case "validate":
            return validating()
        case "locked":
            measured = [locked.measure(takes, rounds) for takes, rounds in ((10_000, 5), (100_000, 3))]
            return [
                {"takes": found["takes"], "case": label, **figures}
                for found in measured
                for label, figures in found["results"].items()
            ]
        case "cpu":
            return cpu_a_take()
        case "memory":
            return memory(quick=quick)
        case "downloads":
            return downloads()
        case "shared":
            return shared()
        case "page":
            return listening()
        case "finish":
            return finishing(quick=quick)
        case "workers":
            return workers(quick=quick)
        case "simulated":
            return simulated(quick=quick)
        case _:
            return [measure(case) for case in cases(quick=quick)]


if __name__ == "__main__":
    main()
