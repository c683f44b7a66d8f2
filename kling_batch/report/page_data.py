"""The audition page's data: blocks of JSON, each some takes, that the page's script reads.

A job is `[id, prompt, seconds, tags, meta, picked take or 0, takes]`, a take is `[number, status, origin, units,
attempts, files, task id, external id, peak, loudness, waveform, true peak, form, note, change, reason, repair,
warnings]`; an earlier sound is one as well, after those of today, with its edition as one thing more. Status and origin
are places in the lists of the first block, form, note, change, reason, repair and warnings in that of the last. A file
is `[path, format, seconds]`; peaks are in dB of full scale, loudness is in LUFS; a waveform is a letter a column, of 64
levels; the form is sample rate and channels in words. `data.js` reads all of it.

A take that was finished, or of which checks have something to say, goes on with 0, and `[remarks, source, start]`. A
remark is `[check, then, words]`. The source is what the sound was finished out of, `[files, peak, loudness, waveform,
true peak, form]`, or 0, and the start is where in it the finished sound begins, in seconds. A rejected sound is there
as it was delivered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kling_batch.catalog import kind_of
from kling_batch.model import Earlier, FileRecord, Job, Origin, Remark, RunResult, Shape, Status, TakeResult
from kling_batch.report.compare import change_of
from kling_batch.report.facts import by_job, decibels, reason, repair, shape_of, units_text
from kling_batch.text import printable

_BLOCK = 20_000  # characters, from which on a block is closed
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LEVELS = bytes(_LETTERS[level // 4] for level in range(256))
_STATUSES = {status: place for place, status in enumerate(Status)}
_ORIGINS = {origin: place for place, origin in enumerate(Origin)}
_EARLIER = "earlier"
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def blocks(result: RunResult, shapes: Mapping[str, Shape]) -> Iterator[str]:
    """Write the data, a block at a time, each a script element that is never run."""
    picked: dict[str, int] = {}
    for key in result.picks:
        picked.setdefault(key.job_id, key.number)
    head = {
        "manifest": printable(result.manifest),
        "place": [printable(word) for word in result.place],
        "sandbox": result.sandbox,
        "page": f"{result.project} {result.manifest}",
        "statuses": [*Status, _EARLIER],
        "origins": list(Origin),
    }
    yield _block("run", _encode(head))
    before: dict[str, list[Earlier]] = {}
    for one in result.earlier:
        before.setdefault(one.key.job_id, []).append(one)
    words: dict[str, int] = {}
    rows: list[str] = []
    size = 0
    for job, takes in by_job(result):
        told = [_take(take, words, shapes, result) for take in takes]
        told += [_earlier_take(one, words, shapes) for one in before.get(job.id, ())]
        rows.append(_encode(_job(job, told, picked.get(job.id, 0))))
        size += len(rows[-1])
        if size > _BLOCK:
            yield _block("jobs", "[" + ",\n".join(rows) + "]")
            rows, size = [], 0
    yield _block("jobs", "[" + ",\n".join(rows) + "]")
    yield _block("words", _encode(list(words)))


def _block(name: str, text: str) -> str:
    """Wrap JSON. Without `<` nothing in it ends the element or begins a comment."""
    harmless = text.replace("<", r"\u003c")
    return f'<script type="application/json" data-block="{name}">{harmless}</script>'


def _job(job: Job, takes: Sequence[list[Any]], picked: int) -> list[Any]:
    tags = [printable(tag) for tag in job.tags]
    kind = kind_of(job)
    words, length = printable(kind.words_of(job)), kind.length_of(job)
    meta = {printable(name): printable(value) for name, value in job.meta.items()}
    return [job.id, words, length, tags, meta, picked, takes]


def _take(result: TakeResult, words: dict[str, int], shapes: Mapping[str, Shape], run: RunResult) -> list[Any]:
    key = result.take.key
    note, change = run.notes.get(key, ""), "" if run.against is None else change_of(key, run.against)
    lacking = result.status is not Status.SUCCEEDED
    heard = result.sources if result.rejected else result.files
    said = {remark.words for remark in result.remarks}
    return [
        result.take.number,
        _STATUSES[result.status],
        -1 if result.origin is None else _ORIGINS[result.origin],
        units_text(result.units),
        result.attempts,
        _files(heard),
        printable(result.task_id or ""),
        result.external_id,
        *_shape(heard, words, shapes),
        _place(note, words),
        _place(change, words),
        _place(reason(result) if lacking and not result.rejected else "", words),
        _place(repair(result) if lacking else "", words),
        _place("; ".join(warning for warning in result.warnings if warning not in said), words),
        *([0, _finishing(result, heard, words, shapes)] if result.remarks or result.sources else ()),
    ]


def _finishing(
    result: TakeResult, heard: Sequence[FileRecord], words: dict[str, int], shapes: Mapping[str, Shape]
) -> list[Any]:
    """Give what checks found, the sound as it was delivered where another is heard, and how much later that begins."""
    delivered = () if result.rejected else result.sources
    sources = [file for file in delivered if file.format not in result.take.job.as_delivered]
    shape = shape_of(heard, shapes)
    return [
        [_remark(remark) for remark in result.remarks],
        [_files(sources), *_shape(sources, words, shapes)] if sources else 0,
        round((shape and shape.start_s) or 0, 4),
    ]


def _remark(remark: Remark) -> list[str]:
    """Give a remark, whose words begin with the name of the check where nothing else tells it."""
    return [remark.check, remark.then, printable(remark.words.removeprefix(f"{remark.check}: "))]


def _earlier_take(one: Earlier, words: dict[str, int], shapes: Mapping[str, Shape]) -> list[Any]:
    status, shape = len(Status), _shape((one.file,), words, shapes)
    known = [one.key.number, status, -1, "", 0, _files((one.file,)), "", one.file.sha256, *shape]
    return [*known, _place(one.note, words), -1, -1, -1, -1, one.edition]


def _files(files: Sequence[FileRecord]) -> list[list[Any]]:
    return [[file.path, file.format, round(file.duration_s, 2)] for file in files]


def _place(text: str, words: dict[str, int]) -> int:
    """Give a text's place among those that many takes share."""
    return words.setdefault(printable(text), len(words)) if text else -1


def _shape(files: Sequence[FileRecord], words: dict[str, int], shapes: Mapping[str, Shape]) -> list[Any]:
    """Give peak, loudness, waveform, true peak and form."""
    if (shape := shape_of(files, shapes)) is None:
        return [None, None, "", None, -1]
    return [
        decibels(shape.peak),
        None if shape.loudness is None else round(shape.loudness, 1),
        shape.waveform.translate(_LEVELS).decode("ascii"),
        decibels(shape.true_peak),
        -1 if shape.rate is None else _place(_form(shape), words),
    ]


def _form(shape: Shape) -> str:
    channels = {1: "mono", 2: "stereo"}.get(shape.channels or 0, f"{shape.channels} channels")
    return f"{shape.rate} Hz, {channels}"
