"""The words of the program, as values. A dict from YAML, JSON or SQLite becomes one of these at its door."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kling_batch.errors import place

if TYPE_CHECKING:
    from pandas import DataFrame

NOTHING = Decimal(0)
"""Units; the same object for every take, of which there may be 100,000."""


class Status(StrEnum):
    """Where a take stands, in every report."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PENDING = "pending"
    UNKNOWN = "unknown"


class Origin(StrEnum):
    """How a take that succeeded came to be."""

    GENERATED = "generated"
    RESUMED = "resumed"
    RESTORED = "restored"
    KEPT = "kept"


class TaskStatus(StrEnum):
    """Where a task stands on the service. `succeed` and `succeeded` are both read as SUCCEEDED."""

    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether the task will not change any more, and holds no slot."""
        return self in {TaskStatus.SUCCEEDED, TaskStatus.FAILED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A place in a manifest. Lines and columns count from 1. `sheet` is which one of a workbook."""

    path: str
    line: int
    column: int = 1
    sheet: str = ""

    def __str__(self) -> str:
        return place(self.path, self.line, self.column, self.sheet)


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """A file that is handed to the service, known by its content."""

    path: Path
    sha256: str

    @property
    def identity(self) -> str:
        """Name its content, as it stands in a request and in the identity of a take."""
        return f"sha256:{self.sha256}"


ANY_FORMAT = "*"
"""Stands in a stem for the format of the file. No path can have it."""


SOURCES = "sources"
"""Where, under the output folder, sounds stand as they were delivered, if finished ones have their names."""


def path_of(stem: str, audio_format: str) -> str:
    """Make the path of a file, of its stem and its format."""
    return f"{stem.replace(ANY_FORMAT, audio_format)}.{audio_format}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One entry of a manifest, after defaults and matrix.

    `kind` names the kind of task, and `request` is what is sent, less the ids: see `catalog`. `file` is the path
    template under the output folder, without the extension. `picked_stem` is where the files of the chosen take also
    stand, without the extension; empty where its default can be no path. `inputs` are the files that it hands over.
    `finish` is the recipe by which its sounds are finished, and `check` what is looked for in them, both without what
    is off; neither is part of what is asked of the service. `as_delivered` are those of its formats that no recipe can
    finish, such as a video's.
    """

    project: str
    id: str
    kind: str
    request: Mapping[str, Any]
    formats: tuple[str, ...]
    takes: int = 1
    edition: int = 1
    file: str = "{id}-{take:02}"
    picked_stem: str = ""
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[InputFile, ...] = ()
    finish: Mapping[str, Any] = field(default_factory=dict)
    check: Mapping[str, Any] = field(default_factory=dict)
    as_delivered: tuple[str, ...] = ()
    source: Source

    @property
    def outputs(self) -> tuple[str, ...]:
        """The formats of a take's files under the output folder: the finished ones, and what is not finished."""
        return (*self.finish["formats"], *self.as_delivered) if self.finish else self.formats

    def picked_path(self, audio_format: str) -> str:
        """Where the file of the chosen take also stands, under the output folder."""
        return path_of(self.picked_stem, audio_format)

    @property
    def recipe(self) -> dict[str, Mapping[str, Any]]:
        """What is done to its sounds once they have come, as it is put down with them: `finish` and `check`."""
        done = {"finish": self.finish, "check": self.check}
        return {name: said for name, said in done.items() if said}


@dataclass(frozen=True, kw_only=True, slots=True)
class Take:
    """One generation of a job: the unit of work, payment, resuming and reporting.

    `stem` is its path under the output folder, without the extension, with `/` between folders; see `path_of`.
    `edition` is the job's, unless the take was rolled again on its own.
    """

    job: Job
    number: int
    edition: int
    stem: str

    @property
    def key(self) -> TakeKey:
        """What people call it."""
        return TakeKey(self.job.id, self.number)

    def path(self, audio_format: str) -> str:
        """Its file of one format, under the output folder."""
        return path_of(self.stem, audio_format)

    def source_path(self, audio_format: str) -> str:
        """Its file of one format as it was delivered; where finished files have its name, among the sources."""
        is_kept_aside = self.job.finish and audio_format not in self.job.as_delivered
        return f"{SOURCES}/{self.path(audio_format)}" if is_kept_aside else self.path(audio_format)


class TakeKey(NamedTuple):
    """A take's name among people: `door-creak:2`. A tuple, since it is compared and hashed more than anything else."""

    job_id: str
    number: int

    def __str__(self) -> str:
        return f"{self.job_id}:{self.number}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """A manifest that has passed every check. `concurrency` None means `auto`.

    `sources` are the files it was read from, each with the SHA-256 of its bytes.
    """

    path: str
    project: str
    jobs: tuple[Job, ...]
    takes: tuple[Take, ...]
    concurrency: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Audio:
    """One sound of a finished task: a URL and a length in seconds for each format."""

    id: str
    urls: Mapping[str, str]
    durations_s: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What the service says of a task. `units` is what it charged, once it says so. Times are Unix ms."""

    task_id: str
    external_id: str | None
    status: TaskStatus
    message: str = ""
    audios: tuple[Audio, ...] = ()
    units: Decimal | None = None
    created_ms: int | None = None
    updated_ms: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRecord:
    """A finished, verified file. `path` is under the output folder; `duration_s` is what was decoded."""

    path: str
    format: str
    sha256: str
    bytes: int
    duration_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What a sound looks like and how loud it is.

    `peak` is its largest sample, 1.0 being full scale. `loudness` is in LUFS, None for silence. `waveform` is the
    largest sample of each of its equal parts, a byte each, 255 being the peak. `true_peak` is the largest value of the
    sound, also between samples. What has a default is not known of sounds that an older program looked at. `start_s`
    is where in its source a finished sound begins, in seconds.
    """

    peak: float
    loudness: float | None
    waveform: bytes
    true_peak: float | None = None
    rate: int | None = None
    channels: int | None = None
    start_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Remark:
    """What a check found in a sound. `then` is `warn`, or `fail`, which rejects the take."""

    check: str
    then: str
    words: str


def rejecting(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """Give the remarks that reject a take."""
    return tuple(remark for remark in remarks if remark.then == "fail")


def is_unfinished(remarks: Iterable[Remark]) -> bool:
    """Whether a sound could not be finished: no check found fault with it, and another need not be better."""
    return any(remark.check == "finish" for remark in rejecting(remarks))


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeError:
    """Why a take has no sound: the service's code (None when it gave none), its words, and what to do."""

    code: int | None
    message: str
    hint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeResult:
    """How a take ended in a run. Times are Unix seconds; `units` is what was charged or is reserved for it.

    `reserved` is the part of the units that is only kept free for a task that is under way or not settled;
    `undelivered` the part that is charged for a sound whose files are not all in place. `warnings` are what a person
    may want to listen to: sounds that were delivered and are not quite what was asked for. `files` are what stands
    under its name; where that is finished, or the sound was rejected, `sources` are the files as they were delivered.
    `remarks` are what checks found. `voice_id` is the voice that was made, where that is what was asked for.
    `worker` is who fetched or finished it in this run, where that was not the program itself.
    """

    take: Take
    status: Status
    origin: Origin | None = None
    external_id: str
    task_id: str | None = None
    attempts: int = 0
    units: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    undelivered: Decimal = Decimal(0)
    files: tuple[FileRecord, ...] = ()
    sources: tuple[FileRecord, ...] = ()
    remarks: tuple[Remark, ...] = ()
    warnings: tuple[str, ...] = ()
    error: TakeError | None = None
    submitted_at: float | None = None
    finished_at: float | None = None
    voice_id: str | None = None
    worker: str | None = None

    @property
    def rejected(self) -> bool:
        """Whether it is paid for, and a check did not let it pass."""
        return self.status is Status.FAILED and bool(rejecting(self.remarks))


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitPoint:
    """How many tasks might be in flight from a moment of a run on, and why. `at` is Unix seconds."""

    at: float
    limit: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """A sound that a take had before, in a file that was set aside, with what people said of it."""

    key: TakeKey
    edition: int
    file: FileRecord
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How the sounds of a report differ from those of another, called `name`.

    `changed` says by how much louder a sound is, in LU; None where that is not known of both.
    """

    name: str
    new: frozenset[TakeKey]
    gone: tuple[TakeKey, ...]
    changed: Mapping[TakeKey, float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """A whole run, as the reporters take it. Times are Unix seconds; `limits` are in the order of time.

    `picks` are the takes that the lock says were chosen, `notes` what people say of sounds, and `earlier` are
    sounds that other ones took the place of; `against` is another report. `place` are the options with which another
    command finds the same output folder and lock; `sandbox` says that a stand-in made the sounds,
    for nothing. `units` is what the whole set cost so far, charged or reserved, failed attempts and sounds that were
    rolled again included, and `units_this_run` is what of it this run added.
    """

    project: str
    manifest: str
    started_at: float
    finished_at: float
    exit_status: int
    takes: tuple[TakeResult, ...]
    api_requests: int
    limits: tuple[LimitPoint, ...] = ()
    picks: tuple[TakeKey, ...] = ()
    notes: Mapping[TakeKey, str] = field(default_factory=dict)
    earlier: tuple[Earlier, ...] = ()
    against: Comparison | None = None
    place: tuple[str, ...] = ()
    sandbox: bool = False
    units: Decimal = NOTHING
    units_this_run: Decimal = NOTHING
    note: str | None = None
    """What is to be said of the run as a whole: why it stopped before its end, or what did not work; else None."""

    def frame(self) -> DataFrame:
        """Give the takes as a table for pandas, a row a take; a job's request has a column for each of its fields.

        `units` are a float, `seconds` are those of the sound, times are UTC. What is not known is missing.
        """
        from pandas import DataFrame, to_datetime

        rows = [
            {
                "project": self.project,
                "job_id": result.take.job.id,
                "take": result.take.number,
                "status": result.status.value,
                "origin": result.origin and result.origin.value,
                "kind": result.take.job.kind,
                **result.take.job.request,
                "tags": list(result.take.job.tags),
                "units": 0.0 if self.sandbox else float(result.units),
                "attempts": result.attempts,
                "seconds": result.files[0].duration_s if result.files else None,
                "paths": [file.path for file in result.files],
                "external_task_id": result.external_id,
                "task_id": result.task_id,
                "remarks": [remark.check for remark in result.remarks],
                "rejected": result.rejected,
                "error_code": result.error and result.error.code,
                "error_message": result.error and result.error.message,
                "submitted_at": result.submitted_at,
                "finished_at": result.finished_at,
            }
            for result in self.takes
        ]
        frame = DataFrame(rows)
        for name in ("submitted_at", "finished_at"):
            frame[name] = to_datetime(frame[name].astype(float), unit="s", utc=True)
        return frame

    def count(self, status: Status) -> int:
        """How many takes stand so."""
        return sum(1 for result in self.takes if result.status is status)

    @property
    def reserved(self) -> Decimal:
        """What part of the units is not charged so far."""
        return sum((result.reserved for result in self.takes), Decimal(0))

    @property
    def undelivered(self) -> Decimal:
        """What part of the units is charged for sounds that are not in place."""
        return sum((result.undelivered for result in self.takes), Decimal(0))
