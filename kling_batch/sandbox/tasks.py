"""Tasks as the sandbox keeps them: where each stands is a pure function of the time."""

from __future__ import annotations

import hashlib
import math
import random
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from kling_batch.sandbox.clips import ClipSpec
from kling_batch.sandbox.kinds import DUBBING, PRESET, VOICE, Kind
from kling_batch.sandbox.ledger import LedgerTask
from kling_batch.sandbox.params import Order
from kling_batch.sandbox.settings import Behaviour, WorldSettings

_EPOCH_MS = 1_568_028_518_780
"""`(task_id >> 22) + this` is a task's creation in Unix milliseconds, in every published capture."""
TRIAL = "Hello. This is how I sound, and I can go on like this all day."
"""What voices say on trial."""
_LEAST_MS = (10**17 >> 22) + 1
"""Keeps ids at 18 digits under clocks that start long ago."""


@dataclass(kw_only=True, slots=True)
class SandboxTask(LedgerTask):
    """One task. Times are Unix seconds.

    It is not found from `forgotten_from` on and before `forgotten_to`. `audios_at` is when replies begin to show its
    sounds, with `odd_url` instead of their URLs where that is given, and `files_at` when the file host begins to
    serve them. `issued_at` is when its present result URLs were handed out, and `issue` counts how often; `revision`
    counts how often its sound was changed behind the client's back. `units` is what it costs at its end. `row` is
    its JSON as last written, under `row_key`.
    """

    ordinal: int
    order: Order
    duration_s: float
    seed: str
    query_visible_at: float
    list_visible_at: float
    audios_at: float
    files_at: float
    forgotten_from: float
    forgotten_to: float
    odd_url: str | None
    audio_id: str
    units: Decimal
    issue: int = 0
    issued_at: float = -math.inf
    revision: int = 0
    row: bytes = b""
    row_key: tuple[Any, ...] = ()

    def state(self, now: float) -> str:
        """Name where it stands: `submitted`, `processing`, `succeeded` or `failed`."""
        if now >= self.ends_at:
            return "failed" if self.failure is not None else "succeeded"
        return "processing" if now >= self.processing_at else "submitted"

    def is_found(self, now: float) -> bool:
        """Say whether queries find it."""
        return self.query_visible_at <= now and not self.is_forgotten(now)

    def is_listed(self, now: float) -> bool:
        """Say whether the list shows it."""
        return self.list_visible_at <= now and not self.is_forgotten(now)

    def is_forgotten(self, now: float) -> bool:
        """Say whether nobody finds it, though it was found before or will be."""
        return self.forgotten_from <= now < self.forgotten_to

    def updated_at(self, now: float) -> float:
        """Say when it last moved on."""
        if now >= self.ends_at:
            return self.ends_at
        return self.processing_at if now >= self.processing_at else self.created_at

    @property
    def is_voice(self) -> bool:
        """Whether what comes of it is a voice."""
        return self.order.kind in {VOICE, PRESET}

    @property
    def formats(self) -> tuple[str, ...]:
        """Which files there are of it."""
        return ("mp3", "wav", "mp4") if self.order.kind is DUBBING else ("mp3", "wav")

    def clip(self, audio_format: str, settings: WorldSettings) -> ClipSpec:
        """Say what its sound is made of."""
        behaviour = settings.behaviour
        return ClipSpec(
            prompt=TRIAL if self.is_voice else self.order.words,
            voice=self.audio_id if self.is_voice else self.order.fields.get("voice_id", ""),
            duration_s=self.duration_s * behaviour.length_factor,
            audio_format=audio_format,
            seed=f"{self.seed}:{self.revision}" if self.revision else self.seed,
            sample_rate=settings.sample_rate,
            wav_header=behaviour.wav_header,
            mp3_head=behaviour.mp3_head,
            mp4_sound=settings.mp4_sound,
        )


def new_task_id(created_at: float, ordinal: int) -> str:
    """Make an 18-digit id whose upper bits are the time in milliseconds."""
    return str((max(int(created_at * 1000) - _EPOCH_MS, _LEAST_MS) << 22) | (ordinal & 0x3FFFFF))


def new_id(*names: object) -> str:
    """Make an id in the form of a UUID, the same for the same names."""
    text = ":".join(map(str, names)).encode()
    return str(UUID(bytes=hashlib.blake2b(text, digest_size=16).digest(), version=4))


class TaskShelf:
    """Every task, found by either id and listed in any order."""

    def __init__(self, seed: int) -> None:
        self._by_task_id: dict[str, SandboxTask] = {}
        self._by_external_id: dict[str, SandboxTask] = {}
        self._by_audio_id: dict[str, SandboxTask] = {}
        self._oldest_first: defaultdict[Kind, list[SandboxTask]] = defaultdict(list)
        self._unsteady: dict[int, SandboxTask] = {}
        self._rng = random.Random(f"{seed}:list")  # noqa: S311 - order, no secret

    def __len__(self) -> int:
        return len(self._by_task_id)

    def add(self, task: SandboxTask) -> None:
        """Put a task on the shelf. Of two with one external id, the first is found by it."""
        self._by_task_id[task.task_id] = task
        self._by_audio_id[task.audio_id] = task
        if task.external_id:
            self._by_external_id.setdefault(task.external_id, task)
        self._oldest_first[task.order.kind].append(task)
        if max(task.list_visible_at, task.forgotten_to) > task.created_at:
            self._unsteady[task.ordinal] = task

    def forget(self, task: SandboxTask, now: float) -> None:
        """Have nobody find a task any more."""
        task.forgotten_from, task.forgotten_to = now, math.inf
        self._unsteady[task.ordinal] = task

    def by_external_id(self, external_id: str) -> SandboxTask | None:
        """Find the first task of an external id, visible or not."""
        return self._by_external_id.get(external_id)

    def by_audio_id(self, audio_id: str) -> SandboxTask | None:
        """Find the task that made a sound."""
        return self._by_audio_id.get(audio_id)

    def find(self, any_id: str, now: float) -> SandboxTask | None:
        """Find a task of any kind by either id, once it is visible to queries."""
        task = self._by_task_id.get(any_id) or self._by_external_id.get(any_id)
        return task if task is not None and task.is_found(now) else None

    def newest(self, kind: Kind, now: float) -> SandboxTask | None:
        """Find the last task of a kind that is visible to queries."""
        return next((task for task in reversed(self._oldest_first[kind]) if task.is_found(now)), None)

    def page(self, kind: Kind, number: int, size: int, behaviour: Behaviour, now: float) -> list[SandboxTask]:
        """List a page of a kind's tasks that are visible to the list, counted from page 1."""
        rows = size if behaviour.list_page_cap is None else min(size, behaviour.list_page_cap)
        first = (number - 1) * (rows if behaviour.list_page_offset == "capped" else size)
        shown = self._shown(kind, behaviour, now)
        if behaviour.list_order == "newest":
            count = len(shown)
            return shown[max(0, count - first - rows) : max(0, count - first)][::-1]
        if behaviour.list_order == "shuffled":
            shown = sorted(shown, key=lambda task: task.audio_id)
        elif behaviour.list_order == "random":
            shown = list(shown)
            self._rng.shuffle(shown)
        return shown[first : first + rows]

    def _shown(self, kind: Kind, behaviour: Behaviour, now: float) -> list[SandboxTask]:
        """Find what all pages together show, oldest first."""
        if behaviour.list_scope == "other-key":
            return []
        for task in [*self._unsteady.values()]:
            if max(task.list_visible_at, task.forgotten_to) <= now:
                del self._unsteady[task.ordinal]
        hidden = {task.ordinal for task in self._unsteady.values() if not task.is_listed(now)}
        shown = self._oldest_first[kind]
        if hidden:
            shown = [task for task in shown if task.ordinal not in hidden]
        if not behaviour.list_shows_unfinished:
            shown = [task for task in shown if task.ends_at <= now]
        if behaviour.list_window_s is not None:
            shown = [task for task in shown if now - task.created_at < behaviour.list_window_s]
        return shown if behaviour.list_cut is None else shown[max(0, len(shown) - behaviour.list_cut) :]
