"""Chosen takes under plain names: the files of the take that a person picked stand a second time, as the job's."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

from kling_batch.catalog.paths import filled, folded
from kling_batch.delivery.place import coming_file, place
from kling_batch.disk import disk_border, hash_file, is_file, look
from kling_batch.effects import Probe, no_probe
from kling_batch.model import FileRecord, Job, Take, TakeKey
from kling_batch.planning.edits import is_edited, made_here
from kling_batch.planning.plan import Step
from kling_batch.records.lock import Lock, LockEntry
from kling_batch.records.state import is_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A picked take whose sound the lock has, with the files that are asked for."""

    take: Take
    records: tuple[FileRecord, ...]

    def path(self, record: FileRecord) -> str:
        """Where a file stands under the job's plain name, under the output folder."""
        return self.take.job.picked_path(record.format)


@dataclass(frozen=True, kw_only=True, slots=True)
class Picks:
    """What a lock says of picks, as far as it can be done; `unplaceable` says why a job has no plain name."""

    chosen: tuple[Chosen, ...] = ()
    unplaceable: Mapping[str, str] = field(default_factory=dict)


def picks_of(takes: Sequence[Take], lock: Lock) -> Picks:
    """Read the picks of a manifest's takes.

    Args:
        takes: All takes of the manifest: their paths are taken.
        lock: What the lock says.
    """
    picked: dict[str, list[tuple[Take, LockEntry]]] = {}
    for take in takes:
        entry = lock.entries.get(take.key)
        if entry is not None and entry.picked:
            picked.setdefault(take.job.id, []).append((take, entry))
    if not picked:
        return Picks()
    taken = taken_names(takes)
    chosen, unplaceable = [], {}
    for job_id, found in picked.items():
        take, entry = found[0]
        reason = _several(job_id, [one.number for one, _ in found]) or why_unplaceable(take, taken)
        if reason is not None:
            unplaceable[job_id] = reason
        elif take.job.picked_stem != take.stem and is_of(entry, take):
            chosen.append(Chosen(take=take, records=tuple(entry.shipped(take.job).values())))
    return Picks(chosen=tuple(chosen), unplaceable=unplaceable)


def recorded(steps: Iterable[Step]) -> tuple[TakeKey, ...]:
    """Give the takes of a plan that the lock says were picked, also under the name of a job that is gone."""
    known = ((step.key, step.facts) for step in steps if step.facts is not None)
    found = ((key, facts.moved or facts.entry or facts.finished) for key, facts in known)
    return tuple(key for key, entry in found if entry is not None and entry.picked)


def notes_of(steps: Iterable[Step]) -> dict[TakeKey, str]:
    """Give what people say of the sounds that a plan's takes have now."""
    known = ((step.key, step.facts.moved or step.facts.finished) for step in steps if step.facts is not None)
    return {key: entry.note for key, entry in known if entry is not None and entry.note}


def taken_names(takes: Sequence[Take]) -> set[str]:
    """Give the paths of all takes, in the form in which large and small letters are one."""
    return {folded(stem) for take in takes for stem in filled(take.stem, take.job)}


def why_unplaceable(take: Take, taken: set[str]) -> str | None:
    """Say why a take cannot stand under its job's plain name; None when it can. For `taken` see `taken_names`."""
    job = take.job
    if not job.picked_stem:
        return f"the plain name `{job.id}` can be no path: give the job another with `picked` in the manifest"
    own = job.picked_stem == take.stem and job.takes == 1
    if not own and not taken.isdisjoint(map(folded, filled(job.picked_stem, job))):
        return f"its plain name {job.picked_stem} is the path of a take: give the job another with `picked`"
    return None


def _several(job_id: str, numbers: list[int]) -> str | None:
    if len(numbers) == 1:
        return None
    words = " and ".join(map(str, numbers))
    return f"takes {words} are both picked; choose one, such as: kling-batch pick MANIFEST {job_id}={numbers[0]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Brought:
    """What came of bringing picks: what lacks, since its original is missing or modified; words on what was edited."""

    lacking: list[Path] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)


def bring_picks(
    chosen: Sequence[Chosen], out: Path, *, lock: Lock, restore_edited: bool, probe: Probe = no_probe
) -> Brought:
    """Copy the files of chosen takes to their plain names, where their own files are in place. Blocks.

    A copy has the time of its original, so that what is in place is seen without reading it.

    Args:
        chosen: The takes.
        out: The output folder.
        lock: What the lock says: a sound that it does not know was edited.
        restore_edited: Moves aside what was edited; else it is kept.
        probe: Is told of every effect.

    Raises:
        DiskUnusable: A file cannot be read or written.
    """
    brought = Brought()
    if not chosen:
        return brought
    made = made_here(lock)
    for one in chosen:
        for record in one.records:
            name = one.path(record)
            source, dest = out / one.take.path(record.format), out / name
            with disk_border(dest):
                if _is_copy(out, one, record):
                    continue
                edited = is_edited(out, name, made)
                if edited and not restore_edited:
                    brought.edited.append(f"{name}: edited; it is kept, and --restore-edited puts the pick back")
                    continue
                if not is_file(out, one.take.path(record.format)) or hash_file(source) != record.sha256:
                    brought.lacking.append(dest)
                    continue
                coming = coming_file(out, f"picked.{record.sha256}")
                shutil.copy2(source, coming)
            replaced = place(coming, dest, out=out, sha256=record.sha256, probe=probe)
            if replaced is not None and edited:
                where = replaced.relative_to(out).as_posix()
                brought.edited.append(f"{name}: the pick is in place, and what stood there is kept as {where}")
    return brought


def drop_picks(job: Job, records: Iterable[FileRecord], out: Path, taken: set[str]) -> list[Path]:
    """Remove a job's files under its plain name, where they are a take's: a file that was edited stays.

    Args:
        job: Whose pick is taken back.
        records: What the job's takes are.
        out: The output folder.
        taken: See `taken_names`; a take's own file is never removed.

    Returns:
        What stayed.
    """
    if not job.picked_stem:
        return []
    known = {(record.format, record.sha256) for record in records}
    stayed = []
    for audio_format in {name for name, _ in known}:
        name = job.picked_path(audio_format)
        if folded(name.removesuffix(f".{audio_format}")) in taken:
            continue
        file = out / name
        with disk_border(file):
            if not is_file(out, name):
                continue
            if (audio_format, hash_file(file)) in known:
                file.unlink()
            else:
                stayed.append(file)
    return stayed


def _is_copy(out: Path, one: Chosen, record: FileRecord) -> bool:
    """Whether a plain name's file is in place: by size and time if that says so, else by its hash."""
    there, original = look(out, one.path(record)), look(out, one.take.path(record.format))
    if there is None or not S_ISREG(there.st_mode) or there.st_size != record.bytes:
        return False
    untouched = original is not None and (there.st_mtime_ns, there.st_size) == (original.st_mtime_ns, original.st_size)
    return untouched or hash_file(out / one.path(record)) == record.sha256
