"""What every command about a manifest starts with: the manifest, where its things are, and the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

from kling_batch.disk import disk_border
from kling_batch.manifest import load as load_manifest
from kling_batch.model import Manifest, Take
from kling_batch.planning.outlook import Outlook, outlook
from kling_batch.planning.plan import Action, Plan, make_plan
from kling_batch.planning.select import select as select_steps
from kling_batch.planning.sources import with_sources
from kling_batch.records.lock import Lock, read_lock
from kling_batch.records.looking import Snapshot, read_snapshot
from kling_batch.records.state import gather, with_rerolls
from kling_batch.records.store import Store
from kling_batch.records.store_at import store_at
from kling_batch.service.catalog import kind

KIND = "text-to-audio"
"""The kind of task of every job, so far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A manifest, each take with its own edition, and where its things are.

    `seen` is the lock file's time and size when it was read; `place` are the options that say where its things are.
    """

    manifest: Manifest
    out: Path
    lock_path: Path
    lock: Lock
    sandbox: bool
    seen: tuple[int, int] | None = None
    place: tuple[str, ...] = ()

    def plan(self, *, retries: int, expressions: Sequence[str] = (), snapshot: Snapshot | None = None) -> Plan:
        """Make the plan from what is on this machine. `snapshot` is the journal, if it was read a moment ago."""
        known = snapshot or read_snapshot(self.out)
        takes = self.manifest.takes
        prices = {KIND: self.outlook(known, None).units}
        facts = gather(takes, known, self.lock, self.out)
        made = make_plan(facts, self.lock, retries=retries, wanted=(take.key for take in takes), prices=prices)
        return select_steps(made, expressions)

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
    """Where a project's things are, and the options that say so, for another command to find them."""

    out: Path
    lock: Path
    options: tuple[str, ...]


def places_of(
    manifest: Path,
    name: str,
    *,
    project: str | None,
    out: str | Path | None,
    lock: str | Path | None,
    sandbox: bool,
) -> Places:
    """Say where the things of a project of that name are; what the sandbox makes has folders and a lock of its own."""
    suffix = ".sandbox" if sandbox else ""
    given = {"--project": project, "--out": out, "--lock": lock}
    options = [word for option, value in given.items() if value for word in (option, str(value))]
    return Places(
        out=Path(out) if out else Path("out") / f"{name}{suffix}",
        lock=Path(lock) if lock else manifest.with_name(f"{manifest.name}{suffix}.lock"),
        options=(*options, "--sandbox") if sandbox else tuple(options),
    )


def load(
    manifest: str | Path,
    *,
    project: str | None = None,
    out: str | Path | None = None,
    lock: str | Path | None = None,
    sandbox: bool = False,
) -> Project:
    """Read a manifest and its lock.

    Args:
        manifest: A .yaml, .json, .jsonl or .csv file.
        project: The project's name, for tables; without it, the file's stem.
        out: Where the sounds go; without it, `out/PROJECT`.
        lock: The lock; without it, the manifest's path with `.lock` after it.
        sandbox: Whether everything is done with a sandbox inside the process. What it makes has a folder, a lock and a
            store of its own.

    Raises:
        ManifestInvalid: The manifest has problems: all of them are in the error.
        UsageError: Manifest or lock is missing or cannot be relied on.
    """
    path = Path(manifest)
    loaded = load_manifest(path, project=project)
    places = places_of(path, loaded.project, project=project, out=out, lock=lock, sandbox=sandbox)
    opened = Project(
        manifest=loaded,
        out=places.out,
        lock_path=places.lock,
        lock=Lock(project=loaded.project),
        sandbox=sandbox,
        seen=(0, 0),
        place=places.options,
    )
    return opened.current()


def plan(
    project: Project,
    *,
    select: str | Sequence[str] = (),
    retries: int = 2,
    store: str | Path | None = None,
    snapshot: Snapshot | None = None,
) -> Plan:
    """Work out what a run would do to each take, why, and what it may cost. Needs no keys and no network.

    Args:
        project: What `load` gave. Its lock is the one that was read then.
        select: Which takes are meant, as `--select` says it: an expression, or several; none means all.
        retries: How many new attempts a task may have that failed for a passing reason.
        store: Where copies of finished sounds are kept, for the plan to say what comes from there.
        snapshot: The journal, if it was read a moment ago.

    Raises:
        UsageError: An expression is malformed or matches nothing.
    """
    made = project.plan(retries=retries, expressions=expressions_of(select), snapshot=snapshot)
    if made.count(Action.RESTORE) or made.count(Action.MOVED):
        made = with_sources(made, project.out, open_store(store, sandbox=project.sandbox))
    return made


def expressions_of(select: str | Sequence[str]) -> tuple[str, ...]:
    """Take one expression for a list of one."""
    return (select,) if isinstance(select, str) else tuple(select)


@overload
def open_store(location: str | Path, *, sandbox: bool) -> Store: ...
@overload
def open_store(location: str | Path | None, *, sandbox: bool) -> Store | None: ...
def open_store(location: str | Path | None, *, sandbox: bool) -> Store | None:
    """Open the store at a place, a folder or the URL of object storage; None is no store.

    Raises:
        UsageError: There can be no store there, or what object storage needs is missing.
    """
    return None if location is None else store_at(str(location), namespace="sandbox" if sandbox else "live")


def _state_of(path: Path) -> tuple[int, int] | None:
    with disk_border(path):
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
    return found.st_mtime_ns, found.st_size
