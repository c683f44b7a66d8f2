"""`report.json`, to `schemas/report.schema.json`: a take a line, so that it can be searched and compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from kling_batch.catalog import LENGTH, WORDS, kind_of
from kling_batch.clock import iso
from kling_batch.model import FileRecord, RunResult, Shape, TakeResult
from kling_batch.report.facts import levels, summary, units_text

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
"""Made once: `json.dumps` makes it anew for every take."""


def pieces(result: RunResult, shapes: Mapping[str, Shape]) -> Iterator[str]:
    """Write the report, a take at a time. `shapes` say how loud sounds are, by their hashes."""
    head = {
        "schema_version": 1,
        "project": result.project,
        "manifest": result.manifest,
        "sandbox": result.sandbox,
        "started_at": iso(result.started_at),
        "finished_at": iso(result.finished_at),
        "exit_status": result.exit_status,
        "summary": summary(result),
        "limits": [{"at": iso(point.at), "limit": point.limit, "reason": point.reason} for point in result.limits],
    }
    yield "{" + "".join(f"{_encode(name)}: {_encode(value)},\n " for name, value in head.items()) + '"takes": ['
    for index, take in enumerate(result.takes):
        yield ("," if index else "") + "\n  " + _encode(as_json(take, shapes))
    yield "]}\n"


def as_json(result: TakeResult, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Give a take as the schema has it."""
    job, error = result.take.job, result.error
    return {
        "job_id": job.id,
        "take": result.take.number,
        "status": result.status,
        "origin": result.origin,
        WORDS: kind_of(job).words_of(job),
        LENGTH: kind_of(job).length_of(job),
        "external_task_id": result.external_id,
        "task_id": result.task_id,
        "voice_id": result.voice_id,
        "attempts": result.attempts,
        "units": units_text(result.units),
        "files": [_file(file) for file in result.files],
        "sources": [_file(file) for file in result.sources],
        **levels(result, shapes),
        "remarks": [asdict(remark) for remark in result.remarks],
        "tags": list(job.tags),
        "meta": dict(job.meta),
        "warnings": list(result.warnings),
        "error": error and {"code": error.code, "message": error.message, "hint": error.hint},
        "submitted_at": iso(result.submitted_at),
        "finished_at": iso(result.finished_at),
        **({"worker": result.worker} if result.worker is not None else {}),
    }


def _file(file: FileRecord) -> dict[str, Any]:
    return {
        "path": file.path,
        "format": file.format,
        "sha256": file.sha256,
        "bytes": file.bytes,
        "duration": round(file.duration_s, 3),
    }
