"""What every report says in the same words: totals, reasons, what to do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from kling_batch.model import NOTHING, FileRecord, Job, RunResult, Shape, Status, TakeKey, TakeResult, rejecting
from kling_batch.text import counted

PROBLEMS_FIRST = (Status.FAILED, Status.UNKNOWN, Status.PENDING)
"""The ways of having no sound, the most urgent first."""

_REASONS = {
    Status.FAILED: "The service failed to make it and gave no reason.",
    Status.UNKNOWN: "It was sent, but whether the service took it could not be settled: it may be paid for.",
    Status.PENDING: "The run stopped before this take ended.",
}
_REPAIRS = {
    Status.FAILED: "Change what it asks for, or raise its edition to ask afresh; then run the same command again.",
    Status.UNKNOWN: "Run the same command again: it first looks for this task on the service, by its external id.",
    Status.PENDING: "Run the same command again: it resumes, and pays for nothing twice.",
}


def summary(result: RunResult) -> dict[str, Any]:
    """Count a run: the totals, as `report.json` has them. Units are decimal strings, `seconds` is wall time."""
    return {
        "jobs": len({take.take.job.id for take in result.takes}),
        "takes": len(result.takes),
        **{status.value: result.count(status) for status in Status},
        "rejected": _rejected(result),
        "units": units_text(result.units),
        "units_this_run": units_text(result.units_this_run),
        "seconds": span_s(result.started_at, result.finished_at),
        "api_requests": result.api_requests,
    }


def headline(result: RunResult) -> str:
    """Say in one line how a run went."""
    takes, done = len(result.takes), result.count(Status.SUCCEEDED)
    parts = [f"{done} of {counted(takes, 'take')} succeeded"]
    rejected = {Status.FAILED: f" ({count} rejected by checks)"} if (count := _rejected(result)) else {}
    parts += [
        f"{count} {status}{rejected.get(status, '')}" for status in PROBLEMS_FIRST if (count := result.count(status))
    ]
    return ", ".join(parts)


def _rejected(result: RunResult) -> int:
    return sum(1 for take in result.takes if take.rejected)


def remarked(result: RunResult) -> list[tuple[str, str, list[TakeKey]]]:
    """Put takes together by what checks found in them: the check, what comes of it, and the takes, in their order."""
    found: dict[tuple[str, str], dict[TakeKey, None]] = {}
    for take in result.takes:
        for remark in take.remarks:
            found.setdefault((remark.check, remark.then), {})[take.take.key] = None
    return [(check, then, list(keys)) for (check, then), keys in sorted(found.items())]


def money(result: RunResult) -> str:
    """Say what this run cost and what the set cost so far, and, where there is such, what of it waits for a sound."""
    if result.sandbox:
        return "sandbox: nothing spent"
    parts = [f"this run {units_text(result.units_this_run)}; the set {units_text(result.units)} units"]
    if result.undelivered:
        parts.append(f"{units_text(result.undelivered)} of them paid and not delivered")
    if result.reserved:
        parts.append(f"{units_text(result.reserved)} of them reserved")
    return ", ".join(parts)


def as_paid(result: RunResult) -> RunResult:
    """Give a run with what was really paid for it: for a sandbox's sounds nothing, whatever that pretends to charge."""
    if not result.sandbox:
        return result
    takes = tuple(replace(take, units=NOTHING) for take in result.takes)
    return replace(result, takes=takes, units=NOTHING, units_this_run=NOTHING)


def problems(result: RunResult) -> list[TakeResult]:
    """List the takes without a sound, the most urgent first, else in the order of the run."""
    return [take for status in PROBLEMS_FIRST for take in result.takes if take.status is status]


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Takes that have no sound for one reason."""

    status: Status
    reason: str
    repair: str
    takes: list[TakeKey]


def grouped(takes: Iterable[TakeResult]) -> list[Problem]:
    """Put takes that lack a sound for the same reason together: a hundred of them are one thing to mend.

    Those that the same checks reject go together, without the figures, of which each has its own.
    """
    groups: dict[tuple[Status, str, str], list[TakeResult]] = {}
    for take in takes:
        checks = ", ".join(sorted({remark.check for remark in rejecting(take.remarks)}))
        why = f"Rejected: {checks}." if take.rejected else reason(take)
        groups.setdefault((take.status, why, repair(take)), []).append(take)
    return [
        Problem(
            status=status,
            reason=why if len(alike) > 1 else reason(alike[0]),
            repair=mending,
            takes=[take.take.key for take in alike],
        )
        for (status, why, mending), alike in groups.items()
    ]


def by_job(result: RunResult) -> list[tuple[Job, Sequence[TakeResult]]]:
    """Put the takes of each job together, in the order in which the jobs first come."""
    groups: dict[str, list[TakeResult]] = {}
    for take in result.takes:
        groups.setdefault(take.take.job.id, []).append(take)
    return [(takes[0].take.job, takes) for takes in groups.values()]


def reason(take: TakeResult) -> str:
    """Say why a take has no sound, with the service's code where there is one; empty for one that has."""
    if take.error is None:
        return _REASONS.get(take.status, "")
    code = "" if take.error.code is None else f" (code {take.error.code})"
    return f"{take.error.message}{code}"


def repair(take: TakeResult) -> str:
    """Say what to do about a take without a sound; empty for one that has."""
    if take.error is not None and take.error.hint:
        return take.error.hint
    return _REPAIRS.get(take.status, "")


def shape_of(files: Iterable[FileRecord], shapes: Mapping[str, Shape]) -> Shape | None:
    """Look up what a sound looks like, of which these are the files; None where that is not known."""
    return next((shapes[file.sha256] for file in files if file.sha256 in shapes), None)


def decibels(level: float | None) -> float | None:
    """Give a level in dB of full scale; None for silence."""
    return round(20 * math.log10(level), 1) if level else None


def levels(take: TakeResult, shapes: Mapping[str, Shape]) -> dict[str, float | None]:
    """Say how loud a sound is that was finished, in LUFS and dBTP, and how loud it was; None where that is not known.

    Args:
        take: The take.
        shapes: What sounds look like, by their hashes.
    """
    told: dict[str, float | None] = {}
    for prefix, files in (("", take.files if take.sources else ()), ("source_", take.sources)):
        shape = shape_of(files, shapes)
        loudness = None if shape is None else shape.loudness
        told[f"{prefix}loudness"] = None if loudness is None else round(loudness, 1)
        told[f"{prefix}true_peak"] = None if shape is None else decibels(shape.true_peak)
    return told


def units_text(units: Decimal) -> str:
    """Write units with two decimals or as many as it takes, never with an exponent: `0.25`, `2.00`, `0.125`."""
    whole, _, decimals = f"{units:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def span_s(start: float | None, end: float | None) -> float:
    """Measure from start to end in seconds, to the millisecond; 0 if either is unknown or the clock was set back."""
    if start is None or end is None:
        return 0.0
    return max(0.0, round(end - start, 3))
