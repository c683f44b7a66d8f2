"""What the service has of finished tasks: the URLs of their files, asked for again when refused, and the files."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import assert_never

from kling_batch.delivery.answer import Downloaded, DownloadFailed, UrlRefused
from kling_batch.delivery.arrival import Target
from kling_batch.model import Origin, Task, TaskStatus
from kling_batch.running.account import Shown
from kling_batch.running.decide import with_made
from kling_batch.running.files import Undelivered
from kling_batch.running.ports import Ports
from kling_batch.running.scheduler import Scheduler
from kling_batch.running.work import Work
from kling_batch.service.outcomes import Absent, Found


@dataclass(eq=False)
class Fetching:
    """Asks the service for the tasks of one kind, and the file host for their files.

    Args:
        scheduler: Knows the kind, and the account.
        ports: The world.
        unseen: The external ids of finished tasks that nobody has looked at in this run.
    """

    scheduler: Scheduler
    ports: Ports
    unseen: AbstractSet[str]
    _shown: Shown | None = field(default=None, init=False)

    async def task(self, work: Work, *, fresh: bool) -> Task:
        """Say what the service says of a task; it is asked for that alone where a fresh URL is needed.

        Raises:
            Undelivered: It says nothing, or nothing of use.
        """
        kind = self.scheduler.kind
        if kind.synchronous:
            return await self._answered(work, fresh=fresh)
        if work.task is not None and work.task.audios and not fresh:
            return work.task
        task = None if fresh else await self._listed(work)
        if task is None:
            task_id = work.row.task_id or work.external_id
            outcome: Found | Absent = await self.scheduler.account.reader.read(
                lambda: self.ports.service.query(kind, task_id)
            )
            if isinstance(outcome, Absent):
                raise Undelivered(f"task {task_id} is not known to the service any more", soon=True)
            task = outcome.task
        if work.origin is Origin.GENERATED and not work.posted:
            work.origin = Origin.RESUMED
        work.task = task
        work.row = with_made(work.row, task, kind)
        return task

    async def _listed(self, work: Work) -> Task | None:
        """Look into the account's list, where there are several tasks to look for."""
        if self._shown is None and len(self.unseen) > 1:
            self._shown = Shown(self.ports.service, self.scheduler.kind, self.unseen)
        task = await self._shown.find(work.external_id) if self._shown is not None else None
        return task if task is not None and work.row.task_id in {None, task.task_id} else None

    async def _answered(self, work: Work, *, fresh: bool) -> Task:
        """Say what a synchronous call made: the journal knows it. Where that is of no use, the service may tell."""
        row = work.row
        if row.task_id is not None and (fresh or not row.audios):
            outcome = await self.ports.service.query(self.scheduler.kind, row.task_id)
            if isinstance(outcome, Found) and outcome.task.audios:
                return outcome.task
        if row.task_id is None or not row.audios:
            raise Undelivered(
                "its sound came with the answer to the call, which is not to be had again",
                repair="Take the file from a store or a folder that has it, or raise the job's edition to pay for a "
                "new one.",
            )
        return Task(task_id=row.task_id, external_id=None, status=TaskStatus.SUCCEEDED, audios=row.audios)

    async def download(self, task: Task, target: Target, coming: Path) -> tuple[Target, str]:
        """Fetch a file, and give its hash, and what it has to be by what the service says of it.

        Raises:
            Undelivered: It is not to be had.
        """
        url, target = offered(task, target)
        match outcome := await self.ports.files.fetch(url, coming):
            case Downloaded(sha256=sha256):
                return target, sha256
            case UrlRefused(status=status):
                raise Undelivered(f"the file host refuses the URL (HTTP {status})", soon=True, passing=True)
            case DownloadFailed(reason=reason, passing=passing):
                raise Undelivered(reason, passing=passing)
            case _:
                assert_never(outcome)


def offered(task: Task, target: Target) -> tuple[str, Target]:
    """Give the URL of a file, and what the service says of it beside.

    Raises:
        Undelivered: It names no such file.
    """
    name = target.audio_format
    audio = next((audio for audio in task.audios if name in audio.urls), None)
    if audio is None:
        raise Undelivered(f"the service names no {name} file", soon=True, passing=True)
    return audio.urls[name], replace(target, stated_s=audio.durations_s.get(name))
