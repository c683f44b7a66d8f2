"""What this machine has learned of an account, in the user's state folder; and which journal worked last.

It is best effort: where it cannot be read or written, nothing is known, and the program takes the slower, safe way.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from typing import Any

from kling_batch.records.fields import ID, units

_MOST_BYTES = 65536
_MOST_S = 1e12
_MOST_CALLS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """A task that is known to exist: the proof that a source shows it by its external id is a positive control."""

    external_id: str
    task_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Knowledge:
    """What was seen of one kind of task on one account.

    `control` was shown by the query for its external id while it ran. `price` is the most that a task was charged, in
    units; `longest_s` the longest that one took, in seconds. None where nothing was seen.
    """

    control: Control | None = None
    price: Decimal | None = None
    longest_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Which state of which journal sent last, for one account and project on this machine, and when (Unix seconds)."""

    token: str
    at: float


class AccountMemory:
    """The files of one account.

    Args:
        folder: The user's state folder for this program; None remembers nothing.
        account: The fingerprint of service and account.
    """

    def __init__(self, folder: Path | None, account: str) -> None:
        self._folder = None if folder is None else folder / "accounts" / account

    def knowledge(self, kind: str) -> Knowledge:
        """Read what is known of a kind of task. Whatever cannot be read is not known."""
        facts = self._read(f"{kind}.json")
        control = facts.get("control")
        ids = [str(control.get(name) or "") for name in ("external_id", "task_id")] if isinstance(control, dict) else []
        return Knowledge(
            control=Control(external_id=ids[0], task_id=ids[1]) if ids and all(map(ID, ids)) else None,
            price=units(facts.get("price")),
            longest_s=_seconds(facts.get("longest_s")),
        )

    def learn(self, kind: str, knowledge: Knowledge) -> None:
        """Keep what is known of a kind of task."""
        price = None if knowledge.price is None else str(knowledge.price)
        self._write(f"{kind}.json", asdict(knowledge) | {"price": price})

    def mark(self, project: str) -> Mark | None:
        """Read which journal of a project sent last; None where none did, as far as this machine knows."""
        facts = self._read(_project_file("journal", project))
        token, at = facts.get("token"), _seconds(facts.get("at"))
        return Mark(token=token, at=at) if isinstance(token, str) and at is not None else None

    def set_mark(self, project: str, mark: Mark) -> None:
        """Note which journal of a project is about to send."""
        self._write(_project_file("journal", project), asdict(mark))

    def unanswered(self, project: str) -> dict[str, float]:
        """Read which calls of a project may have made what nobody else can tell of, and when they were sent.

        By external id, in Unix seconds.
        """
        facts = self._read(_project_file("calls", project))
        return {name: at for name, value in facts.items() if ID(name) and (at := _seconds(value)) is not None}

    def set_unanswered(self, project: str, calls: Mapping[str, float]) -> None:
        """Note such calls, before they are made; the latest of them, where they are very many."""
        latest = sorted(calls.items(), key=itemgetter(1))[-_MOST_CALLS:]
        self._write(_project_file("calls", project), dict(latest))

    def _read(self, name: str) -> dict[str, Any]:
        if self._folder is None:
            return {}
        with suppress(OSError, ValueError, RecursionError):
            with (self._folder / name).open("rb") as file:
                facts = json.loads(file.read(_MOST_BYTES))
            return facts if isinstance(facts, dict) else {}
        return {}

    def _write(self, name: str, facts: dict[str, Any]) -> None:
        if self._folder is None:
            return
        coming = self._folder / f".{name}.{secrets.token_hex(4)}.tmp"
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            coming.write_text(json.dumps(facts), encoding="utf-8")
            coming.replace(self._folder / name)


def state_folder(variables: Mapping[str, str]) -> Path | None:
    """Name the user's state folder for this program; None where there is no home.

    `XDG_STATE_HOME` counts everywhere, else `LOCALAPPDATA` on Windows, else `~/.local/state`.
    """
    given = variables.get("XDG_STATE_HOME") or variables.get("LOCALAPPDATA")
    home = variables.get("HOME")
    base = given or (f"{home}/.local/state" if home else None)
    return Path(base) / "kling-batch" if base and Path(base).is_absolute() else None


def _project_file(what: str, project: str) -> str:
    return f"{what}-{hashlib.sha256(project.encode()).hexdigest()[:24]}.json"


def _seconds(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value < _MOST_S else None
