"""The proof from the command line: `python -m tests.chaos --seeds 10000`, `--seed 17`, `--points`, `--kills 200`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from click import echo

from kling_batch.__main__ import silence_libraries
from tests.chaos.history import Kept, draw
from tests.chaos.hostile import draw_hostility, play_hostile
from tests.chaos.kills import kill_batches
from tests.chaos.play import Record, play
from tests.chaos.scenes import killed_at, of_every_kind, reference


@dataclass(slots=True)
class Sum:
    """What came of many histories."""

    records: int = 0
    kills: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    switches: Counter[str] = field(default_factory=Counter)
    delivered: int = 0
    charges: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Add a history's record."""
        self.records += 1
        self.kills += record.kills
        self.faults += record.faults
        self.switches += Counter(record.switches)
        self.delivered += record.delivered
        self.charges += record.charges
        self.bad += [(record.seed, violation) for violation in record.violations]


def main() -> int:
    """Run what is asked for; 1 if anything is violated."""
    warnings.simplefilter("error")
    silence_libraries()
    options = options_of_chaos()
    if options.seed is not None:
        return _replay(options.seed)
    bad = 0
    if options.seeds:
        seeds = range(options.first, options.first + options.seeds)
        total = _many(_by_seed, seeds)
        bad += _report("seeds", total)
        shares = (f"{name} {count / total.records:.1%}" for name, count in sorted(total.switches.items()))
        echo(f"  share of the seeds with each switch: {', '.join(shares)}")
    if options.hostile:
        bad += _report("hostile histories", _many(_by_hostility, range(options.first, options.first + options.hostile)))
    if options.points:
        effects = play(reference()).effects
        echo(f"the reference batch has {effects} effects in a clean run")
        bad += _report("crash points", _many(_by_point, range(1, effects + 1)))
        effects = play(of_every_kind()).effects
        echo(f"the batch of every kind has {effects} effects in a clean run")
        bad += _report("crash points of every kind", _many(_by_point_of_every_kind, range(1, effects + 1)))
    if options.kills:
        bad += _kills(options.kills)
    return 1 if bad else 0


def options_of_chaos() -> argparse.Namespace:
    """Read the options that the proof was called with."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="how many histories to simulate")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="replay one seed, with its event log on stdout")
    parser.add_argument("--hostile", type=int, default=0, help="how many hostile histories to simulate")
    parser.add_argument("--points", action="store_true", help="kill the reference batch at every effect")
    parser.add_argument("--kills", type=int, default=0, help="how many real processes to kill")
    return parser.parse_args()


def _by_seed(seed: int) -> Record:
    return replace(play(draw(seed)), log=[])


def _by_hostility(seed: int) -> Record:
    return replace(play_hostile(draw_hostility(seed)), log=[])


def _by_point(effect: int) -> Record:
    """Kill once with everything kept; at every fifth effect also with everything deleted."""
    record = replace(play(killed_at(effect, Kept.ALL)), seed=effect, log=[])
    if effect % 5 == 0:
        bare = play(killed_at(effect, Kept.NOTHING))
        record.violations += bare.violations
        record.kills += bare.kills
        record.charges += bare.charges
        record.delivered += bare.delivered
    return record


def _by_point_of_every_kind(effect: int) -> Record:
    return replace(play(killed_at(effect, Kept.ALL, of_every_kind())), seed=effect, log=[])


def _many(one: Callable[[int], Record], numbers: Iterable[int]) -> Sum:
    total = Sum()
    began = time.monotonic()
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for record in pool.imap_unordered(one, numbers, chunksize=8):
            total.add(record)
            for violation in record.violations:
                echo(f"  {record.seed}: {violation}", err=True)
            if total.records % 500 == 0:
                seconds = time.monotonic() - began
                echo(f"  {total.records} in {seconds:.0f} s, {len(total.bad)} violations", err=True)
    return total


def _report(what: str, total: Sum) -> int:
    echo(f"{total.records} {what}, {total.kills} kills, {total.faults.total()} faults injected")
    echo("  " + ", ".join(f"{name} {count}" for name, count in sorted(total.faults.items())))
    echo(f"  {total.delivered} takes delivered, {total.charges} charges, {len(total.bad)} violations")
    for seed, violation in sorted(total.bad):
        echo(f"  {what} {seed}: {violation}")
    return len(total.bad)


def _replay(seed: int) -> int:
    record = play(draw(seed))
    echo("\n".join(record.log))
    for violation in record.violations:
        echo(f"seed {seed}: {violation}", err=True)
    echo(f"seed {seed}: {len(record.violations)} violations, log {record.digest}", err=True)
    return 1 if record.violations else 0


def _kills(count: int) -> int:
    began = time.monotonic()
    tally = kill_batches(count, tell=lambda words: echo(f"  {words}", err=True))
    echo(
        f"{tally.kills} real kills ({tally.bare} with all state deleted) over {tally.batches} batches: "
        f"{tally.charges} charges for {tally.delivered} delivered takes, {len(tally.violations)} violations, "
        f"{time.monotonic() - began:.0f} s"
    )
    for violation in tally.violations:
        echo(f"  {violation}")
    return len(tally.violations)


if __name__ == "__main__":
    sys.exit(main())
