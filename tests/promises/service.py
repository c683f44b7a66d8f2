"""The books and the switches of a fake of the Kling API, written from the facts on the service alone.

It shares no code with the program and none with its sandbox. It takes a name (an external id) twice and charges twice:
whoever sends twice is seen in the books. Every switch is a plain attribute that a test may set at any time.
"""

from __future__ import annotations

import json
import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from tests.promises import sounds

KEY = "key-of-the-fake-service"
FIRST_ACCOUNT = "the first account"
_EPOCH_MS = 1_568_028_518_780
"""Task ids hold their time of creation above 22 bits, counted from here."""
_HEAD = {"message": "SUCCEED", "request_id": "0f5f3c7e-8a51-4f43-9f0e-2a3c1a7b9d10"}

Kind = Literal["create", "query", "list", "costs", "file"]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call as it came in: the n-th of its kind, and the `total`-th to the API."""

    kind: Kind
    n: int
    total: int
    at: float
    name: str = ""
    """The id in the path, the external id of a create, or the name of a file."""


@dataclass(frozen=True, kw_only=True)
class Say:
    """An answer in place of the true one; `work` says whether the work is done all the same. None drops the call."""

    status: int | None = None
    body: bytes = b""
    work: bool = False
    headers: dict[str, str] = field(default_factory=dict)


def refuse(status: int, code: int, message: str = "no", *, work: bool = False) -> Say:
    """Make an answer in the service's envelope."""
    return Say(status=status, body=json.dumps({**_HEAD, "code": code, "message": message}).encode(), work=work)


DROP = Say()
LOSE = Say(work=True)
"""The work is done, and the connection closed without an answer."""


@dataclass(kw_only=True)
class Task:
    """A paid task in the books."""

    number: int
    task_id: str
    name: str
    prompt: str
    created: float
    ends: float
    price: Decimal
    account: str


@dataclass(kw_only=True)
class Service:
    """What both hosts know and do; see `hosts` for how they are asked. Times are monotonic seconds."""

    url: str = ""
    files_url: str = ""
    # Who asks
    accounts: dict[str, str | None] = field(default_factory=dict)
    """Whose each key is; None is nobody's, and one that is not named is the first account's."""
    # How it generates
    generation_s: float = 0.1
    price: Decimal = Decimal("0.25")
    ending: Callable[[Task], tuple[str, str]] = lambda _: ("succeed", "")
    audios_after_s: float = 0.0
    spoken: Callable[[dict[str, Any]], Any] = lambda row: row
    """What becomes of the answer to a call for speech."""
    # What it shows
    hidden: Callable[[Task, float], bool] = lambda _, __: False
    """Whether a task of this age is shown nowhere at all."""
    listed: Callable[[list[Task]], list[Task]] = lambda tasks: tasks
    """What the list makes of the tasks, the newest first."""
    page_cap: int = 500
    tells_names: bool = True
    list_names: Literal["all", "finished", "none"] = "all"
    """Which of its tasks the list shows with their external ids."""
    finds_names: bool = True
    slow_query_s: float = 0.0
    unknown: Callable[[str], Say] = lambda _: refuse(404, 1203, "task not found")
    # What it delivers
    sound: Callable[[Task, str], bytes] = lambda task, kind: sounds.sound(task.name, kind)
    stated: Callable[[Task, str], str] = lambda _, __: "3.0"
    file_address: Callable[[Task, str], str] | None = None
    # What it says of itself
    row: Callable[[Task, dict[str, Any]], dict[str, Any]] = lambda _, row: row
    """What becomes of a task's row in any answer."""
    packs: dict[str, Any] = field(default_factory=lambda: {"code": 0, "msg": "success"})
    headers: Callable[[Call], dict[str, str]] = lambda _: {}
    token: str = ""
    """What the latest call was signed with."""
    # What goes wrong: called outside of the books' lock, so that it may wait for something
    meddle: Callable[[Call], Say | None] = lambda _: None
    # The books
    tasks: list[Task] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    most_in_flight: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def names(self) -> Counter[str]:
        """How many tasks there are of each external id."""
        return Counter(task.name for task in self.tasks)

    @property
    def charged(self) -> Decimal:
        """What all tasks cost together."""
        return sum((task.price for task in self.tasks), Decimal(0))

    def count(self, kind: Kind) -> int:
        """How many calls of a kind came in."""
        return sum(1 for call in self.calls if call.kind == kind)

    @property
    def watched(self) -> bool:
        """Whether there is a task that was looked at since it was made."""
        return bool(self.tasks) and self.calls[-1].at > self.tasks[-1].created

    def paid_once(self, takes: int) -> bool:
        """Whether there is exactly one task for each of so many takes."""
        return len(self.tasks) == len(self.names) == takes

    def wait_for(self, condition: Callable[[Service], bool], timeout_s: float = 20.0) -> None:
        """Wait until the books fulfil a condition; it is judged after every call."""
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), timeout_s), "the program never came so far"

    def add_strangers(self, count: int) -> None:
        """Put finished tasks of somebody else on top of the account's list."""
        with self.changed:
            for _ in range(count):
                self._make(f"stranger-{uuid.uuid4()}", "theirs", generation_s=0.0, price=Decimal(0))

    def hide_until_looked_for(self, *, after: int = 0, seconds: float = 0.5) -> None:
        """Show what was sent so far, less the first tasks, only a while after anybody asks again: it settles late."""
        sent, calls = len(self.tasks), len(self.calls)

        def hidden(task: Task, _: float) -> bool:
            looked = self.calls[calls].at if len(self.calls) > calls else math.inf
            return after < task.number <= sent and time.monotonic() < looked + seconds

        self.hidden = hidden

    def forget_all(self) -> None:
        """Clear every task away, as after 30 days: the books remember them."""
        past = len(self.tasks)
        self.hidden = lambda task, _: task.number <= past

    # What the handlers do

    def note(self, kind: Kind, name: str = "") -> Call:
        """Write a call down."""
        with self.changed:
            total = sum(1 for call in self.calls if call.kind != "file") + 1
            call = Call(kind=kind, n=self.count(kind) + 1, total=total, at=time.monotonic(), name=name)
            self.calls.append(call)
            self.changed.notify_all()
        return call

    def account_of(self, token: str) -> str | None:
        """Say whose a key is."""
        return self.accounts.get(token, FIRST_ACCOUNT)

    def create(self, body: dict[str, Any], account: str) -> Say:
        """Make a task, whether its name is taken or not."""
        with self.changed:
            name = str(body.get("external_task_id") or "")
            task = self._make(
                name, str(body["prompt"]), generation_s=self.generation_s, price=self.price, account=account
            )
            flying = sum(1 for other in self.tasks if other.created <= task.created < other.ends)
            self.most_in_flight = max(self.most_in_flight, flying)
            self.changed.notify_all()
        return accept(self.row(task, self._shown(task, bare=True)))

    def speak(self, body: dict[str, Any], account: str) -> Say:
        """Make speech: its file is named in this answer and nowhere else, and no query knows it."""
        with self.changed:
            text = str(body["text"])
            task = self._make(text, text, generation_s=0.0, price=Decimal("0.05"), account=account)
            self.changed.notify_all()
        audio = {"id": f"audio-{task.task_id}", "url": f"{self.files_url}/{task.task_id}.mp3", "duration": "3.0"}
        shown = {**self._shown(task), "task_info": {}, "task_result": {"audios": [audio]}}
        return accept(self.spoken(shown))

    def query(self, wanted: str, account: str) -> Say:
        """Show the account's first task that has this id; by an external id it may take a while."""
        if not wanted.isdigit():
            time.sleep(self.slow_query_s)
        now = time.monotonic()
        for task in [task for task in self.tasks if task.account == account]:
            known = wanted == task.task_id or (self.finds_names and wanted == task.name)
            if known and not self.hidden(task, now - task.created):
                return accept(self.row(task, self._shown(task)))
        return self.unknown(wanted)

    def unnamed(self, task: Task) -> Say:
        """Show a task without its external id."""
        return accept({**self._shown(task), "task_info": {}})

    def page(self, number: int, size: int, account: str) -> Say:
        """Show a page of the account's list."""
        now = time.monotonic()
        theirs = (task for task in reversed(self.tasks) if task.account == account)
        rows = [task for task in theirs if not self.hidden(task, now - task.created)]
        size = min(size, self.page_cap)
        return accept([self._listed(task) for task in self.listed(rows)[(number - 1) * size : number * size]])

    def file(self, name: str) -> Say:
        """Serve a sound."""
        task_id, _, kind = name.partition(".")
        task = next(task for task in self.tasks if task.task_id == task_id)
        return Say(status=200, body=self.sound(task, kind))

    def _make(
        self, name: str, prompt: str, *, generation_s: float, price: Decimal, account: str = FIRST_ACCOUNT
    ) -> Task:
        number, now = len(self.tasks) + 1, time.monotonic()
        task_id = str(((int(time.time() * 1000) - _EPOCH_MS) << 22) + number)
        task = Task(
            number=number,
            task_id=task_id,
            name=name,
            prompt=prompt,
            created=now,
            ends=now + generation_s,
            price=price,
            account=account,
        )
        self.tasks.append(task)
        return task

    def _listed(self, task: Task) -> dict[str, Any]:
        shown = self.row(task, self._shown(task))
        named = self.list_names == "all" or (self.list_names == "finished" and time.monotonic() >= task.ends)
        return shown if named else {**shown, "task_info": {}}

    def _shown(self, task: Task, *, bare: bool = False) -> dict[str, Any]:
        age, ended = time.monotonic() - task.ends, time.monotonic() >= task.ends
        created_ms = (int(task.task_id) >> 22) + _EPOCH_MS
        shown = {
            "task_id": task.task_id,
            "task_status": "processing" if ended or not bare else "submitted",
            "task_info": {"external_task_id": task.name} if self.tells_names else {},
            "created_at": created_ms,
            "updated_at": created_ms,
        }
        if bare or not ended:
            return shown
        status, message = self.ending(task)
        result = {"audios": [self._audio(task)]} if status == "succeed" and age >= self.audios_after_s else {}
        price = str(task.price) if status == "succeed" else "0"
        updated_ms = created_ms + int((task.ends - task.created) * 1000)
        return {
            **shown,
            "task_status": status,
            "task_status_msg": message,
            "task_result": result,
            "final_unit_deduction": price,
            "updated_at": updated_ms,
        }

    def _audio(self, task: Task) -> dict[str, str]:
        audio = {"id": f"audio-{task.task_id}"}
        for kind in ("mp3", "wav"):
            address = self.file_address or (lambda task, kind: f"{self.files_url}/{task.task_id}.{kind}")
            audio |= {f"url_{kind}": address(task, kind), f"duration_{kind}": self.stated(task, kind)}
        return audio


def accept(data: object) -> Say:
    return Say(status=200, body=json.dumps({**_HEAD, "code": 0, "data": data}).encode())
