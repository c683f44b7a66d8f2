"""What every command about a manifest starts with: the manifest, where its things are, and the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kling_batch.engine.facts import gather, with_rerolls
from kling_batch.engine.outlook import Outlook, outlook
from kling_batch.engine.plan import Plan, make_plan
from kling_batch.engine.select import select
from kling_batch.files.disk import disk_border
from kling_batch.files.lock import Lock, read_lock
from kling_batch.journal.journal import Snapshot, read_snapshot
from kling_batch.manifest import load
from kling_batch.model import Manifest, Take
from kling_batch.service.catalog import kind

KIND = "text-to-audio"
"""The kind of task of every job, so far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A manifest, each take with its own edition, and where its things are.

    `seen` is the lock file's time and size when it was read.
    """

    manifest: Manifest
    out: Path
    lock_path: Path
    lock: Lock
    sandbox: bool
    seen: tuple[int, int] | None = None

    def plan(self, *, retries: int, expressions: Sequence[str] = (), snapshot: Snapshot | None = None) -> Plan:
        """Make the plan from what is on this machine. `snapshot` is the journal, if it was read a moment ago."""
        known = snapshot or read_snapshot(self.out)
        takes = self.manifest.takes
        prices = {KIND: self.outlook(known, None).units}
        facts = gather(takes, known, self.lock, self.out)
        plan = make_plan(facts, self.lock, retries=retries, wanted=(take.key for take in takes), prices=prices)
        return select(plan, expressions)

    def outlook(self, snapshot: Snapshot, concurrency: int | None) -> Outlook:
        """Say what a run would cost and take; `concurrency` None is the manifest's."""
        at_once = concurrency or self.manifest.concurrency
        return outlook(snapshot, self.lock, list_units=kind(KIND).units, concurrency=at_once)

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where a project's things are."""

    out: Path
    lock: Path


def places_of(manifest: Path, project: str, *, out: Path | None, lock_path: Path | None, sandbox: bool) -> Places:
    """Say where a project's things are; what the sandbox makes has folders and a lock of its own."""
    suffix = ".sandbox" if sandbox else ""
    return Places(
        out=out or Path("out") / f"{project}{suffix}",
        lock=lock_path or manifest.with_name(f"{manifest.name}{suffix}.lock"),
    )


def open_project(
    manifest: Path, *, project: str | None, out: Path | None, lock_path: Path | None, sandbox: bool
) -> Project:
    """Read manifest and lock. What the sandbox makes has folders, lock and store of its own.

    Raises:
        UsageError: Manifest or lock is missing or invalid.
    """
    loaded = load(manifest, project=project)
    places = places_of(manifest, loaded.project, out=out, lock_path=lock_path, sandbox=sandbox)
    opened = Project(
        manifest=loaded,
        out=places.out,
        lock_path=places.lock,
        lock=Lock(project=loaded.project),
        sandbox=sandbox,
        seen=(0, 0),
    )
    return opened.current()


def _state_of(path: Path) -> tuple[int, int] | None:
    with disk_border(path):
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
    return found.st_mtime_ns, found.st_size
