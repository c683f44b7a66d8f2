"""The proof of the lease from the command line: `python -m tests.lease --seeds 3000`, `--rounds 100`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from collections import deque
from pathlib import Path

from click import echo

from kling_batch.records.lease import Claim
from tests.lease.rounds import play_rounds
from tests.lease.simulated import BOUND_S, Boastful, ByCalendar, Credulous, Record, Unfenced, play


def main() -> int:
    """Run what is asked for; 1 if anything is violated."""
    options = options_of_leases()
    bad = _seeds(options.seeds) if options.seeds else 0
    if options.rounds:
        bad += _rounds(options.rounds, options.first)
    return 1 if bad else 0


def options_of_leases() -> argparse.Namespace:
    """Read the options that the proof was called with."""
    parser = argparse.ArgumentParser(prog="python -m tests.lease", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="how many histories to simulate")
    parser.add_argument("--rounds", type=int, default=0, help="how many rounds of real processes to play")
    parser.add_argument("--first", type=int, default=0, help="the first round")
    return parser.parse_args()


def _seeds(count: int) -> int:
    bad = 0
    for kind in (Claim, Unfenced, ByCalendar, Credulous, Boastful):
        records = [play(seed, kind) for seed in range(count)]
        violated = [record for record in records if record.violations]
        echo(f"{kind.__name__}: {_words(records)}; {len(violated)} histories with violations")
        for record in violated if kind is Claim else ():
            echo(f"  {record.seed}: {record.violations}")
        bad += bool(violated) is (kind is Claim)
    return bad


def _words(records: list[Record]) -> str:
    names = ("paid", "takeovers", "fenced", "stops", "unlocked", "vouched")
    sums = ", ".join(f"{sum(getattr(record, name) for record in records)} {name}" for name in names)
    beyond = [stopped for record in records for stopped in record.beyond]
    shortest = f", after {min(beyond):.0f} s or more" if beyond else ""
    return f"{len(records)} histories, {sums}; {len(beyond)} items beyond the bound of {BOUND_S:.0f} s{shortest}"


def _rounds(count: int, first: int) -> int:
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with (
        tempfile.TemporaryDirectory() as root,
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stderr is not None
        url = next(line.split()[-1] for line in process.stderr if "Running on http" in line)
        threading.Thread(target=deque, args=(process.stderr, 0), daemon=True).start()
        try:
            tally = play_rounds(count, url, Path(root), first=first, tell=lambda words: echo(f"  {words}", err=True))
        finally:
            process.terminate()
    echo(str(tally))
    return len(tally.violations)


if __name__ == "__main__":
    sys.exit(main())
