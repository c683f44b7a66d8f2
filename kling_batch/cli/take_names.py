"""Takes as people name them on the command line, found in manifest and lock."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kling_batch.errors import UsageError
from kling_batch.model import Take, TakeKey
from kling_batch.planning.project import Project
from kling_batch.records.state import is_of
from kling_batch.text import some

_SHOWN = 12
_NUMBER = re.compile(r"[0-9]{1,9}")


def parse_key(text: str, separator: str) -> TakeKey:
    """Read a take's name, such as `door-creak:2`.

    Raises:
        UsageError: It is none.
    """
    job_id, found, number = text.rpartition(separator)
    if not found or not job_id or not _NUMBER.fullmatch(number):
        raise UsageError(f"{text!r} names no take.", hint=f"Write JOB{separator}TAKE, such as door-creak{separator}2.")
    return TakeKey(job_id, int(number))


def locked_takes(project: Project, keys: Iterable[TakeKey]) -> list[Take]:
    """Find takes whose sound is locked.

    Raises:
        UsageError: The manifest does not ask for one of them, or its sound is not in the lock.
    """
    wanted = {take.key: take for take in project.manifest.takes}
    found = []
    for key in keys:
        if key not in wanted:
            raise UsageError(f"The manifest asks for no take {key}.", hint=_there_is(project, key.job_id))
        entry = project.lock.entries.get(key)
        if entry is None:
            message = f"Take {key} is not in the lock {project.lock_path}: it is not made yet."
            raise UsageError(message, hint="kling-batch run makes it.")
        if not is_of(entry, wanted[key]):
            raise UsageError(
                f"Take {key} is not what is asked for any more: its job changed, or it is being rolled again.",
                hint="kling-batch plan says what changed; kling-batch run makes it.",
            )
        found.append(wanted[key])
    return found


def _there_is(project: Project, job_id: str) -> str:
    numbers = [take.number for take in project.manifest.takes if take.job.id == job_id]
    if len(numbers) > 1:
        return f"{job_id} has {len(numbers)} takes: 1 to {len(numbers)}."
    if numbers:
        return f"{job_id} has take 1."
    return f"There are the jobs {some((job.id for job in project.manifest.jobs), _SHOWN)}."
