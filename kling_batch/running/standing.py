"""A finished set that stands as it stood: a run over it has nothing to do, and need not plan to know it.

A run that leaves nothing to do notes the hash of everything that it planned from, and the state of every file. While
all of that is as it was, a plan would keep every take; so the next run looks at these alone. Anything else, however
small, is a reason to plan: the note never says that a set is finished that is not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kling_batch import __version__
from kling_batch.disk import disk_border
from kling_batch.errors import ExitStatus
from kling_batch.model import Manifest
from kling_batch.records.attempts import FileState
from kling_batch.records.journal import Journal

if TYPE_CHECKING:
    from kling_batch.running.run import Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What a finished set was planned from. Hashes are SHA-256; `report` is the time and size of `report.json`.

    `place` are the options that say where its things are: the page names them, and `--project` is part of what a take
    is.
    """

    manifest: str
    place: list[str]
    sources: dict[str, str]
    lock: str | None
    expressions: list[str]
    report: list[int] | None
    version: str = __version__

    def text(self) -> str:
        """Write it down."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, text: str) -> Standing | None:
        """Read what was written down; None where another version of the program wrote it."""
        facts = json.loads(text)
        return cls(**facts) if facts.get("version") == __version__ else None


async def note_standing(
    journal: Journal,
    manifest: Manifest,
    outcome: Outcome,
    expressions: Sequence[str],
    *,
    out: Path,
    report: Path,
    pages: Sequence[str],
) -> None:
    """Note that a run left nothing to do, if that is so. Its reports are written.

    Args:
        journal: Where it is noted.
        manifest: What the run was of.
        outcome: How it ended.
        expressions: Which takes were meant.
        out: The output folder.
        report: The report that the next such run writes again.
        pages: The reports that it leaves as they are, under the output folder.
    """
    result = outcome.result
    if result.exit_status != ExitStatus.DONE or outcome.picked is None:
        return
    standing = Standing(
        manifest=manifest.path,
        place=list(result.place),
        sources=dict(manifest.sources),
        lock=outcome.lock_sha256,
        expressions=list(expressions),
        report=state_of(report),
    )
    await journal.set_standing(
        standing.text(),
        placed=((take.external_id, file.format) for take in result.takes for file in take.files),
        beside=[_file_state(out, path) for path in (*outcome.picked, *pages)],
    )


def stands(
    standing: Standing,
    files: Iterable[FileState],
    expressions: Sequence[str],
    *,
    manifest: Path,
    place: Sequence[str],
    out: Path,
    lock: Path,
    report: Path,
) -> bool:
    """Whether everything is as it was noted. Blocks."""
    return (
        standing.manifest == str(manifest)
        and standing.place == list(place)
        and standing.expressions == list(expressions)
        and standing.report is not None
        and standing.report == state_of(report)
        and all(_sha256(Path(path)) == sha256 for path, sha256 in standing.sources.items())
        and _sha256(lock) == standing.lock
        and _in_place(files, out)
    )


def state_of(path: Path) -> list[int] | None:
    """Tell a file's time, in nanoseconds, and its size; None where there is none."""
    with disk_border(path):
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
    return [found.st_mtime_ns, found.st_size]


def _file_state(out: Path, path: str) -> FileState:
    with disk_border(out / path):
        found = (out / path).stat()
    return FileState(path, found.st_size, found.st_mtime_ns)


def _in_place(files: Iterable[FileState], out: Path) -> bool:
    folder = str(out)
    try:
        for path, size, mtime_ns in files:
            found = os.stat(f"{folder}/{path}")  # noqa: PTH116 - a Path for each of 100,000 files costs half a second
            if found.st_size != size or found.st_mtime_ns != mtime_ns:
                return False
    except OSError:
        return False
    return True


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
