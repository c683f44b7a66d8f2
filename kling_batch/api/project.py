"""What every command about a manifest starts with: the manifest, where its things are, and the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from kling_batch.manifest import load as load_manifest
from kling_batch.planning.plan import Action, Plan
from kling_batch.planning.project import Project
from kling_batch.planning.sources import with_sources
from kling_batch.records.lock import Lock
from kling_batch.records.snapshot import Snapshot
from kling_batch.records.store import Store
from kling_batch.records.store_at import store_at


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
