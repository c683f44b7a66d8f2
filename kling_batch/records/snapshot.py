"""Reading a journal without holding it, also while a run writes to it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kling_batch.catalog import DEFAULT
from kling_batch.errors import ExitStatus
from kling_batch.model import FileRecord, LimitPoint, Remark, Shape
from kling_batch.records import fields
from kling_batch.records.attempts import Attempt, PlacedFile, RunRow, Stage
from kling_batch.records.fields import Check, file_problem
from kling_batch.records.layout import FILE as JOURNAL
from kling_batch.records.layout import SPENDS_SINCE, layout_of, migrate, migrations, own_folder, queries, sqlite_border

_WORDS = fields.text(r"(?s:.*)")
_WHOLE = fields.number(int, least=-fields.MOST)
_SINCE = fields.text(r"([0-9]{1,11}\.[0-9]{1,17})?")
_MAYBE_TIME = fields.optional(fields.TIME)
_ATTEMPT: Mapping[str, Check] = {
    "external_id": fields.ID,
    "job_id": fields.JOB_ID,
    "take": fields.COUNT,
    "attempt": fields.COUNT,
    "stage": frozenset(Stage).__contains__,
    "units": _WORDS,
    "run_id": fields.SIZE,
    "task_id": fields.optional(fields.ID),
    "code": fields.optional(_WHOLE),
    "message": _WORDS,
    "final": _WHOLE,
    "sent_at": _MAYBE_TIME,
    "created_at": _MAYBE_TIME,
    "ended_at": _MAYBE_TIME,
    "kind": fields.optional(fields.ID),
    "answer": fields.optional(_WORDS),
    **{name: fields.optional(check) for name, check in fields.VOICE.items()},
    "recipe": fields.optional(_WORDS),
    "remarks": fields.optional(_WORDS),
}
_PLACED: Mapping[str, Check] = {
    "external_id": fields.ID,
    **{name: fields.FILE[name] for name in ("path", "format", "sha256", "bytes")},
    "duration_s": fields.SECONDS,
    "mtime_ns": fields.number(int, least=-(2**63), most=2**63),
}
_RUN: Mapping[str, Check] = {
    "id": fields.COUNT,
    "started_at": fields.TIME,
    "finished_at": _MAYBE_TIME,
    "exit_status": fields.optional(frozenset(ExitStatus).__contains__),
    "api_requests": fields.SIZE,
    "note": fields.optional(_WORDS),
    "limits": _WORDS,
}
_POINT = (fields.TIME, fields.SIZE, _WORDS)
_SHAPE: Mapping[str, Check] = {
    "sha256": fields.FILE["sha256"],
    "peak": fields.number(float, least=0),
    "loudness": fields.optional(fields.number(float, least=-fields.MOST)),
    "waveform": lambda value: type(value) is bytes,
    "true_peak": fields.optional(fields.number(float, least=0)),
    "rate": fields.optional(fields.COUNT),
    "channels": fields.optional(fields.COUNT),
    "start_s": fields.optional(fields.number(float, least=0)),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """What a journal says at one moment, for plan, status and report.

    `service` is the fingerprint of the service and account that was last asked; None where none was.
    `manifest` is where the manifest is that made the sounds, from the output folder; None where it does not say.
    `spends_since` is when a run began that was stopped, and whose spending the next one goes on with; else None.
    """

    attempts: dict[str, Attempt] = field(default_factory=dict)
    files: dict[str, list[PlacedFile]] = field(default_factory=dict)
    finished: dict[str, list[PlacedFile]] = field(default_factory=dict)
    last_run: RunRow | None = None
    service: str | None = None
    manifest: str | None = None
    spends_since: float | None = None

    @property
    def account(self) -> str | None:
        """The fingerprint of the service and account that it belongs to: to none before a task was made in it."""
        return self.service if any(row.is_own for row in self.attempts.values()) else None


def read_snapshot(out: Path) -> Snapshot:
    """Read a journal without holding it. A folder without one gives an empty snapshot.

    Raises:
        DiskUnusable: There is one, and it cannot be read.
    """
    with _reading(out) as connection:
        if connection is None:
            return Snapshot()
        runs = [_run(row) for row in _rows(connection, "last_run", _RUN)]
        return Snapshot(
            attempts=_read_attempts(connection),
            files=_read_files(connection),
            finished=_read_files(connection, finished=True),
            last_run=runs[0] if runs else None,
            service=_meta(connection, "service"),
            manifest=_meta(connection, "manifest"),
            spends_since=float(_meta(connection, SPENDS_SINCE, _SINCE) or 0.0) or None,
        )


def read_shapes(out: Path) -> Mapping[str, Shape]:
    """Read what sounds look like, by their SHA-256: only the page asks, so that a plan need not wait for it.

    Raises:
        DiskUnusable: There is a journal, and it cannot be read.
    """
    with _reading(out) as connection:
        rows = _rows(connection, "all_shapes", _SHAPE) if connection is not None else ()
        return {row.pop("sha256"): Shape(**row) for row in rows}


def _meta(connection: sqlite3.Connection, key: str, check: Check = _WORDS) -> str | None:
    found = [row["value"] for row in _rows(connection, "get_meta", {"value": check}, key=key)]
    return found[0] if found else None


def _read_attempts(connection: sqlite3.Connection) -> dict[str, Attempt]:
    """Read every attempt, by its external id."""
    return {row["external_id"]: _attempt(row) for row in _rows(connection, "all_attempts", _ATTEMPT)}


@contextmanager
def _reading(out: Path) -> Iterator[sqlite3.Connection | None]:
    """Open a folder's journal, in the newest layout, without holding or changing it; None where there is none."""
    path = own_folder(out) / JOURNAL
    if not path.is_file():
        yield None
        return
    with sqlite_border(path):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            connection.execute("BEGIN")
            version = layout_of(connection, path)
            if 0 < version < len(migrations()):
                connection = _migrated(connection, version)
            yield connection if version else None
        finally:
            connection.close()


def _migrated(connection: sqlite3.Connection, version: int) -> sqlite3.Connection:
    """Copy an older program's journal into memory, in the newest layout: a reader changes no file."""
    copy = sqlite3.connect(":memory:")
    connection.backup(copy)
    connection.close()
    migrate(copy, version)
    return copy


def _rows(
    connection: sqlite3.Connection, query: str, checks: Mapping[str, Check], **values: str
) -> Iterator[dict[str, Any]]:
    """Read rows, each cell of which is checked: a column's type holds nobody to it in SQLite."""
    cursor = connection.execute(queries()[query], values)
    names = [column[0] for column in cursor.description]
    each = [checks[name] for name in names]
    for cells in cursor:
        for name, check, cell in zip(names, each, cells, strict=True):
            if not check(cell):
                raise _misplaced(name, cell)
        yield dict(zip(names, cells, strict=True))


def _misplaced(name: str, cell: object) -> sqlite3.DataError:
    return sqlite3.DataError(f"it holds {str(cell)[:40]!a} where a `{name}` belongs")


def _attempt(row: dict[str, Any]) -> Attempt:
    stage, units = Stage(row["stage"]), fields.units(row["units"])
    if units is None:
        raise _misplaced("units", row["units"])
    kind = row["kind"] or DEFAULT
    recipe = _from_json(row, "recipe", fields.is_recipe) or {}
    remarks = tuple(Remark(**each) for each in _from_json(row, "remarks", fields.are_remarks) or ())
    told = {"kind": kind, "stage": stage, "units": units, "final": bool(row["final"])}
    return Attempt(**row | told | {"recipe": recipe, "remarks": remarks})


def _from_json(row: Mapping[str, Any], name: str, check: Check) -> Any:
    """Read a cell of JSON; None where it was never written."""
    if row[name] is None:
        return None
    try:
        value = json.loads(row[name])
    except (ValueError, RecursionError):
        value = None
    if not check(value):
        raise _misplaced(name, row[name])
    return value


def _read_files(connection: sqlite3.Connection, *, finished: bool = False) -> dict[str, list[PlacedFile]]:
    """Read every placed file, by the external id of its attempt."""
    files: dict[str, list[PlacedFile]] = {}
    for row in _rows(connection, "all_finished" if finished else "all_files", _PLACED):
        if file_problem(row["path"], row["format"], finished=finished) is not None:
            raise _misplaced("path", row["path"])
        external_id, mtime_ns = row.pop("external_id"), row.pop("mtime_ns")
        file = PlacedFile(external_id=external_id, record=FileRecord(**row), mtime_ns=mtime_ns, finished=finished)
        files.setdefault(external_id, []).append(file)
    return files


def _run(row: dict[str, Any]) -> RunRow:
    """Read a run, with the history of its limit."""
    try:
        points = json.loads(row["limits"])
        fit = all(check(cell) for point in points for check, cell in zip(_POINT, point, strict=True))
        limits = tuple(LimitPoint(at=at, limit=limit, reason=reason) for at, limit, reason in points) if fit else None
    except (ValueError, TypeError, RecursionError):
        limits = None
    if limits is None:
        raise _misplaced("limits", row["limits"])
    return RunRow(**row | {"limits": limits})
