"""Sounds that came into the folder without being verified here, such as with a checkout, looked at for the page."""

from __future__ import annotations

from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import assert_never

from kling_batch.catalog import formats
from kling_batch.delivery.verify import Rejected, Suspect, Verified, verify_audio
from kling_batch.disk import hash_file, is_file
from kling_batch.model import FileRecord, RunResult, Shape


def without_shape(result: RunResult, known: Container[str]) -> list[FileRecord]:
    """List a file of each take, and of each earlier sound, that nobody has looked at; `known` are hashes."""
    sounds = [take.files for take in result.takes if take.files] + [(one.file,) for one in result.earlier]
    return [files[0] for files in sounds if not any(file.sha256 in known for file in files)]


def look_at(files: Iterable[FileRecord], out: Path) -> dict[str, Shape]:
    """Look at files, some at a time. What is missing, modified or broken is left out: `verify` tells of it. Blocks.

    Returns:
        What each sound looks like, by its hash.

    Raises:
        DiskUnusable: A file is there and cannot be read.
    """
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda file: (file.sha256, _shape(out, file)), files)
        return {sha256: shape for sha256, shape in found if shape is not None}


def _shape(out: Path, record: FileRecord) -> Shape | None:
    path = out / record.path
    if not is_file(out, record.path) or hash_file(path) != record.sha256:
        return None
    verdict = verify_audio(
        path,
        audio_format=record.format,
        requested_s=record.duration_s,
        also=formats(),
        with_shape=True,
    )
    match verdict:
        case Verified(shape=shape) | Suspect(sound=Verified(shape=shape)):
            return shape
        case Rejected():
            return None
        case _:
            assert_never(verdict)
