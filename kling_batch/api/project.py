"""What every command about a manifest starts with: the manifest, where its things are, and the plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kling_batch.disk import refuse_outside
from kling_batch.manifest import load as load_manifest
from kling_batch.planning.plan import Action, Plan
from kling_batch.planning.project import Project
from kling_batch.planning.sources import with_sources
from kling_batch.records.lock import Lock
from kling_batch.records.snapshot import Snapshot
from kling_batch.records.store import Store
from kling_batch.records.store_at import store_at


def load(
    manifest: str | Path,
    *,
    project: str | None = None,
    out: str | Path | None = None,
    lock: str | Path | None = None,
    sandbox: bool = False,
    allow_outside: bool = False,
    flatten: bool = False,
    adopt: bool = False,
) -> Project:
    """Read a manifest and its lock.

    Args:
        manifest: A .yaml, .json, .jsonl, .csv, .xlsx or .ods file.
        project: The project's name, for tables; without it, the file's stem.
        out: Where the sounds go; without it, `out/PROJECT`.
        lock: The lock; without it, the manifest's path with `.lock` after it.
        sandbox: Whether everything is done with a sandbox inside the process. What it makes has a folder, a lock and a
            store of its own.
        allow_outside: Whether manifest, tables and lock may lead outside of their folder, by `..` or by links: only
            where you trust whoever wrote them.
        flatten: Whether all files stand in one folder: `a/b.wav` is called `a_b.wav`.
        adopt: Whether to take over the output folder of another manifest: of this one under its former name.

    Raises:
        ManifestInvalid: The manifest has problems: all of them are in the error.
        UsageError: Manifest or lock is missing or cannot be relied on.
    """
    path = Path(manifest)
    loaded = load_manifest(path, project=project, allow_outside=allow_outside, flatten=flatten)
    suffix = ".sandbox" if sandbox else ""
    given = {"--project": project, "--out": out, "--lock": lock}
    place = [word for option, value in given.items() if value for word in (option, str(value))]
    place += ["--sandbox"] * sandbox + ["--allow-outside"] * allow_outside + ["--flatten"] * flatten
    opened = Project(
        manifest=loaded,
        out=Path(out) if out else Path("out") / f"{loaded.project}{suffix}",
        lock_path=Path(lock) if lock else path.with_name(f"{path.name}{suffix}.lock"),
        lock=Lock(project=loaded.project),
        sandbox=sandbox,
        seen=(0, 0),
        place=tuple(place),
        adopt=adopt,
    )
    if not allow_outside:
        refuse_outside(opened.lock_path, opened.lock_path.parent, f"The lock {opened.lock_path}")
    return opened.current()


def plan(
    project: Project,
    *,
    select: str | Sequence[str] = (),
    retries: int = 2,
    reroll_rejected: int = 0,
    keep_sources: bool = False,
    store: str | Path | None = None,
    snapshot: Snapshot | None = None,
) -> Plan:
    """Work out what a run would do to each take, why, and what it may cost. Needs no keys and no network.

    Args:
        project: What `load` gave. Its lock is the one that was read then.
        select: Which takes are meant, as `--select` says it: an expression, or several; none means all.
        retries: How many new attempts a task may have that failed for a passing reason.
        reroll_rejected: How many rejected sounds of a take another is made in place of.
        keep_sources: Whether finished sounds are also to stand under `sources/`, as they were delivered.
        store: Where copies of finished sounds are kept, for the plan to say what comes from there.
        snapshot: The journal, if it was read a moment ago.

    Raises:
        UsageError: An expression is malformed or matches nothing.
    """
    made = project.plan(
        retries=retries,
        expressions=expressions_of(select),
        snapshot=snapshot,
        keep_sources=keep_sources,
        reroll_rejected=reroll_rejected,
    )
    if any(map(made.count, (Action.RESTORE, Action.MOVED, Action.FINISH))):
        opened = None if store is None else open_store(store, sandbox=project.sandbox)
        made = with_sources(made, project.out, opened)
    return made


def expressions_of(select: str | Sequence[str]) -> tuple[str, ...]:
    """Take one expression for a list of one."""
    return (select,) if isinstance(select, str) else tuple(select)


def open_store(location: str | Path, *, sandbox: bool) -> Store:
    """Open the store at a place, a folder or the URL of object storage.

    Raises:
        UsageError: There can be no store there, or what object storage needs is missing.
    """
    return store_at(str(location), namespace="sandbox" if sandbox else "live")
