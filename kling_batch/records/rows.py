"""Between the journal's values and SQLite's rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import TypeVar

from kling_batch.model import FileRecord, LimitPoint, Shape
from kling_batch.records.attempts import Attempt, PlacedFile, RunRow, Stage
from kling_batch.records.layout import queries

T = TypeVar("T")

Statement = tuple[str, tuple[object, ...]]


def attempt_statement(row: Attempt) -> Statement:
    """Keep where an attempt stands."""
    values = (
        row.external_id,
        row.job_id,
        row.take,
        row.attempt,
        row.stage.value,
        str(row.units),
        row.run_id,
        row.task_id,
        row.code,
        row.message,
        int(row.final),
        row.sent_at,
        row.created_at,
        row.ended_at,
    )
    return queries()["save_attempt"], values


def file_statements(files: Iterable[PlacedFile]) -> Iterator[Statement]:
    """Keep files that stand under their final names, and what their sounds look like."""
    for file in files:
        record, shape = file.record, file.shape
        values = (
            file.external_id,
            record.format,
            record.path,
            record.sha256,
            record.bytes,
            record.duration_s,
            file.mtime_ns,
        )
        yield queries()["save_file"], values
        if shape is not None:
            yield shape_statement(record.sha256, shape)


def shape_statement(sha256: str, shape: Shape) -> Statement:
    """Keep what the sound of a hash looks like."""
    return queries()["save_shape"], (sha256, shape.peak, shape.loudness, shape.waveform)


def read_attempts(connection: sqlite3.Connection) -> dict[str, Attempt]:
    """Read every attempt, by its external id."""
    rows: dict[str, Attempt] = {}
    for row in connection.execute(queries()["all_attempts"]):
        external_id, job_id, take, attempt, stage, units, run_id, task_id, code, message, final, *times = row
        rows[external_id] = Attempt(
            external_id=external_id,
            job_id=job_id,
            take=take,
            attempt=attempt,
            stage=_parsed(Stage, stage),
            units=_parsed(Decimal, units),
            run_id=run_id,
            task_id=task_id,
            code=code,
            message=message,
            final=bool(final),
            sent_at=times[0],
            created_at=times[1],
            ended_at=times[2],
        )
    return rows


def _parsed(kind: Callable[[str], T], text: object) -> T:
    try:
        return kind(str(text))
    except (ValueError, ArithmeticError) as error:
        raise sqlite3.DataError(f"it holds {text!r} where no such thing belongs") from error


def read_files(connection: sqlite3.Connection) -> dict[str, list[PlacedFile]]:
    """Read every placed file, by the external id of its attempt."""
    files: dict[str, list[PlacedFile]] = {}
    for external_id, audio_format, path, sha256, size, duration_s, mtime_ns in connection.execute(
        queries()["all_files"]
    ):
        record = FileRecord(path=path, format=audio_format, sha256=sha256, bytes=size, duration_s=duration_s)
        files.setdefault(external_id, []).append(PlacedFile(external_id=external_id, record=record, mtime_ns=mtime_ns))
    return files


def run_row(row: tuple[int, float, float | None, int | None, int, str | None, str]) -> RunRow:
    """Make a value of the row of a run."""
    number, started_at, finished_at, exit_status, api_requests, note, history = row
    try:
        limits = tuple(LimitPoint(at=at, limit=limit, reason=reason) for at, limit, reason in json.loads(history))
    except (ValueError, TypeError) as error:
        raise sqlite3.DataError(f"it holds {history[:40]!r} where a limit's history belongs") from error
    return RunRow(
        id=number,
        started_at=started_at,
        finished_at=finished_at,
        exit_status=exit_status,
        api_requests=api_requests,
        note=note,
        limits=limits,
    )
