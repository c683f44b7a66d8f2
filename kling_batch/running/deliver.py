"""Results to files: fetched, verified, kept in the store, and only then given their final names.

Runs beside generation and never holds a slot. What is known already, by its hash, comes from the disk or the store;
everything else from the service, whose URLs are asked for again when they are refused: a sound that is paid for is
never generated again because its URL has expired.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, assert_never

from kling_batch.catalog import Kind, kind_of
from kling_batch.catalog.finish import lead_of
from kling_batch.delivery.answer import Downloaded, DownloadFailed, UrlRefused
from kling_batch.delivery.arrival import Arrived, Doubted, Target, take_in
from kling_batch.delivery.checks import Fingerprint
from kling_batch.delivery.orders import Done, Order, carry_out
from kling_batch.delivery.place import coming_file, find, place, placed_now
from kling_batch.delivery.verify import Verified
from kling_batch.disk import is_file
from kling_batch.errors import KlingBatchError
from kling_batch.identity import external_task_id
from kling_batch.model import Audio, FileRecord, Origin, Status, TakeError, Task, TaskStatus, is_unfinished, rejecting
from kling_batch.planning.edits import is_edited, made_here
from kling_batch.planning.sources import places
from kling_batch.records.attempts import PlacedFile, Stage
from kling_batch.records.state import Presence
from kling_batch.running.account import Shown
from kling_batch.running.copies import Copies
from kling_batch.running.crew import Crew
from kling_batch.running.decide import with_made
from kling_batch.running.endings import rejection
from kling_batch.running.finishing import Finishing, Siblings, bring
from kling_batch.running.limits import wait_s
from kling_batch.running.locking import LockKeeper, to_its_end
from kling_batch.running.ports import Ports
from kling_batch.running.scheduler import Scheduler
from kling_batch.running.work import Work
from kling_batch.service.outcomes import Absent, Found
from kling_batch.text import counted

AT_ONCE = 8
"""Takes that are delivered at once here, besides those that wait for another try and what workers have."""
_LEAST_TRIES = 3
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0
_SIBLINGS_S = 0.5
"""How often it is looked whether the takes have come that a sound is held against."""
_SUPPORT = "Run again within 30 days of its generation, or ask the service's support with the task id."


@dataclass(frozen=True, kw_only=True, slots=True)
class Undelivered:
    """A paid file that could not be had. `passing`: trying later may help. `repair` is what else does."""

    reason: str
    passing: bool
    repair: str = _SUPPORT


@dataclass(frozen=True, kw_only=True, slots=True)
class NotYet:
    """A paid file that may be had in a moment. `passing`: if not, then by a later run."""

    reason: str
    passing: bool = True


_NOT_AT_HAND = Undelivered(
    reason="it is neither on this disk nor in the store, and the service was not to be asked",
    passing=False,
    repair="kling-batch restore asks the service for it as well, and pays nothing.",
)


_ANSWER_GONE = Undelivered(
    reason="its sound came with the answer to the call, which is not to be had again",
    passing=False,
    repair="Take the file from a store or a folder that has it, or raise the job's edition to pay for a new one.",
)


_OTHER_BYTES = Undelivered(
    reason="made again of its source, it has other bytes than the lock names, since the libraries have other versions",
    passing=False,
    repair="Run without --frozen, then commit the lock.",
)


_Fetched = PlacedFile | NotYet | Undelivered


class Deliveries:
    """A queue of finished tasks and the workers that bring their files home.

    Args:
        lock: Gathers what is finished.
        copies: The store.
        siblings: Other takes that a sound may be alike.
        known: The external ids of all attempts that were made before this run.
        offline: There is nobody to ask for a file.
    """

    def __init__(
        self, lock: LockKeeper, copies: Copies, siblings: Siblings, *, known: Container[str], offline: bool
    ) -> None:
        self.lock = lock
        self.copies = copies
        self.siblings = siblings
        self.known = known
        self.offline = offline
        self.queue: asyncio.Queue[Work | _Delivery] = asyncio.Queue()
        self._unseen: set[str] = set()
        self._shown: Shown | None = None

    @staticmethod
    def at_once(ports: Ports) -> int:
        """Say how many takes are delivered at once."""
        return AT_ONCE + (ports.crew.at_once if ports.crew is not None else 0)

    def __repr__(self) -> str:
        return f"Deliveries({self.queue.qsize()} waiting)"

    def add(self, work: Work) -> None:
        """Queue a work whose task has succeeded."""
        if work.task is None:
            self._unseen.add(work.external_id)
        self.queue.put_nowait(work)

    async def work(self, scheduler: Scheduler, ports: Ports) -> None:
        """Deliver until cancelled, or until what a delivery meets stops the run, such as a full disk.

        Then it ends by itself: where a full disk is met while a cancelled download notes what it has, the
        cancellation is lost in the failure and does not come again. What befalls a take otherwise stays with it.
        """
        worker = asyncio.current_task()
        async with asyncio.TaskGroup() as waiting:
            while worker is None or not worker.cancelling():  # a bug loses a cancellation, too
                item = await self.queue.get()
                work = item.work if isinstance(item, _Delivery) else item
                try:
                    with scheduler.about(work):
                        delivery = item if isinstance(item, _Delivery) else _Delivery(scheduler, ports, self, item)
                        pause_s = await delivery.proceed()
                        if pause_s is not None:
                            waiting.create_task(self._again(delivery, pause_s), name=f"waiting {work.take.key}")
                        if work.status is Status.SUCCEEDED:
                            self.lock.put(work)
                    self.copies.tell(ports)
                    await self.lock.write_if_due()
                except KlingBatchError as error:
                    scheduler.halt(error)
                    return

    async def _again(self, delivery: _Delivery, pause_s: float) -> None:
        await delivery.ports.clock.sleep(pause_s)
        self.queue.put_nowait(delivery)

    async def shown(self, ports: Ports, kind: Kind, work: Work) -> Task | None:
        """Look into the account's list for a finished task, where there are several to look for."""
        if self._shown is None and len(self._unseen) > 1:
            self._shown = Shown(ports.service, kind, self._unseen)
        task = await self._shown.find(work.external_id) if self._shown is not None else None
        return task if task is not None and work.row.task_id in {None, task.task_id} else None

    def is_edited(self, out: Path, path: str) -> bool:
        """Whether a file that a new sound replaced was edited by a person. Blocks."""
        return is_edited(out, path, self._made)

    @cached_property
    def _made(self) -> frozenset[str]:
        return made_here(self.lock.lock)


@dataclass(eq=False)
class _Delivery:
    """One take's files, as they were delivered, and where they are: `at`, by format.

    `done` is what a worker did about it, which is in the store; what is not in it is done here. `doubted` is
    what is kept under `rejected/` of a file, by its path, until that is had whole.
    """

    scheduler: Scheduler
    ports: Ports
    deliveries: Deliveries
    work: Work
    placed: dict[str, PlacedFile] = field(default_factory=dict, init=False)
    at: dict[str, Path] = field(default_factory=dict, init=False)
    done: Done | None = field(default=None, init=False)
    finished: list[PlacedFile] | None = field(default=None, init=False)
    warnings: list[str] = field(default_factory=list, init=False)
    doubted: dict[str, list[Path]] = field(default_factory=dict, init=False)
    tries: int = field(default=0, init=False)
    latest: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        copies, is_edited = self.deliveries.copies, self.deliveries.is_edited
        self.finishing = Finishing(work=self.work, ports=self.ports, copies=copies, out=self.out, is_edited=is_edited)

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.scheduler.options.out

    async def proceed(self) -> float | None:
        """Try once to bring home what is missing, and end the take; or say in how many seconds to try again."""
        match outcome := await self._deliver():
            case None:
                self._end()
            case Siblings():
                return _SIBLINGS_S
            case Undelivered():
                self._give_up(outcome)
            case NotYet():
                return self._pause_s(outcome)
            case _:
                assert_never(outcome)
        return None

    def _end(self) -> None:
        """End the take, or have another sound made in place of one that was rejected."""
        work, rejected = self.work, rejecting(self.work.row.remarks)
        if not rejected:
            self.scheduler.end(work, Status.SUCCEEDED)
            return
        self.deliveries.lock.put(work)
        again = replace(work.take, edition=work.take.edition + 1)
        if work.rolls > 0 and not is_unfinished(rejected) and external_task_id(again) not in self.deliveries.known:
            self.scheduler.roll_again(work, "; ".join(remark.words for remark in rejected))
        else:
            self.scheduler.end(work, Status.FAILED, rejection(work.row, rejected))

    def _pause_s(self, not_yet: NotYet) -> float | None:
        """Say how long to wait for the next try; None where it was tried for as long as it makes sense."""
        now = self.ports.clock.monotonic()
        if self.tries == 0:
            self.latest = now + self.scheduler.options.settle_time_s
        self.tries += 1
        if self.tries >= _LEAST_TRIES and now >= self.latest:
            self._give_up(Undelivered(reason=not_yet.reason, passing=not_yet.passing))
            return None
        return wait_s(self.tries, self.ports.rng.random(), first_s=_FIRST_WAIT_S, longest_s=_LONGEST_WAIT_S)

    async def _deliver(self) -> NotYet | Undelivered | Siblings | None:
        """Bring home what is needed of the sound, finish it, then record it; the record comes last."""
        job = self.work.take.job
        if self.tries == 0 and not self.placed:
            self.finished = await self.finishing.known()
            if self.finished is not None:
                self._restored()
        needed = [name for name in job.formats if self._is_needed(name)]
        missing = [name for name in needed if name not in self.placed]
        if self.tries == 0:
            if missing and self.done is None and self.ports.crew is not None:
                if not self._is_judged and self.deliveries.siblings.missing(self.work.take):
                    return self.deliveries.siblings
                self.done = await self._carried_out(self.ports.crew, missing) or Done()
            self.placed |= {
                name: file
                for name in missing
                if (file := await self._done_elsewhere(name) or await self._known(name)) is not None
            }
            missing = [name for name in missing if name not in self.placed]
        if missing or self._lacks_an_id:
            lacking = _NOT_AT_HAND if self._asks_nobody else await self._from_service(missing)
            if lacking is not None:
                return lacking
        if self._lacks_an_id:
            return NotYet(reason="the service does not say the id of what it made")
        if self.finished is None and (halted := await self._finish()) is not None:
            return halted
        await self._record(self.finished or [])
        return None

    async def _finish(self) -> Siblings | Undelivered | None:
        """Look at the sound and finish it, as far as that is asked for."""
        work, job, siblings = self.work, self.work.take.job, self.deliveries.siblings
        if not self._is_judged and siblings.missing(work.take):
            return siblings
        asked, others = await self._asked()
        exact = self.scheduler.options.frozen and self._is_judged
        done, self.finished = await self.finishing.make(
            asked, self.at, others, exact=exact, finished=self.done.finished if self.done is not None else None
        )
        if self.finished is None:
            return _OTHER_BYTES
        siblings.note(work, done.fingerprint)
        lead = lead_of(job.formats) or ""
        if done.before is not None and lead in self.placed:
            self.placed[lead] = replace(self.placed[lead], shape=done.before)
        if not self._is_judged or rejecting(done.remarks):
            work.row = replace(work.row, remarks=done.remarks)
        return None

    @property
    def _asks_nobody(self) -> bool:
        """Whether only what is at hand will do."""
        return self.scheduler.options.frozen or self.deliveries.offline

    @property
    def _lacks_an_id(self) -> bool:
        """Whether it is not known what was made beside files, such as a voice, by which it is used."""
        row = self.work.row
        return self.scheduler.kind.makes is not None and row.stage is Stage.SUCCEEDED and row.voice_id is None

    async def _asked(self) -> tuple[Mapping[str, Any], Mapping[str, Fingerprint]]:
        """Say what is to be done with the sound, and what it shall not be alike."""
        job = self.work.take.job
        if self._is_judged:
            return {"finish": job.finish} if job.finish else {}, {}
        siblings, copies = self.deliveries.siblings, self.deliveries.copies
        return job.recipe, await siblings.fingerprints(self.work.take, self.ports, copies, self.out)

    @property
    def _is_judged(self) -> bool:
        """Whether it is known already what the checks find."""
        row = self.work.row
        return row.recipe == self.work.take.job.recipe and not is_unfinished(row.remarks)

    def _restored(self) -> None:
        if self.work.origin is not Origin.KEPT:
            self.work.origin = Origin.RESTORED

    def _is_needed(self, audio_format: str) -> bool:
        """Whether a file of the sound is needed as it was delivered: to stand somewhere, or to be finished."""
        work, take = self.work, self.work.take
        known = work.facts.known_files.get(audio_format)
        if not take.job.finish or audio_format in take.job.as_delivered or not work.facts.known_files:
            return True
        beside = work.facts.sources.get(audio_format)
        is_lead = audio_format == lead_of(take.job.formats) and self.finished is None
        stands = known is not None and known.path != take.source_path(audio_format) and is_file(self.out, known.path)
        return is_lead or stands or (beside is not None and beside.lacks)

    async def _record(self, finished: Sequence[PlacedFile]) -> None:
        """Put down what came of the take, once all of it stands where it shall."""
        work, take = self.work, self.work.take
        rejected = rejecting(work.row.remarks)
        if not rejected:
            await self._place_delivered()
        if work.facts.made_before:
            await to_its_end(self.ports.offload(self.finishing.clear_made, finished))
        sources = []
        for name in take.job.formats:
            if (file := self.placed.get(name)) is None and (known := work.facts.known_files.get(name)) is not None:
                record = replace(known, path=take.source_path(name))
                file = PlacedFile(external_id=work.external_id, record=record, mtime_ns=0)
            sources += [] if file is None else [file]
        if take.job.finish:
            beside = [file for file in sources if file.record.format not in take.job.as_delivered]
            await to_its_end(self.ports.offload(self.finishing.set_earlier_aside, beside))
        delivered = {file.record.format: file.record for file in sources}
        files = delivered | {file.record.format: file.record for file in finished}
        work.sources = tuple(delivered.values())
        work.files = () if rejected else tuple(files[name] for name in take.job.outputs)
        work.warnings = (*work.warnings, *self.warnings, *self.finishing.warnings)
        work.row = replace(work.row, stage=Stage.DELIVERED, recipe=take.job.recipe)
        await self.ports.journal.save(work.row, [*sources, *finished])

    async def _place_delivered(self) -> None:
        """Give a sound that was only looked at its final name, and forget copies of what the store has."""
        for name, path in self.at.items():
            target = self._target(name)
            if path != self._partial(target):
                continue
            if target.path != self.work.take.path(name) or self.work.facts.presence.get(name) is Presence.EDITED:
                path.unlink(missing_ok=True)
                continue
            record = self.placed[name].record
            shape = self.placed[name].shape
            replaced = await to_its_end(
                self.ports.offload(
                    place, path, self.out / target.path, out=self.out, sha256=record.sha256, probe=self.ports.probe
                )
            )
            await self._tell_replaced(target, replaced)
            file = await self.ports.offload(placed_now, self.out, record, self.work.external_id)
            self.placed[name] = replace(file, shape=shape)

    def _target(self, audio_format: str) -> Target:
        work, take, known = self.work, self.work.take, self.work.facts.known_files.get(audio_format)
        kind = kind_of(take.job)
        job = take.job
        return Target(
            path=take.source_path(audio_format),
            final=not job.recipe or audio_format in job.as_delivered or self.scheduler.options.keep_sources,
            audio_format=audio_format,
            requested_s=kind.length_of(take.job),
            external_id=work.external_id,
            task_id=work.row.task_id,
            sha256=known.sha256 if known else None,
            also=kind.outputs[audio_format].also,
            with_shape=audio_format == take.job.formats[0],
        )

    async def _carried_out(self, crew: Crew, formats: Sequence[str]) -> Done | None:
        """Have a worker fetch, verify and finish what is missing; None where that is done here."""
        copies = self.deliveries.copies
        targets, urls = [], {}
        for name in formats:
            target = self._target(name)
            if target.sha256 is None or not await self.ports.offload(self._hand_over, target):
                task = None if self._asks_nobody else await self._task(fresh=False)
                audio = _audio_with(task, name) if isinstance(task, Task) else None
                if audio is None:
                    return None
                urls[name] = audio.urls[name]
                target = replace(target, stated_s=audio.durations_s.get(name))
            targets.append(target)
        take = self.work.take
        asked, others = await self._asked() if self.finished is None else ({}, {})
        order = Order(
            place=crew.place,
            targets=tuple(targets),
            urls=urls,
            lead=lead_of(take.job.formats),
            recipe=asked,
            tags=self.finishing.tags,
            others=others,
        )
        self.scheduler.emit(self.work, "at-worker", f"given to one of {counted(crew.workers, 'worker')}")
        answer = await crew.give(carry_out, order) if copies.store is not None else None
        if answer is None or answer[0].trouble is not None:
            trouble = answer[0].trouble if answer is not None else "no worker could"
            self.scheduler.emit(self.work, "downloading", f"it is done here: {trouble}")
            return None
        done, self.work.worker = answer
        if done.finished is None:
            return done
        here = await self.finishing.bring(done.finished)
        return None if here is None else replace(done, finished=here)

    def _hand_over(self, target: Target) -> bool:
        """See that a file whose hash is known is in the store. Blocks."""
        sha256, copies = target.sha256 or "", self.deliveries.copies
        known = self.work.facts.known_files[target.audio_format]
        if copies.has(sha256):
            return True
        here = find(self.out, places(self.work.take, known), sha256)
        return here is not None and copies.put(here, sha256)

    async def _done_elsewhere(self, audio_format: str) -> PlacedFile | None:
        """Take a file that a worker verified; only what shall stand here is brought."""
        work, target = self.work, self._target(audio_format)
        fetched = self.done.fetched.get(audio_format) if self.done is not None else None
        if self.done is None or fetched is None or not self._presence(target).lacks:
            return None
        if audio_format in work.facts.known_files:
            self._restored()
        finished, sound = self.done.finished, fetched.sound
        if work.take.job.finish and not target.final and finished is not None and not rejecting(finished.remarks):
            record = FileRecord(
                path=target.path,
                format=audio_format,
                sha256=fetched.sha256,
                bytes=fetched.bytes,
                duration_s=round(sound.duration_s, 3),
            )
            self.warnings += (f"{target.path}: {warning}" for warning in sound.warnings)
            return PlacedFile(external_id=work.external_id, record=record, mtime_ns=0, shape=sound.shape)
        coming = self._partial(target)
        if not await self.ports.offload(self.deliveries.copies.fetch, fetched.sha256, coming):
            return None
        taken = await self._take_in(coming, fetched.sha256, target, sound)
        return taken if isinstance(taken, PlacedFile) else None

    def _presence(self, target: Target) -> Presence:
        """Say how a file stood where it goes."""
        work, name = self.work, target.audio_format
        standing = work.facts.presence if target.path == work.take.path(name) else work.facts.sources
        return standing.get(name, Presence.NEVER)

    async def _known(self, audio_format: str) -> PlacedFile | None:
        """Take a file whose hash is known from where it is; None where it is nowhere near."""
        work, target = self.work, self._target(audio_format)
        known = work.facts.known_files.get(audio_format)
        if known is None:
            return None
        presence = self._presence(target)
        edited = presence is Presence.EDITED
        if not presence.lacks and (self._is_judged or not edited):
            self.at[audio_format] = self.out / target.path
            record = replace(known, path=target.path)
            return await self.ports.offload(placed_now, self.out, record, work.external_id, absent=edited)
        coming, paths = self._partial(target), places(work.take, known)
        if not await self.ports.offload(bring, self.out, paths, known.sha256, coming, self.deliveries.copies):
            return None
        arrived = await self._take_in(coming, known.sha256, target)
        if not isinstance(arrived, PlacedFile):
            return None
        self._restored()
        return arrived

    async def _from_service(self, formats: Sequence[str]) -> NotYet | Undelivered | None:
        """Fetch files; None when all are in place. Another try is made with fresh URLs."""
        task = await self._task(fresh=self.tries > 0)
        if not isinstance(task, Task):
            return task
        targets = [self._target(name) for name in formats]
        for target in targets:
            self.scheduler.emit(self.work, "downloading", f"fetching {target.path}")
        lacking: NotYet | Undelivered | None = None
        for target in targets:
            match await self._fetch(task, target):
                case PlacedFile() as file:
                    self.placed[target.audio_format] = file
                case Undelivered(passing=True) as away:
                    return away
                case Undelivered() as undelivered:
                    lacking = undelivered
                case NotYet() as not_yet:
                    lacking = lacking or not_yet
                case never:
                    assert_never(never)
        return lacking

    async def _fetch(self, task: Task, target: Target) -> _Fetched:
        """Fetch a file, and finish it."""
        audio = _audio_with(task, target.audio_format)
        if audio is None:
            return NotYet(reason=f"the service names no {target.audio_format} file")
        outcome = await self.ports.files.fetch(audio.urls[target.audio_format], self._partial(target))
        match outcome:
            case Downloaded(path=path, sha256=sha256):
                exact = replace(target, stated_s=audio.durations_s.get(target.audio_format))
                return await self._take_in(path, sha256, exact)
            case UrlRefused(status=status):
                return NotYet(reason=f"the file host refuses the URL (HTTP {status})")
            case DownloadFailed(reason=reason, passing=passing):
                return Undelivered(reason=reason, passing=passing)
            case _:
                assert_never(outcome)

    async def _take_in(self, coming: Path, sha256: str, target: Target, verified: Verified | None = None) -> _Fetched:
        """Verify and keep a whole file, on a thread."""
        doubted = self.doubted.setdefault(target.path, [])
        taking = self.ports.offload(
            take_in,
            coming,
            sha256,
            target,
            out=self.out,
            copy=self.deliveries.copies.put,
            doubted=tuple(doubted),
            probe=self.ports.probe,
            verified=verified,
        )
        match await to_its_end(taking):
            case Arrived(file=file, at=at, warnings=warnings, replaced=replaced):
                doubted.clear()
                self.at[target.audio_format] = at
                self.warnings += warnings
                await self._tell_replaced(target, replaced)
                return file
            case Doubted() as doubt:
                if target.sha256 in {None, sha256}:
                    doubted.append(doubt.kept)
                return self._lacking(doubt)

    async def _tell_replaced(self, target: Target, replaced: Path | None) -> None:
        """Name what stood where a file stands now, if a person may want to know."""
        if replaced is None:
            return
        where = replaced.relative_to(self.out).as_posix()
        presence = self.work.facts.presence.get(target.audio_format, Presence.NEVER)
        if presence is Presence.MODIFIED:
            self.warnings.append(f"{target.path}: the original is back, and what stood there is kept as {where}")
        elif presence is Presence.NEVER and await self.ports.offload(self.deliveries.is_edited, self.out, where):
            self.warnings.append(f"{target.path}: replaced; what stood there is kept as {where}")

    def _lacking(self, doubt: Doubted) -> NotYet | Undelivered:
        """Decide whether a file that is not taken is fetched again."""
        where = doubt.kept.relative_to(self.out).as_posix()
        if not doubt.twice:
            return NotYet(reason=f"{doubt.reason}; what came is kept as {where}")
        return Undelivered(
            reason=f"{doubt.reason}, and the same bytes came twice; they are kept as {where}",
            passing=False,
            repair=(
                "Listen to that file. If it is no good, ask the service's support with the task id, "
                "or raise the job's edition to pay for a new one."
            ),
        )

    async def _task(self, *, fresh: bool) -> Task | NotYet | Undelivered:
        """What the service says of the task; asked for it alone where a fresh URL is needed."""
        if self.scheduler.kind.synchronous:
            return await self._answered(fresh=fresh)
        if self.work.task is not None and self.work.task.audios and not fresh:
            return self.work.task
        task = None if fresh else await self.deliveries.shown(self.ports, self.scheduler.kind, self.work)
        if task is None:
            task_id = self.work.row.task_id or self.work.external_id
            outcome: Found | Absent = await self.scheduler.account.reader.read(
                lambda: self.ports.service.query(self.scheduler.kind, task_id)
            )
            if isinstance(outcome, Absent):
                return NotYet(reason=f"task {task_id} is not known to the service any more", passing=False)
            task = outcome.task
        if self.work.origin is Origin.GENERATED and not self.work.posted:
            self.work.origin = Origin.RESUMED
        self.work.task = task
        self.work.row = with_made(self.work.row, task, self.scheduler.kind)
        return task

    async def _answered(self, *, fresh: bool) -> Task | Undelivered:
        """Say what a synchronous call made: the journal knows it. Where that is of no use, the service may tell."""
        row = self.work.row
        if row.task_id is not None and (fresh or not row.audios):
            outcome = await self.ports.service.query(self.scheduler.kind, row.task_id)
            if isinstance(outcome, Found) and outcome.task.audios:
                return outcome.task
        if row.task_id is None or not row.audios:
            return _ANSWER_GONE
        return Task(task_id=row.task_id, external_id=None, status=TaskStatus.SUCCEEDED, audios=row.audios)

    def _give_up(self, undelivered: Undelivered) -> None:
        """End a take whose file cannot be had: paid for and not delivered, and how to get it."""
        work = self.work
        repair = (
            "Run the same command again within 30 days of its generation: it fetches the file, and pays nothing."
            if undelivered.passing
            else undelivered.repair
        )
        message = f"Paid for and not delivered: {undelivered.reason} (task {work.row.task_id})."
        status = Status.PENDING if undelivered.passing else Status.FAILED
        self.scheduler.end(work, status, TakeError(code=None, message=message, hint=repair))

    def _partial(self, target: Target) -> Path:
        return coming_file(self.out, f"{self.work.external_id}.{target.audio_format}")


def _audio_with(task: Task, audio_format: str) -> Audio | None:
    return next((audio for audio in task.audios if audio_format in audio.urls), None)
