"""What every command about a manifest starts with: the manifest, where its things are, and the plan."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kling_batch.engine.facts import gather
from kling_batch.engine.plan import Plan, make_plan
from kling_batch.engine.select import select
from kling_batch.files.lock import Lock, read_lock
from kling_batch.files.store import FolderStore, Namespace, Store, default_store_root
from kling_batch.files.store_at import store_at
from kling_batch.journal.journal import read_snapshot
from kling_batch.manifest import load
from kling_batch.model import Manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A manifest and where its things are."""

    manifest: Manifest
    out: Path
    lock_path: Path
    lock: Lock
    sandbox: bool

    def plan(self, *, retries: int, expressions: Sequence[str] = ()) -> Plan:
        """Make the plan from what is on this machine."""
        facts = gather(self.manifest.takes, read_snapshot(self.out), self.lock, self.out)
        wanted = (take.key for take in self.manifest.takes)
        return select(make_plan(facts, self.lock, retries=retries, wanted=wanted), expressions)


def open_project(
    manifest: Path, *, project: str | None, out: Path | None, lock_path: Path | None, sandbox: bool
) -> Project:
    """Read manifest and lock. What the sandbox makes has folders, lock and store of its own.

    Raises:
        UsageError: Manifest or lock is missing or invalid.
    """
    loaded = load(manifest, project=project)
    suffix = ".sandbox" if sandbox else ""
    lock_file = lock_path or manifest.with_name(f"{manifest.name}{suffix}.lock")
    return Project(
        manifest=loaded,
        out=out or Path("out") / f"{loaded.project}{suffix}",
        lock_path=lock_file,
        lock=read_lock(lock_file, project=loaded.project),
        sandbox=sandbox,
    )


def open_store(location: str | None, *, sandbox: bool) -> Store:
    """Open the store: a folder, the URL of object storage, or by default the user's cache folder.

    Raises:
        UsageError: There can be no store there, or what object storage needs is missing.
    """
    namespace: Namespace = "sandbox" if sandbox else "live"
    if location:
        return store_at(location, namespace=namespace)
    root = default_store_root(os.environ, platform=sys.platform, home=Path.home())
    return FolderStore(root, namespace=namespace)
