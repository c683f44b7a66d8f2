"""Where the files of a restore would come from: another place on the disk, the store, or the service."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from kling_batch.disk import is_file
from kling_batch.errors import DiskUnusable
from kling_batch.planning.plan import Action, Plan, Step
from kling_batch.records.state import TakeState
from kling_batch.records.store import Store

SERVICE = "the service"


def with_sources(plan: Plan, out: Path, store: Store | None) -> Plan:
    """Say in the reason of every step that brings files back where they come from. Looks at disk and store."""
    return Plan(steps=tuple(_with_sources(step, out, store) for step in plan.steps))


def _with_sources(step: Step, out: Path, store: Store | None) -> Step:
    if step.action not in {Action.RESTORE, Action.MOVED} or not (found := sources(step, out, store)):
        return step
    return replace(step, reason=f"{step.reason} (from {' and '.join(found)})")


def sources(step: Step, out: Path, store: Store | None) -> Collection[str]:
    """Name every source of the files that a step lacks. A store that cannot be used has none of them."""
    facts = step.facts
    if facts is None:
        return ()
    lacking = [name for name, state in facts.presence.items() if state.lacks]
    return dict.fromkeys(_source(facts, name, out, store) for name in lacking)


def _source(facts: TakeState, audio_format: str, out: Path, store: Store | None) -> str:
    known = facts.known_files.get(audio_format)
    if known is None:
        return SERVICE
    if known.path != facts.take.path(audio_format) and is_file(out, known.path):
        return "another place on the disk"
    try:
        return "the store" if store is not None and store.has(known.sha256) else SERVICE
    except DiskUnusable:
        return SERVICE
