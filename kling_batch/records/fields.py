"""What a field of the lock, or a cell of the journal, may hold: either may be a stranger's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from kling_batch.catalog import formats
from kling_batch.catalog.finish import FINISHED
from kling_batch.catalog.paths import path_problem

Check: TypeAlias = Callable[[Any], bool]

MOST = 2**53
"""The largest number that every program reads as it was written."""
_MOST_UNITS = 1_000_000
_YEAR_9999 = 253_370_764_800


def text(pattern: str) -> Check:
    """Take texts of a form."""
    fits = re.compile(pattern).fullmatch
    return lambda value: type(value) is str and fits(value) is not None


def number(*kinds: type, least: float, most: float = MOST) -> Check:
    """Take finite numbers between two."""
    return lambda value: type(value) in kinds and least <= value <= most


def optional(check: Check) -> Check:
    """Take None as well."""
    return lambda value: value is None or check(value)


def units(value: object) -> Decimal | None:
    """Read an amount of units from a text; None where it is none."""
    try:
        amount = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None
    return amount if amount is not None and amount.is_finite() and 0 <= amount < _MOST_UNITS else None


ID = text(r"[A-Za-z0-9_-][A-Za-z0-9_.:~-]{0,199}")
"""A name that can stand in a URL or as a file, and leads nowhere else."""
JOB_ID = text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
COUNT = number(int, least=1)
SIZE = number(int, least=0)
TIME = number(int, float, least=0, most=_YEAR_9999)
"""Seconds since 1970."""
SECONDS = number(int, float, least=0, most=86400)
"""The length of a sound."""
FILE: Mapping[str, Check] = {
    "path": text(r"(?![/\\]|[A-Za-z]:)(?!(.*[/\\])?\.\.([/\\]|$))[^\x00-\x1f\ud800-\udfff]{1,1017}"),
    "format": text(r"[a-z0-9]{1,16}"),
    "sha256": text(r"[0-9a-f]{64}"),
    "bytes": SIZE,
    "duration": SECONDS,
}

VOICE: Mapping[str, Check] = {
    "rights_by": text(r"[^\x00-\x1f\x7f]{1,200}"),
    "rights_at": text(r"[0-9TZ:.-]{1,40}"),
    "voice_id": text(r"[^\s\x00-\x1f\x7f]{1,200}"),
}
"""What is kept of a cloned voice: who agreed to that, when, and which one it is."""


REMARK: Mapping[str, Check] = {
    "check": text(r"[a-z_]{1,40}"),
    "then": frozenset({"warn", "fail"}).__contains__,
    "words": text(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,500}"),
}
_DEEPEST = 8
"""More than a request of any kind has, and less than makes Python give up."""


def is_plain(value: Any, deepest: int = _DEEPEST) -> bool:
    """Whether a value from JSON is not nested without end."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return deepest > 0 and all(is_plain(each, deepest - 1) for each in inner)
    return True


def is_recipe(value: Any) -> bool:
    """Whether this can be what was done to sounds: see `Job.recipe`."""
    known = type(value) is dict and value.keys() <= {"finish", "check"}
    return known and all(type(each) is dict and is_plain(each) for each in value.values())


def are_remarks(value: Any) -> bool:
    """Whether this can be what checks said of a sound."""
    return type(value) is list and all(fits(each, REMARK, REMARK) for each in value)


def fits(value: Any, needed: Mapping[str, Check], allowed: Mapping[str, Check]) -> bool:
    """Whether a mapping has all that is needed, nothing that is not allowed, and each as it should be."""
    return (
        type(value) is dict
        and needed.keys() <= value.keys() <= allowed.keys()
        and all(allowed[name](each) for name, each in value.items())
    )


def file_problem(path: str, audio_format: str, *, finished: bool = False) -> str | None:
    """Say why there is no such sound under the output folder; None where there can be one."""
    known = FINISHED if finished else formats()
    if audio_format not in known:
        return f"`{audio_format}` is not one of the formats {', '.join(known)}"
    stem, dot, suffix = path.rpartition(".")
    return path_problem(stem) if dot and suffix == audio_format else f"the path does not end in .{audio_format}"
