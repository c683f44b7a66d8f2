"""Files that are not what is known of them: a person edited them, they are earlier sounds, or they are damaged."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG

from kling_batch.delivery.verify import Verified, verify_audio
from kling_batch.disk import MOST_BYTES, disk_border, hash_file, look
from kling_batch.records.attempts import PlacedFile
from kling_batch.records.lock import Lock
from kling_batch.records.snapshot import Snapshot
from kling_batch.records.state import Presence, TakeState


def made_here(lock: Lock, placed: Iterable[Sequence[PlacedFile]] = ()) -> frozenset[str]:
    """Give the hashes of all sounds that were made for this project, as far as lock and journal know."""
    locked = {file.sha256 for entry in lock.everything() for file in entry.all_files}
    return frozenset(locked.union(file.record.sha256 for files in placed for file in files))


def sort_modified(
    states: Sequence[TakeState], snapshot: Snapshot, lock: Lock, out: Path, *, restore_edited: bool
) -> list[TakeState]:
    """Tell modified files, and those where another is to come, that were edited from others. Blocks: each is decoded.

    Args:
        states: What is known of every take.
        snapshot: What the journal says.
        lock: What the lock says.
        out: The output folder.
        restore_edited: Leaves an edited file as modified, so that the original takes its place.

    Raises:
        DiskUnusable: A file is there and cannot be read.
    """

    def sort(state: TakeState) -> TakeState:
        kinds = {name: _sorted(out, state.take.path(name), made) for name in _modified(state)}
        if restore_edited:
            kinds = {name: found for name, found in kinds.items() if found is not Presence.EDITED}
        edited = tuple(path for path in _standing(state, out) if is_edited(out, path, made))
        return replace(state, presence={**state.presence, **kinds}, in_the_way=edited)

    modified = [state for state in states if _modified(state) or _standing(state, out)]
    if not modified:
        return list(states)
    made = made_here(lock, (*snapshot.files.values(), *snapshot.finished.values()))
    with ThreadPoolExecutor() as pool:
        found = {state.take.key: state for state in pool.map(sort, modified)}
    return [found.get(state.take.key, state) for state in states]


def is_edited(out: Path, path: str, made: Collection[str]) -> bool:
    """Whether a file that is not what it should be was edited by a person: it is a whole sound, and none made here."""
    return _sorted(out, path, made) is Presence.EDITED


def _modified(state: TakeState) -> list[str]:
    return [name for name, presence in state.presence.items() if presence is Presence.MODIFIED]


def _standing(state: TakeState, out: Path) -> list[str]:
    """Name the paths where a file stands that this take never made."""
    paths = [state.take.path(name) for name, presence in state.presence.items() if presence is Presence.NEVER]
    return [path for path in paths if look(out, path) is not None]


def _sorted(out: Path, path: str, made: Collection[str]) -> Presence:
    found = look(out, path)
    if found is None or not S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
        return Presence.MODIFIED
    with disk_border(out / path):
        if hash_file(out / path) in made:
            return Presence.EARLIER
    verdict = verify_audio(out / path, audio_format=path.rpartition(".")[2], requested_s=None)
    return Presence.EDITED if isinstance(verdict, Verified) else Presence.MODIFIED
