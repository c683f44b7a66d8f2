"""Results to files: fetched, verified, kept in the store, and only then given their final names.

Runs beside generation and never holds a slot. What is known already, by its hash, comes from the disk or the store;
everything else from the service, whose URLs are asked for again when they are refused: a sound that is paid for is
never generated again because its URL has expired.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import assert_never

from kling_batch.delivery.answer import Downloaded, DownloadFailed, UrlRefused
from kling_batch.delivery.download import download
from kling_batch.delivery.place import place
from kling_batch.delivery.steps import Heavy, Steps
from kling_batch.delivery.verify import Rejected, Verified, verify_audio
from kling_batch.disk import disk_border, hash_file, make_folder
from kling_batch.errors import DiskUnusable, KlingBatchError
from kling_batch.events import TakeChanged, Warned
from kling_batch.model import Audio, FileRecord, Origin, Status, TakeError, Task
from kling_batch.records.attempts import PlacedFile, Stage
from kling_batch.records.layout import FOLDER
from kling_batch.records.store import Store
from kling_batch.running.account import Shown
from kling_batch.running.engine import Engine
from kling_batch.running.limits import wait_s
from kling_batch.running.locking import LockKeeper
from kling_batch.running.reading import insist
from kling_batch.running.work import Work
from kling_batch.service.outcomes import Absent, Found

WORKERS = 8
"""Takes that are delivered at once."""
_TRIES = 3
"""How often a fresh URL is asked for, and how often a file that is not what it should be is fetched again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Undelivered:
    """A paid file that could not be had. `passing`: trying later may help. `repair` is what else does."""

    reason: str
    passing: bool
    repair: str = "Run again within 30 days of its generation, or ask the service's support with the task id."


_NOT_AT_HAND = Undelivered(
    reason="it is neither on this disk nor in the store, and the service was not to be asked",
    passing=False,
    repair="kling-batch restore asks the service for it as well, and pays nothing.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Target:
    """Where a file goes, and what it has to be. `sha256` is None where any sound of that length will do."""

    out: Path
    path: str
    audio_format: str
    requested_s: float
    expected_s: float | None = None
    sha256: str | None = None


_Fetched = PlacedFile | Undelivered | str
"""What came of a fetch. Words say why another try with a fresh URL may help."""


class Deliveries:
    """A queue of finished tasks and the workers that bring their files home."""

    def __init__(self, lock: LockKeeper, store: Store | None) -> None:
        self.lock = lock
        self.store = store
        self.trouble: str | None = None
        """What went wrong with the store, until it has been told. Set on a worker's thread."""
        self.checking = threading.Lock()
        """Held by who checks and places a file: more than one at once only take the interpreter from each other."""
        self.queue: asyncio.Queue[Work] = asyncio.Queue()
        self._unseen: set[str] = set()
        self._shown: Shown | None = None

    def __repr__(self) -> str:
        return f"Deliveries({self.queue.qsize()} waiting)"

    def add(self, work: Work) -> None:
        """Queue a work whose task has succeeded."""
        if work.task is None:
            self._unseen.add(work.external_id)
        self.queue.put_nowait(work)

    async def work(self, engine: Engine) -> None:
        """Deliver until cancelled, or until what a delivery meets stops the run, such as a full disk.

        Then it ends by itself: where a full disk is met while a cancelled download notes what it has, the
        cancellation is lost in the failure and does not come again.
        """
        while True:
            work = await self.queue.get()
            try:
                await _Delivery(engine, self, work).deliver()
                self._tell(engine)
                if work.status is Status.SUCCEEDED:
                    self.lock.put(work)
                    await self.lock.write_if_due()
            except KlingBatchError as error:
                engine.halt(error)
                return

    async def shown(self, engine: Engine, work: Work) -> Task | None:
        """Look into the account's list for a finished task, where there are several to look for."""
        if self._shown is None and len(self._unseen) > 1:
            self._shown = Shown(engine.ports.service, engine.kind.path, self._unseen)
        task = await self._shown.find(work.external_id) if self._shown is not None else None
        return task if task is not None and work.row.task_id in {None, task.task_id} else None

    def _tell(self, engine: Engine) -> None:
        if self.trouble is not None:
            engine.ports.observe(Warned(at=engine.ports.clock.time(), message=self.trouble))
            self.trouble = None


class _Delivery:
    """One take's files."""

    def __init__(self, engine: Engine, deliveries: Deliveries, work: Work) -> None:
        self.engine = engine
        self.deliveries = deliveries
        self.ports = engine.ports
        self.out = engine.options.out
        self.work = work
        self.partials = self.out / FOLDER / "partial"

    async def deliver(self) -> None:
        """Bring every wanted format home, then record it; the record comes last."""
        work = self.work
        placed = {name: file for name in work.take.job.formats if (file := await self._known(name)) is not None}
        missing = [name for name in work.take.job.formats if name not in placed]
        if missing:
            fetched = _NOT_AT_HAND if self.engine.options.frozen else await self._from_service(missing)
            if isinstance(fetched, Undelivered):
                self._give_up(fetched)
                return
            placed |= fetched
        files = [placed[name] for name in work.take.job.formats]
        work.files = tuple(file.record for file in files)
        work.row = replace(work.row, stage=Stage.DELIVERED)
        await self.ports.journal.save(work.row, files)
        self.engine.end(work, Status.SUCCEEDED)

    def _target(self, audio_format: str) -> _Target:
        take, known = self.work.take, self.work.known_files.get(audio_format)
        return _Target(
            out=self.out,
            path=take.path(audio_format),
            audio_format=audio_format,
            requested_s=take.job.duration_s,
            sha256=known.sha256 if known else None,
        )

    async def _known(self, audio_format: str) -> PlacedFile | None:
        """Take a file whose hash is known from where it is; None where it is nowhere near."""
        work, target = self.work, self._target(audio_format)
        known = work.known_files.get(audio_format)
        if known is None:
            return None
        if audio_format in work.present:
            return await self.ports.offload(placed_now, self.out, replace(known, path=target.path), work.external_id)
        brought: PlacedFile | None = await self.ports.offload(self._bring_back, target, known)
        if brought is not None:
            work.origin = Origin.RESTORED
        return brought

    def _bring_back(self, target: _Target, known: FileRecord) -> PlacedFile | None:
        """Take a known file from where it stood before, or from the store; None where neither has it."""
        coming = self._partial(target)
        with disk_border(coming):
            make_folder(coming.parent)
            old = self.out / known.path
            if known.path != target.path and old.is_file() and hash_file(old) == known.sha256:
                coming.write_bytes(old.read_bytes())
            elif not self._from_store(known.sha256, coming):
                return None
        finished = self._finish(coming, target, known.sha256)
        return None if isinstance(finished, Rejected) else finished

    def _from_store(self, sha256: str, coming: Path) -> bool:
        """Take a sound out of the store. One that cannot be used is given up: the service may still have the file."""
        if self.deliveries.store is None:
            return False
        try:
            return self.deliveries.store.fetch(sha256, coming)
        except DiskUnusable as error:
            self.deliveries.store = None
            self.deliveries.trouble = f"The store cannot be used: {error.message}"
            return False

    async def _from_service(self, formats: Sequence[str]) -> dict[str, PlacedFile] | Undelivered:
        """Fetch files, with fresh URLs where another try may help."""
        placed: dict[str, PlacedFile] = {}
        reason = ""
        for attempt in range(_TRIES):
            if attempt:
                await self.ports.clock.sleep(wait_s(attempt, self.ports.rng.random()))
            task = await self._task(fresh=attempt > 0)
            if isinstance(task, Undelivered):
                return task
            targets = [self._target(name) for name in formats if name not in placed]
            for target in targets:
                self._emit(f"fetching {target.path}")
            fetched = await self.ports.files.walk(partial(self._fetch_all, task, targets))
            for name, file in fetched.items():
                match file:
                    case PlacedFile():
                        placed[name] = file
                    case Undelivered():
                        return file
                    case str():
                        reason = file
                    case _:
                        assert_never(file)
            if len(placed) == len(formats):
                return placed
        return Undelivered(reason=reason, passing=False)

    def _fetch_all(self, task: Task, targets: Sequence[_Target]) -> Steps[dict[str, _Fetched]]:
        """Fetch file after file, up to the first that cannot be had. Walked on a thread: it only looks at the work."""
        fetched: dict[str, _Fetched] = {}
        for target in targets:
            file = yield from self._fetch(task, target)
            fetched[target.audio_format] = file
            if isinstance(file, Undelivered):
                break
        return fetched

    def _fetch(self, task: Task, target: _Target) -> Steps[_Fetched]:
        """Fetch a file, and finish it."""
        audio = _audio_with(task, target.audio_format)
        if audio is None:
            return f"the service names no {target.audio_format} file"
        outcome = yield from download(
            audio.urls[target.audio_format], self._partial(target), rng=self.ports.rng, probe=self.ports.probe
        )
        match outcome:
            case Downloaded(path=path, sha256=sha256):
                exact = replace(target, expected_s=audio.durations_s.get(target.audio_format))
                finished: PlacedFile | Rejected = yield Heavy(act=lambda: self._finish(path, exact, sha256))
                return finished.reason if isinstance(finished, Rejected) else finished
            case UrlRefused(status=status):
                return f"the file host refuses the URL (HTTP {status})"
            case DownloadFailed(reason=reason, passing=passing):
                return Undelivered(reason=reason, passing=passing)
            case _:
                assert_never(outcome)

    def _finish(self, coming: Path, target: _Target, sha256: str) -> PlacedFile | Rejected:
        """Verify a whole file, keep it in the store, and give it its final name. Runs on a thread."""
        with self.deliveries.checking:
            verdict = self._verdict(coming, target, sha256)
        if isinstance(verdict, Rejected):
            coming.unlink(missing_ok=True)
            return verdict
        size = coming.stat().st_size
        self._keep(coming, sha256)
        with self.deliveries.checking:
            self._place(coming, target, sha256)
        record = FileRecord(
            path=target.path,
            format=target.audio_format,
            sha256=sha256,
            bytes=size,
            duration_s=round(verdict.duration_s, 3),
        )
        return replace(placed_now(self.out, record, self.work.external_id), shape=verdict.shape)

    def _verdict(self, coming: Path, target: _Target, sha256: str) -> Verified | Rejected:
        verdict = verify_audio(
            coming,
            audio_format=target.audio_format,
            expected_s=target.expected_s,
            requested_s=target.requested_s,
            with_shape=target.audio_format == self.work.take.job.formats[0],
        )
        if isinstance(verdict, Verified) and target.sha256 not in {None, sha256}:
            return Rejected(reason="the service gives other bytes than the lock names")
        return verdict

    def _keep(self, coming: Path, sha256: str) -> None:
        """Put a sound into the store. A store that cannot be used is given up: it is only a copy."""
        if self.deliveries.store is None:
            return
        try:
            self.deliveries.store.put(coming, sha256)
        except DiskUnusable as error:
            self.deliveries.store = None
            self.deliveries.trouble = f"Nothing more is kept in the store: {error.message}"

    def _place(self, coming: Path, target: _Target, sha256: str) -> None:
        place(
            coming,
            self.out / target.path,
            out=self.out,
            sha256=sha256,
            keep_replaced_in=self.out / FOLDER / "replaced",
            probe=self.ports.probe,
        )

    async def _task(self, *, fresh: bool) -> Task | Undelivered:
        """What the service says of the task; asked for it alone where a fresh URL is needed."""
        if self.work.task is not None and self.work.task.audios and not fresh:
            return self.work.task
        task = None if fresh else await self.deliveries.shown(self.engine, self.work)
        if task is None:
            task_id = self.work.row.task_id or self.work.external_id
            outcome = await self._ask(task_id)
            if not isinstance(outcome, Found):
                return Undelivered(reason=f"task {task_id} is not known to the service any more", passing=False)
            task = outcome.task
        if self.work.origin is Origin.GENERATED and not self.work.posted:
            self.work.origin = Origin.RESUMED
        self.work.task = task
        return task

    async def _ask(self, task_id: str) -> Found | Absent:
        """Ask for the task until the settle time has passed: the list may have shown it before a query does."""
        clock = self.ports.clock
        latest = clock.monotonic() + self.engine.options.settle_time_s
        looks = 0
        while True:
            outcome: Found | Absent = await insist(
                lambda: self.ports.service.query(self.engine.kind.path, task_id),
                clock=clock,
                rng=self.ports.rng,
                patience_s=self.engine.options.patience_s,
            )
            if isinstance(outcome, Found) or clock.monotonic() >= latest:
                return outcome
            looks += 1
            await clock.sleep(wait_s(looks, self.ports.rng.random(), longest_s=4.0))

    def _give_up(self, undelivered: Undelivered) -> None:
        """End a take whose file cannot be had: paid for and not delivered, and how to get it."""
        work = self.work
        repair = (
            "Run the same command again: it fetches the file, and pays nothing."
            if undelivered.passing
            else undelivered.repair
        )
        message = f"Paid for and not delivered: {undelivered.reason} (task {work.row.task_id})."
        status = Status.PENDING if undelivered.passing else Status.FAILED
        self.engine.end(work, status, TakeError(code=None, message=message, hint=repair))

    def _partial(self, target: _Target) -> Path:
        return self.partials / f"{self.work.external_id}.{target.audio_format}"

    def _emit(self, detail: str) -> None:
        self.ports.observe(
            TakeChanged(
                at=self.ports.clock.time(),
                take=self.work.take.key,
                external_id=self.work.external_id,
                state="downloading",
                detail=detail,
            )
        )


def placed_now(out: Path, record: FileRecord, external_id: str) -> PlacedFile:
    """Note how a file stands under its final name at this moment.

    Raises:
        DiskUnusable: It does not stand there any more.
    """
    path = out / record.path
    with disk_border(path):
        return PlacedFile(external_id=external_id, record=record, mtime_ns=path.stat().st_mtime_ns)


def _audio_with(task: Task, audio_format: str) -> Audio | None:
    return next((audio for audio in task.audios if audio_format in audio.urls), None)
