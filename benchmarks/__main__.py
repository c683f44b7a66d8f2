"""`make bench`: measures everything in one go, prints tables, and writes `out/benchmarks.json`."""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

from benchmarks import locked
from benchmarks.cost import cpu_a_take, memory
from benchmarks.downloads import downloads
from benchmarks.local import as_table, start_up, validating
from benchmarks.shared import shared
from benchmarks.simulated import simulated
from benchmarks.span import cases, measure

PARTS = ("startup", "validate", "locked", "cpu", "memory", "downloads", "shared", "span", "simulated")


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"of {', '.join(PARTS)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    options = parser.parse_args()
    results: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    for part in options.parts or PARTS:
        rows = _part(part, quick=options.quick)
        results[part] = rows
        print(f"\n## {part}\n\n{as_table(rows)}", flush=True)
    out = Path("out")
    out.mkdir(exist_ok=True)
    (out / "benchmarks.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _part(part: str, *, quick: bool) -> list[dict[str, Any]]:
    match part:
        case "startup":
            return start_up()
        case "validate":
            return validating()
        case "locked":
            results = locked.measure()["results"]
            return [{"case": label, **figures} for label, figures in results.items()]
        case "cpu":
            return cpu_a_take()
        case "memory":
            return memory(quick=quick)
        case "downloads":
            return downloads()
        case "shared":
            return shared()
        case "simulated":
            return simulated(quick=quick)
        case _:
            return [measure(case) for case in cases(quick=quick)]


if __name__ == "__main__":
    main()
