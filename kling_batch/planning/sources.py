"""Where the files of a restore would come from: another place on the disk, the store, or the service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kling_batch.disk import is_file
from kling_batch.errors import DiskUnusable
from kling_batch.planning.plan import Action, Plan, Step
from kling_batch.records.state import Presence, TakeState
from kling_batch.records.store import Store


def with_sources(plan: Plan, out: Path, store: Store | None) -> Plan:
    """Say in the reason of every step that brings files back where they come from. Looks at disk and store."""
    return Plan(steps=tuple(_with_source(step, out, store) for step in plan.steps))


def _with_source(step: Step, out: Path, store: Store | None) -> Step:
    if step.action not in {Action.RESTORE, Action.MOVED} or step.facts is None:
        return step
    facts = step.facts
    lacking = [name for name, state in facts.presence.items() if state is not Presence.PRESENT]
    sources = dict.fromkeys(_source(facts, name, out, store) for name in lacking)
    if not sources:
        return step
    return replace(step, reason=f"{step.reason} (from {' and '.join(sources)})")


def _source(facts: TakeState, audio_format: str, out: Path, store: Store | None) -> str:
    known = facts.known_files.get(audio_format)
    if known is None:
        return "the service"
    if known.path != facts.take.path(audio_format) and is_file(out, known.path):
        return "another place on the disk"
    return "the store" if store is not None and _has(store, known.sha256) else "the service"


def _has(store: Store, sha256: str) -> bool:
    """Whether the store has a file. One that cannot be used has none: a run goes on without it, too."""
    try:
        return store.has(sha256)
    except DiskUnusable:
        return False
