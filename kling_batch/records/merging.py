"""Locks that several write to, merged take by take: a run's part in a lock, and what two branches made of one."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from kling_batch.model import TakeKey
from kling_batch.records.lock import LONGEST_NOTE, Lock, LockEntry


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What a run changes.

    `base` is the lock that it was planned by; `finished` are the takes whose entries are others than there; `dropped`
    are no longer asked for; `lost` are retired entries, by external id, whose bytes are nowhere any more; `rejected`
    are sounds of the run, by external id, whose takes it rolled again.
    """

    base: Lock
    finished: Mapping[TakeKey, LockEntry] = field(default_factory=dict)
    dropped: AbstractSet[TakeKey] = frozenset()
    lost: frozenset[str] = frozenset()
    rejected: Mapping[str, LockEntry] = field(default_factory=dict)


def merge(now: Lock, changes: Changes) -> Lock:
    """Put a run's changes into a lock as it is now. No entry is lost but those in `lost`: what gives way is retired.

    What the run finished stands, unless somebody else locked a later edition of that take since the run was planned.
    Picks and rerolls are those that are in the lock now: a take that was rolled again meanwhile is made by the next
    run. A take that somebody else locked anew is not dropped.
    """
    entries, retired = dict(now.entries), {**now.retired, **changes.rejected}
    for name in changes.lost:
        retired.pop(name, None)
    places = {entry.external_id: key for key, entry in changes.finished.items()}
    for key, entry in now.entries.items():
        if places.get(entry.external_id, key) != key:  # its job was renamed
            retired[entry.external_id] = entries.pop(key)
    for key, finished in changes.finished.items():
        theirs, again = entries.get(key), retired.pop(finished.external_id, None)
        ours = _as_people_said(finished, theirs or again)
        if theirs is None or theirs.external_id == ours.external_id:
            entries[key] = ours
            continue
        kept, gone = (theirs, ours) if _is_later(theirs, ours, changes.base.entries.get(key)) else (ours, theirs)
        entries[key] = kept
        retired[gone.external_id] = replace(gone, picked=False)
    for key in changes.dropped & entries.keys():
        if entries[key].external_id == changes.base.entries[key].external_id:
            entry = entries.pop(key)
            retired[entry.external_id] = entry
    return replace(now, entries=entries, retired=retired)


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """What became of two branches. `both` are theirs of the takes that both made anew: the lock has ours."""

    lock: Lock
    both: Mapping[TakeKey, LockEntry]


def merge_branches(base: Lock, ours: Lock, theirs: Lock) -> Merged:
    """Merge what two branches made of a lock. What one retired and the other made anew stays asked for."""
    entries: dict[TakeKey, LockEntry] = {}
    both: dict[TakeKey, LockEntry] = {}
    for key in {**ours.entries, **theirs.entries}:
        was, mine, other = (lock.entries.get(key) for lock in (base, ours, theirs))
        if other in (mine, was):  # entries have no hash
            entry = mine
        elif mine == was or mine is None:
            entry = other
        elif other is None:
            entry = mine
        else:
            entry = _joined(was, mine, other)
            if entry is None:
                entry, both[key] = mine, other
        if entry is not None:
            entries[key] = entry
    active = {entry.external_id for entry in entries.values()}
    forgotten = base.retired.keys() - (ours.retired.keys() & theirs.retired.keys())
    retired = {
        name: entry
        for name, entry in {**theirs.retired, **ours.retired}.items()
        if name not in forgotten and name not in active
    }
    return Merged(lock=replace(ours, entries=entries, retired=retired), both=both)


def merge_unasked(base: Lock, ours: Lock, theirs: Lock) -> Lock:
    """Merge two branches where nobody can be asked: the later edition of a take stays, the other sound is retired.

    No entry of either is lost, but for what is retired and was forgotten by one of them.
    """
    merged = merge_branches(base, ours, theirs)
    entries = dict(merged.lock.entries)
    entries |= {key: entry for key, entry in merged.both.items() if entry.edition > entries[key].edition}
    known = {entry.external_id for entry in entries.values()} | merged.lock.retired.keys()
    rest = [*ours.entries.values(), *theirs.entries.values()]
    gone = {entry.external_id: replace(entry, picked=False) for entry in rest if entry.external_id not in known}
    return replace(merged.lock, entries=entries, retired={**merged.lock.retired, **gone})


def _joined(was: LockEntry | None, mine: LockEntry, other: LockEntry) -> LockEntry | None:
    """Join what two branches say of one sound; None where they are two sounds."""
    hashes = {file.format: file.sha256 for file in mine.files}
    same = all(hashes.get(file.format, file.sha256) == file.sha256 for file in other.files)
    if (mine.external_id, mine.task_id) != (other.external_id, other.task_id) or not same:
        return None
    older, newer = (mine, other) if was is not None and mine.files == was.files else (other, mine)
    files = {file.format: file for file in (*older.files, *newer.files)}
    picked = mine.picked and other.picked if was is not None and was.picked else mine.picked or other.picked
    note = _note({mine.note, other.note}, "" if was is None else was.note)
    rerolls = max(mine.rerolls, other.rerolls)
    done = other if _done(mine) == (_done(was) if was is not None else ({}, (), ())) else mine
    joined = replace(newer, recipe=done.recipe, finished=done.finished, remarks=done.remarks)
    return replace(joined, files=tuple(files.values()), picked=picked, note=note, rerolls=rerolls)


def _done(entry: LockEntry) -> tuple[object, ...]:
    """What was done to a sound once it had come."""
    return entry.recipe, entry.finished, entry.remarks


def _note(said: AbstractSet[str], before: str) -> str:
    """Join what two branches say of one sound, as far as it is new."""
    new = sorted(note for note in said - {before} if note)
    return " / ".join(new)[:LONGEST_NOTE] if said != {before} else before


def _as_people_said(ours: LockEntry, said: LockEntry | None) -> LockEntry:
    """Take over what people said of a take, and of its sound if it is the same.

    Rerolls only grow: fewer come from an older lock put back.
    """
    if said is None:
        return ours
    note = said.note if said.external_id == ours.external_id else ours.note
    return replace(ours, picked=said.picked, note=note, rerolls=max(said.rerolls, ours.rerolls))


def _is_later(theirs: LockEntry, ours: LockEntry, before: LockEntry | None) -> bool:
    """Whether somebody else locked a later edition of a take since the run was planned."""
    seen = before is not None and before.external_id == theirs.external_id
    return not seen and theirs.edition > ours.edition
