"""A manifest with its lock and the place of its things: what every plan is made from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from kling_batch.catalog import Kind, kind, kind_of
from kling_batch.disk import disk_border
from kling_batch.errors import UsageError
from kling_batch.model import InputFile, Manifest, Take
from kling_batch.planning.edits import sort_modified
from kling_batch.planning.outlook import Outlook, average, highest_price, outlook
from kling_batch.planning.plan import Plan, make_plan
from kling_batch.planning.select import select as select_steps
from kling_batch.planning.spending import Budget
from kling_batch.records.lock import Lock, read_lock
from kling_batch.records.snapshot import Snapshot, read_snapshot
from kling_batch.records.state import read_states, with_rerolls

SANDBOX_SERVICE = "sandbox in the process"
"""What a journal says of a service that lives and dies with the run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A manifest, each take with its own edition, and where its things are.

    `seen` is the lock file's time and size when it was read; `place` are the options that say where its things are.
    `adopt` agrees to take over the output folder of another manifest.
    """

    manifest: Manifest
    out: Path
    lock_path: Path
    lock: Lock
    sandbox: bool
    seen: tuple[int, int] | None = None
    place: tuple[str, ...] = ()
    adopt: bool = False

    def snapshot(self) -> Snapshot:
        """Read the journal, without holding it.

        Raises:
            UsageError: It is of another manifest, or of the sandbox and the project is not, or the other way round.
            DiskUnusable: There is one, and it cannot be read.
        """
        found = read_snapshot(self.out)
        self.check_folder(found.service, found.manifest)
        return found

    @property
    def manifest_from_out(self) -> str:
        """Where the manifest is, from the output folder: by this the folder remembers it, also when both are moved."""
        path, out = os.path.realpath(self.manifest.path), os.path.realpath(self.out)
        try:
            return Path(os.path.relpath(path, out)).as_posix()
        except ValueError:  # on another drive of Windows
            return Path(path).as_posix()

    def check_folder(self, service: str | None, manifest: str | None) -> None:
        """Check that the output folder belongs to this manifest, and to the sandbox, or to a service, as the project.

        Args:
            service: What its journal says of the service; None where it says nothing.
            manifest: Where the manifest is that it remembers, from there. One of the same name that is there no more
                was moved with everything else.

        Raises:
            UsageError: It does not.
        """
        mine = self.manifest_from_out
        if manifest not in {None, mine} and not self.adopt:
            other = os.path.normpath(self.out / manifest)
            if Path(other).name != Path(mine).name or os.path.lexists(other):
                words = f"{self.out} holds the sounds of {other}, and this is {self.manifest.path}"
                raise UsageError(
                    f"{words}: each would undo the other.",
                    hint="Give this one another folder with --out, or another project's name (`project`, or --project "
                    "for a table). If it is that manifest under a new name, --adopt takes the folder over.",
                )
        if service is not None and (service == SANDBOX_SERVICE) != self.sandbox:
            whose, other = ("a sandbox", "a service") if self.sandbox else ("the service", "a sandbox")
            raise UsageError(
                f"{self.out} holds what {other} made, and this is a run with {whose}.",
                hint="Choose another folder with --out: what a sandbox made never counts as a real sound.",
            )

    def plan(
        self,
        *,
        retries: int,
        expressions: Sequence[str] = (),
        snapshot: Snapshot | None = None,
        prices: Mapping[str, Decimal] | None = None,
        restore_edited: bool = False,
        keep_sources: bool = False,
        reroll_rejected: int = 0,
    ) -> Plan:
        """Make the plan from what is on this machine.

        Args:
            retries: How many new attempts a task may have that failed for a passing reason.
            expressions: Which takes are meant; none means all.
            snapshot: The journal, if it was read a moment ago.
            prices: The most that the account was charged for a task of a kind, in units, where that is known.
            restore_edited: Whether the original takes the place of a file that a person edited.
            keep_sources: Whether finished sounds are to stand under `sources/` as they were delivered, too.
            reroll_rejected: How many rejected sounds of a take another is made in place of.
        """
        known = snapshot or self.snapshot()
        takes = self.manifest.takes
        highest = {each.name: highest_price(each, known.attempts.values(), self.lock) for each in self.kinds}
        highest |= {name: max(price, highest[name]) for name, price in (prices or {}).items()}
        rolls = {"reroll_rejected": reroll_rejected}
        states = read_states(takes, known, self.lock, self.out, keep_sources=keep_sources, **rolls)
        facts = sort_modified(states, known, self.lock, self.out, restore_edited=restore_edited)
        wanted = (take.key for take in takes)
        made = make_plan(facts, self.lock, retries=retries, wanted=wanted, prices=highest, **rolls)
        return select_steps(made, expressions)

    def outlook(self, snapshot: Snapshot, concurrency: int | None, budget: Budget | None = None) -> Outlook:
        """Say what a run would cost and take; `concurrency` None is the manifest's."""
        at_once = concurrency or self.manifest.concurrency
        prices = [kind_of(take.job).units for take in self.manifest.takes]
        return outlook(snapshot, self.lock, list_units=average(prices), concurrency=at_once, budget=budget or Budget())

    @property
    def inputs(self) -> tuple[InputFile, ...]:
        """The files that the service has to read for its tasks."""
        return tuple(file for job in self.manifest.jobs for file in job.inputs)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of task that the manifest asks for."""
        return tuple(kind(name) for name in dict.fromkeys(job.kind for job in self.manifest.jobs))

    def takes(self, expressions: Sequence[str]) -> tuple[Take, ...]:
        """Give the takes that are meant. Without an expression nothing has to be looked at for it."""
        if not expressions:
            return self.manifest.takes
        steps = self.plan(retries=0, expressions=expressions).steps
        return tuple(step.facts.take for step in steps if step.facts is not None)

    def with_lock(self, lock: Lock) -> Project:
        """Give the same project with another lock, and the editions of its takes by that."""
        takes = with_rerolls(self.manifest.takes, lock)
        return replace(self, lock=lock, manifest=replace(self.manifest, takes=takes))

    def current(self) -> Project:
        """Read the lock again, if somebody wrote it since.

        Raises:
            LockInvalid: It cannot be relied on any more.
        """
        seen = _state_of(self.lock_path)
        if seen == self.seen:
            return self
        return replace(self.with_lock(read_lock(self.lock_path, project=self.manifest.project)), seen=seen)


def _state_of(path: Path) -> tuple[int, int] | None:
    with disk_border(path):
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
    return found.st_mtime_ns, found.st_size
