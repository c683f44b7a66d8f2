"""What can come of a call. Matched to the end by the engine, so that no outcome is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kling_batch.model import Task
from kling_batch.service.codes import Reaction


@dataclass(frozen=True, kw_only=True, slots=True)
class Created:
    """The service made a task, and said so."""

    task: Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """The service answered with a code and did nothing."""

    code: int
    reaction: Reaction
    message: str
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NotSent:
    """The connection never opened: the service knows nothing of the call."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unclear:
    """Perhaps the service made a task and perhaps it did not: a 5xx, a lost answer, or one that says nothing.

    `strange` tells that it carries a code that no table knows and no sign of trouble: a person has to look.
    """

    reason: str
    code: int | None = None
    strange: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The service knows the task."""

    task: Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """The service answered that it knows no such task. Not yet a proof: it may become visible late."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One page of the account's tasks. `rows` counts what the service sent, readable or not."""

    tasks: tuple[Task, ...]
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MadePage:
    """One page of what tasks have made beside files: the texts that are told of each. `rows` is as in `Page`."""

    made: tuple[Mapping[str, str], ...]
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadFailed:
    """Nothing was learned: the call may be repeated."""

    reason: str
    code: int | None = None


CreateOutcome = Created | Refused | NotSent | Unclear
QueryOutcome = Found | Absent | Refused | ReadFailed
ListOutcome = Page | Refused | ReadFailed
