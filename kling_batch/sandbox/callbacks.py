"""What the service tells of its own accord: a task as it is now, to the address that its create call named."""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from kling_batch.sandbox.settings import WorldSettings
from kling_batch.sandbox.tasks import SandboxTask
from kling_batch.sandbox.wire import compact

_OF_NOBODY = "whsec_" + base64.b64encode(b"a secret that nobody was given").decode()
"""What forgeries are signed with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """A call that the service makes. It is made once, and nobody minds the answer."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, url: str, body: bytes, secrets: tuple[str, ...], now: float, *, forged: bool = False) -> Callback:
        """Make one, with the headers of Standard Webhooks where the account has secrets: one signature for each."""
        headers = {"content-type": "application/json; charset=utf-8"}
        if secrets:
            name = "msg_" + hashlib.blake2b(body, digest_size=12).hexdigest()
            signatures = [signature(secret, name, int(now), body) for secret in ([_OF_NOBODY] if forged else secrets)]
            headers |= {
                "webhook-id": name,
                "webhook-timestamp": str(int(now)),
                "webhook-signature": " ".join(signatures),
            }
        return cls(url=url, headers=headers, body=body)


def signature(secret: str, name: str, sent_at: int, body: bytes) -> str:
    """Sign a body, under its name and time."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{name}.{sent_at}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(digest).decode()


class News:
    """What is to be told, and when. `tally` counts what became of it."""

    def __init__(self, tally: Counter[str]) -> None:
        self._tally = tally
        self._waiting: list[tuple[float, int, float, SandboxTask]] = []

    @property
    def next_at(self) -> float | None:
        """When there is something to tell next."""
        return self._waiting[0][0] if self._waiting else None

    def plan(self, task: SandboxTask, settings: WorldSettings) -> None:
        """Have each change of a task's state told."""
        habits = settings.callbacks
        rng = random.Random(f"{settings.seed}:callbacks:{task.seed}")  # noqa: S311 - chance, no secret
        changes = {task.created_at, task.processing_at, task.ends_at} if habits.states == "all" else {task.ends_at}
        for at in sorted(filter(math.isfinite, changes)):
            heapq.heappush(self._waiting, (at + habits.late.draw(rng), task.ordinal, at, task))

    def due(
        self, settings: WorldSettings, now: float, write: Callable[[SandboxTask, float], bytes]
    ) -> Iterator[Callback]:
        """Take what is due by now. `write` gives a task as it was at a time."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, at, task = heapq.heappop(self._waiting)
            yield from self._told(settings, task, at, now, json.loads(write(task, at)))

    def _told(
        self, settings: WorldSettings, task: SandboxTask, at: float, now: float, data: dict[str, object]
    ) -> Iterator[Callback]:
        """Tell of a task once, if nothing goes wrong."""
        habits, url = settings.callbacks, task.order.fields["callback_url"]
        rng = random.Random(f"{settings.seed}:callback:{task.seed}:{at - task.created_at}")  # noqa: S311 - chance
        lost, doubled, forged = (rng.random() < share for share in (habits.lost, habits.doubled, habits.forged))
        if not habits.results:
            data["task_result"] = {}
        if forged:
            self._tally["forged"] += 1
            lie = compact(data | {"task_status": "failed", "task_status_msg": "forged", "task_result": {}})
            yield Callback.of(url, lie, habits.secrets, now, forged=True)
        fate = "lost" if lost else "doubled" if doubled else "told"
        self._tally[fate] += 1
        yield from [Callback.of(url, compact(data), habits.secrets, now)] * {"lost": 0, "told": 1, "doubled": 2}[fate]
