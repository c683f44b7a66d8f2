"""What is made of a sound by a recipe: the same bytes of the same source, whoever makes them."""

from __future__ import annotations

import json
import tempfile
from functools import lru_cache
from pathlib import Path

from kling_batch.catalog import kind_of
from kling_batch.delivery.finish import Unfinishable, finish_sound
from kling_batch.delivery.finish.tags import tags_of
from kling_batch.model import Take
from kling_batch.sandbox.careless import careless
from kling_batch.sandbox.clips import ClipSpec
from kling_batch.sandbox.filehost import _corrupted
from tests.quick_clips import quick_clip


def bytes_of(spec: ClipSpec, damage: int) -> bytes:
    """Make a file as the service serves it, damaged or not."""
    return _corrupted(careless(quick_clip(spec), spec), damage)


def finished(take: Take, task_id: str, spec: ClipSpec, damage: int) -> dict[str, str]:
    """Give the hashes of what a take's recipe makes of a file, by format; nothing where it cannot be finished."""
    tags = {name: text for name, text in tags_of(take, kind_of(take.job).words_of(take.job), task_id).items() if text}
    return dict(_finished(json.dumps(take.job.finish), json.dumps(tags), spec, damage))


@lru_cache(maxsize=1024)
def _finished(recipe: str, tags: str, spec: ClipSpec, damage: int) -> tuple[tuple[str, str], ...]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:  # noqa: S108
        source = Path(folder, "source")
        source.write_bytes(bytes_of(spec, damage))
        try:
            made = finish_sound(source, json.loads(recipe), folder=Path(folder), name="made", tags=json.loads(tags))
        except Unfinishable:
            return ()
        return tuple((file.record.format, file.record.sha256) for file in made.files)
