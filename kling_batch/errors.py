"""Every error a user can meet.

    KlingBatchError
    ├── UsageError              2   wrong options, missing keys
    │   ├── ManifestInvalid     2   every problem of a manifest, each at its line and column
    │   └── LockInvalid         2   a lock that is torn, conflicted, edited by hand or newer, at its line
    ├── Drift                   3   what is locked is not what is asked for
    ├── BudgetStop              4   no consent, or the budget is used up
    ├── AccountStop             5   the service will take nothing more from this account
    ├── NotFinished             6   can be resumed
    │   ├── ServiceUnavailable  6   the service stays away
    │   ├── ReadRefused         6   the service refuses to be read
    │   ├── ServiceStop         6   the service answers what nobody understands, or cannot be heard
    │   ├── FolderHeld          6   another run works in this folder
    │   ├── LeaseHeld           6   another run of this set works, or has taken over, on whatever machine
    │   └── DiskUnusable        6   full, read-only, or a journal that cannot be used
    ├── Interrupted           130   a person stopped it
    │   └── Terminated        143   the system stopped it
    └── InternalError           8   a bug, met in what concerns all of a run

An error carries what is wrong in its message and the repair in its `hint`. It is worded once, by the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar, NamedTuple


class ExitStatus(IntEnum):
    """How the program ends. Part of the contract."""

    DONE = 0
    SOME_FAILED = 1
    INVALID = 2
    DRIFT = 3
    BUDGET = 4
    ACCOUNT = 5
    NOT_FINISHED = 6
    INTERNAL = 8
    INTERRUPTED = 130
    TERMINATED = 143


class KlingBatchError(Exception):
    """The base of every expected error.

    Args:
        message: What is wrong, where and why, in one sentence.
        hint: What to do about it.
    """

    exit_status: ClassVar[ExitStatus] = ExitStatus.INTERNAL

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(KlingBatchError):
    """Wrong options, a missing file or missing keys: nothing was sent."""

    exit_status = ExitStatus.INVALID


def place(path: str, line: int, column: int, sheet: str) -> str:
    """Write a place as `FILE:LINE:COLUMN`, and one in a sheet as `FILE:SHEET!C4`."""
    if not sheet:
        return f"{path}:{line}:{column}"
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[letter] + letters
    return f"{path}:{sheet}!{letters}{line}"


class Problem(NamedTuple):
    """One thing wrong in a manifest. Lines and columns count from 1; a column counts characters, or cells of a `sheet`.

    A tuple, since `--help` waits for this module, and would wait for `dataclasses` with it.
    """

    path: str
    line: int
    column: int
    message: str
    sheet: str = ""

    def __str__(self) -> str:
        return f"{place(self.path, self.line, self.column, self.sheet)}: {self.message}"


MOST_PROBLEMS = 1000
"""Problems that are told of a file. The entries after them are counted, and not looked at."""


class ManifestInvalid(UsageError):
    """A manifest has problems: all of them, or so many that nobody reads more, in the order of the file.

    `left_out` counts further ones, and entries that nobody looked at any more.
    """

    def __init__(self, problems: Sequence[Problem], *, left_out: int = 0) -> None:
        found = sorted(set(problems))
        self.problems = tuple(found[:MOST_PROBLEMS])
        self.left_out = len(found) - len(self.problems) + left_out
        more = [f"… and {self.left_out} more"] if self.left_out else []
        super().__init__("\n".join([*map(str, self.problems), *more]))


class LockInvalid(UsageError):
    """A lock cannot be relied on. Lines count from 1."""

    def __init__(self, message: str, *, path: str, line: int, hint: str) -> None:
        super().__init__(f"{path}:{line}: {message}", hint=hint)
        self.path = path
        self.line = line


class Drift(KlingBatchError):
    """What is asked for is not what is locked; nothing was paid."""

    exit_status = ExitStatus.DRIFT


class BudgetStop(KlingBatchError):
    """No consent to spend, or the budget is used up."""

    exit_status = ExitStatus.BUDGET


class AccountStop(KlingBatchError):
    """The service will take nothing more from this account until a person mends it.

    Args:
        message: What the service said, and what it means.
        hint: The repair.
        code: The service's code (1000 to 1004, 1100 to 1103, 1304).
        request_id: The service's id of the refused call, for its support.
    """

    exit_status = ExitStatus.ACCOUNT

    def __init__(self, message: str, *, hint: str | None = None, code: int, request_id: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.request_id = request_id


class NotFinished(KlingBatchError):
    """The work is not finished and can be resumed."""

    exit_status = ExitStatus.NOT_FINISHED


class ServiceUnavailable(NotFinished):
    """The service, or the way to it, stayed away longer than patience lasts."""


class ReadRefused(NotFinished):
    """The service refuses to be read, for good: asking again would end the same way."""


class ServiceStop(NotFinished):
    """The service answers what nobody understands, or says nothing that could be relied on: nothing more is sent."""


class FolderHeld(NotFinished):
    """Another run works in this output folder."""


class LeaseHeld(NotFinished):
    """Another run of this set holds the lease in the team's storage."""


class DiskUnusable(NotFinished):
    """The disk is full or read-only, or a file of ours on it cannot be used."""


class Interrupted(KlingBatchError):
    """A person or the system stopped the run; everything known is saved."""

    exit_status = ExitStatus.INTERRUPTED


class Terminated(Interrupted):
    """The system asked the run to end (SIGTERM)."""

    exit_status = ExitStatus.TERMINATED


class InternalError(KlingBatchError):
    """A bug was met in what concerns all of a run; what is known is saved."""
