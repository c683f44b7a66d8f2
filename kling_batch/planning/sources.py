"""Where the files of a restore would come from: another place on the disk, the store, or the service."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from kling_batch.catalog.finish import lead_of
from kling_batch.delivery.place import rejected_path
from kling_batch.disk import is_file
from kling_batch.errors import DiskUnusable
from kling_batch.model import FileRecord, Take
from kling_batch.planning.plan import Action, Plan, Step
from kling_batch.records.store import Store

SERVICE = "the service"


def with_sources(plan: Plan, out: Path, store: Store | None) -> Plan:
    """Say in the reason of every step that brings files back where they come from. Looks at disk and store."""
    return Plan(steps=tuple(_with_sources(step, out, store) for step in plan.steps))


def _with_sources(step: Step, out: Path, store: Store | None) -> Step:
    if step.action not in {Action.RESTORE, Action.MOVED, Action.FINISH} or not (found := sources(step, out, store)):
        return step
    return replace(step, reason=f"{step.reason} (from {' and '.join(found)})")


def sources(step: Step, out: Path, store: Store | None) -> Collection[str]:
    """Name every source of the files that a step lacks. A store that cannot be used has none of them.

    What was made of a sound and is nowhere is made of it again: its source is that of the sound.
    """
    facts = step.facts
    if facts is None:
        return ()
    take, lead = facts.take, lead_of(facts.take.job.formats)
    lacking = [name for name, state in facts.presence.items() if state.lacks]
    finished = [name for name in lacking if take.job.finish and name not in take.job.as_delivered]
    delivered = [name for name in lacking if name not in finished]
    delivered += [name for name, state in facts.sources.items() if state.lacks]
    found = [_source(facts.finished_files.get(name), take, out, store, but=take.path(name)) for name in finished]
    if lead is not None and (step.action is Action.FINISH or SERVICE in found):
        found = [_source(facts.known_files.get(lead), take, out, store)]
    found += [_source(facts.known_files.get(name), take, out, store, but=take.source_path(name)) for name in delivered]
    return dict.fromkeys(found)


def source_paths(take: Take, known: FileRecord) -> list[str]:
    """Say where a file may stand as it was delivered: as it is known, aside of what was made of it, or rejected."""
    return [known.path, take.source_path(known.format), rejected_path(take.path(known.format), known.sha256)]


def places(take: Take, known: FileRecord) -> list[str]:
    """Say where the bytes of a file may stand, also under its final name, where something else may stand by now."""
    return [*source_paths(take, known), take.path(known.format)]


def _source(known: FileRecord | None, take: Take, out: Path, store: Store | None, *, but: str = "") -> str:
    if known is None:
        return SERVICE
    if any(is_file(out, path) for path in source_paths(take, known) if path != but):
        return "another place on the disk" if but else "the disk"
    try:
        return "the store" if store is not None and store.has(known.sha256) else SERVICE
    except DiskUnusable:
        return SERVICE
