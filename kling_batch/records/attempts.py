"""The journal's rows as values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from kling_batch.model import Audio, FileRecord, LimitPoint, Remark, Shape


class Stage(StrEnum):
    """How far an attempt is known to have come."""

    INTENT = "intent"
    """A POST may have gone out, and its outcome is not known: perhaps paid for."""
    WITHDRAWN = "withdrawn"
    """The POST is known to have made nothing: it was refused for the moment, or never sent."""
    CREATED = "created"
    """The service has a task for it."""
    SUCCEEDED = "succeeded"
    """The task is done and paid for; its files are not all in place yet."""
    DELIVERED = "delivered"
    """Every file that was asked for stood under its final name."""
    FAILED = "failed"
    """The task failed on the service."""
    REFUSED = "refused"
    """The service will not make a task of it."""


PAID = {Stage.INTENT, Stage.CREATED, Stage.SUCCEEDED, Stage.DELIVERED, Stage.FAILED}
"""Stages whose units count: charged, or reserved because they may be. A failed task's are what it says, else 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """Where an attempt stands. Times are Unix seconds by this machine's clock; `final` means no retry can help.

    `run_id` 0 marks what no run here has made: only the lock knew it, or another account made it, which had this folder
    before. Its intents are never sent again.
    `kind` names the kind of task that it asks for. `answer` says where the sounds of a synchronous call are: see
    `audios`.
    `rights_by` says who has the rights in the voice that it clones, and agrees; `rights_at` when that was said, in UTC.
    `voice_id` is the voice that it made. `recipe` is what was done to its files (see `Job.recipe`), and `remarks` are
    what the checks found.
    """

    external_id: str
    kind: str
    job_id: str
    take: int
    attempt: int
    stage: Stage
    units: Decimal
    run_id: int
    task_id: str | None = None
    code: int | None = None
    message: str = ""
    final: bool = False
    sent_at: float | None = None
    created_at: float | None = None
    ended_at: float | None = None
    answer: str | None = None
    rights_by: str | None = None
    rights_at: str | None = None
    voice_id: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()

    @property
    def audios(self) -> tuple[Audio, ...]:
        """Read what a synchronous call made, of which its answer alone told; nothing where that cannot be read."""
        try:
            return tuple(Audio(**row) for row in json.loads(self.answer or "[]"))
        except (ValueError, TypeError, RecursionError):
            return ()

    @property
    def is_own(self) -> bool:
        """Whether a run here, of the account that the journal belongs to, made a task of it, or may have."""
        return self.run_id > 0 and self.stage in PAID

    @property
    def counted(self) -> Decimal:
        """What it takes from the budget: charged or reserved."""
        return self.units if self.is_own else Decimal(0)

    def sent_since(self, since: float) -> bool:
        """Whether it was sent at or after a moment, in Unix seconds."""
        return self.sent_at is not None and self.sent_at >= since

    @property
    def generation_s(self) -> float | None:
        """How long its task took, in seconds by the service's clock; None where that was not seen."""
        return None if self.created_at is None or self.ended_at is None else self.ended_at - self.created_at


def written(audios: Iterable[Audio]) -> str:
    """Write down what a synchronous call made, for `Attempt.answer`."""
    return json.dumps([asdict(audio) for audio in audios])


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedFile:
    """A file under its final name; `mtime_ns` tells whether it was touched since without hashing it.

    It is 0 for a source that the store alone has. `finished` is one that was made of those that were delivered. `shape`
    is written with it where it is known, and not read back with it.
    """

    external_id: str
    record: FileRecord
    mtime_ns: int
    shape: Shape | None = None
    finished: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRow:
    """A run, as the journal knows it. Times are Unix seconds; what is None was never written: it was killed."""

    id: int
    started_at: float
    finished_at: float | None
    exit_status: int | None
    api_requests: int
    note: str | None
    limits: tuple[LimitPoint, ...] = ()
