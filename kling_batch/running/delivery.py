"""One take on its way home: its files are fetched, verified and kept in the store, finished, and then recorded.

What is known already, by its hash, comes from the disk or the store; everything else from the service, whose URLs are
asked for again when they are refused: a sound that is paid for is never generated again because its URL has expired.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ParamSpec, TypeVar

from kling_batch.catalog.finish import lead_of
from kling_batch.delivery.finishing import Finished, Wanted
from kling_batch.delivery.orders import Done
from kling_batch.model import Task, rejecting
from kling_batch.records.attempts import PlacedFile, Stage
from kling_batch.running.fetching import Fetching
from kling_batch.running.files import Arrived, Files, Undelivered
from kling_batch.running.finishing import Finishing
from kling_batch.running.handing_over import hand_over
from kling_batch.running.limits import wait_s
from kling_batch.running.locking import to_its_end
from kling_batch.running.ports import Ports
from kling_batch.running.scheduler import Scheduler
from kling_batch.running.siblings import Siblings

P = ParamSpec("P")
T = TypeVar("T")

_LEAST_TRIES = 3
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0
_SIBLINGS_S = 0.5
"""How often it is looked whether the takes have come that a sound is held against."""


@dataclass(eq=False)
class Delivery:
    """The delivery of one take.

    It is one of those that have `room`, but for its waits. `offline`: there is nobody to ask for a file.
    """

    files: Files
    fetching: Fetching
    siblings: Siblings
    scheduler: Scheduler
    ports: Ports
    room: asyncio.Semaphore
    offline: bool

    def __post_init__(self) -> None:
        self.work = self.files.work
        self.finishing = Finishing(self.files)

    async def bring(self) -> None:
        """Bring home what is needed of the sound, finish it, then record it; the record comes last.

        Raises:
            Undelivered: A file cannot be had.
        """
        finished = await self._on_disk(self.finishing.known)
        if finished is not None:
            self.work.at_hand()
        is_finished = finished is not None
        needed = [name for name in self.work.take.job.formats if self.files.is_needed(name, is_finished=is_finished)]
        done = await self._done_elsewhere(needed, is_finished=is_finished)
        sources = await self._sources(needed, done)
        if finished is None:
            finished = await self._finish(sources, done.finished)
        await self._record(sources, finished)

    async def _done_elsewhere(self, needed: Sequence[str], *, is_finished: bool) -> Done:
        """Have a worker do what there is to do, where there is one that can."""
        crew = self.ports.crew
        if crew is None or not needed:
            return Done()
        wanted = Wanted() if is_finished else await self._wanted()
        tell = partial(self.scheduler.emit, self.work)
        given = hand_over(crew, self.finishing, needed, wanted, offload=self.ports.offload, task=self._task, tell=tell)
        try:
            done, self.work.worker = await given or (Done(), None)
        except Undelivered:
            return Done()
        return done

    async def _task(self, *, fresh: bool = False) -> Task:
        """Say what the service says of the task, if that may be asked."""
        if self.scheduler.options.frozen or self.offline:
            raise Undelivered(
                "it is neither on this disk nor in the store, and the service was not to be asked",
                repair="kling-batch restore asks the service for it as well, and pays nothing.",
            )
        return await self.fetching.task(self.work, fresh=fresh)

    async def _sources(self, needed: Sequence[str], done: Done) -> dict[str, Arrived]:
        """Have the files of the sound as it was delivered: from a worker, the disk or the store, else the service."""
        sources = {}
        for name in needed:
            there = await self._on_disk(self.files.at_hand, name, done)
            if there is None:
                continue
            sources[name] = there
            if name in self.work.facts.known_files:
                self.work.at_hand()
        if sources.keys() < {*needed} or self._lacks_an_id:
            await self._fetch_until_settled(needed, sources)
        return sources

    async def _fetch_until_settled(self, needed: Sequence[str], sources: dict[str, Arrived]) -> None:
        """Fetch what is missing; what may come in a moment is tried again, for as long as that makes sense."""
        tries, latest = 0, math.inf
        while True:
            try:
                return await self._fetch(needed, sources, fresh=tries > 0)
            except Undelivered as why:
                now = self.ports.clock.monotonic()
                tries, latest = tries + 1, min(latest, now + self.scheduler.options.settle_time_s)
                if not why.soon or (tries >= _LEAST_TRIES and now >= latest):
                    raise
            await self._pause(wait_s(tries, self.ports.rng.random(), first_s=_FIRST_WAIT_S, longest_s=_LONGEST_WAIT_S))

    async def _fetch(self, needed: Sequence[str], sources: dict[str, Arrived], *, fresh: bool) -> None:
        """Try once to fetch what is missing, by `fresh` URLs or those at hand; what has come is kept."""
        task = await self._task(fresh=fresh)
        targets = [self.files.target(name) for name in needed if name not in sources]
        for target in targets:
            self.scheduler.emit(self.work, "downloading", f"fetching {target.path}")
        lacking: Undelivered | None = None
        for target in targets:
            coming = self.files.coming(target.audio_format)
            try:
                exact, sha256 = await self.fetching.download(task, target, coming)
                sources[target.audio_format] = await self._on_disk(self.files.take_in, coming, sha256, exact)
            except Undelivered as why:
                if why.passing and not why.soon:
                    raise
                lacking = why if lacking is None or not why.soon else lacking
        if lacking is not None:
            raise lacking
        if self._lacks_an_id:
            raise Undelivered("the service does not say the id of what it made", soon=True, passing=True)

    async def _finish(self, sources: dict[str, Arrived], finished: Finished | None) -> list[PlacedFile]:
        """Look at the sound and finish it, as far as that is asked for. `finished` is what a worker did of it."""
        work, lead, was_judged = self.work, lead_of(self.work.take.job.formats), self.work.is_judged
        wanted = await self._wanted()
        if lead is None or not wanted.recipe:
            work.row = replace(work.row, remarks=work.row.remarks if was_judged else ())
            return []
        if finished is None:
            finished = await self._on_disk(self.finishing.make, sources[lead].at, wanted)
        made: list[PlacedFile] = []
        rejected = rejecting(finished.remarks)
        if rejected:
            await self._on_disk(self.finishing.reject, sources, finished)
        elif self.scheduler.options.frozen and was_judged and not self.finishing.is_as_known(finished):
            raise Undelivered(
                "made again of its source, it has other bytes than the lock names, since the libraries have other "
                "versions",
                repair="Run without --frozen, then commit the lock.",
            )
        else:
            made = await self._on_disk(self.finishing.place, finished)
        self.siblings.note(work, finished.fingerprint)
        if finished.before is not None and lead in sources:
            file = replace(sources[lead].file, shape=finished.before)
            sources[lead] = replace(sources[lead], file=file)
        if rejected or not was_judged:
            work.row = replace(work.row, remarks=finished.remarks)
        return made

    async def _wanted(self) -> Wanted:
        """Say what is to be done with the sound, once those are there that it shall not be alike."""
        take, siblings = self.work.take, self.siblings
        if self.work.is_judged:
            return self.finishing.wanted({"finish": take.job.finish} if take.job.finish else {}, {})
        while siblings.missing(take):
            await self._pause(_SIBLINGS_S)
        others = await siblings.fingerprints(take, self.ports, self.files.copies, self.files.out)
        return self.finishing.wanted(take.job.recipe, others)

    async def _record(self, sources: Mapping[str, Arrived], finished: Sequence[PlacedFile]) -> None:
        """Put down what came of the take, once all of it stands where it shall."""
        work, job, rejected = self.work, self.work.take.job, rejecting(self.work.row.remarks)
        delivered = await self._on_disk(self.files.settle, sources)
        if work.facts.made_before:
            await self._on_disk(self.finishing.clear_made, finished)
        files = {file.record.format: file.record for file in (*delivered, *finished)}
        work.sources = tuple(file.record for file in delivered)
        work.files = () if rejected else tuple(files[name] for name in job.outputs)
        work.warnings = (*work.warnings, *self.files.warnings)
        work.row = replace(work.row, stage=Stage.DELIVERED, recipe=job.recipe)
        await self.ports.journal.save(work.row, [*delivered, *finished])

    @property
    def _lacks_an_id(self) -> bool:
        """Whether it is not known what was made beside files, such as a voice, by which it is used."""
        row = self.work.row
        return self.scheduler.kind.makes is not None and row.stage is Stage.SUCCEEDED and row.voice_id is None

    async def _pause(self, seconds: float) -> None:
        """Wait, while another take is delivered."""
        self.room.release()
        await self.ports.clock.sleep(seconds)
        await self.room.acquire()

    async def _on_disk(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Have something done that blocks, to its end."""
        return await to_its_end(self.ports.offload(function, *args, **kwargs))
