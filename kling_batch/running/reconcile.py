"""Bringing what we know together with what the account has: before anything is sent, and after an answer was lost.

A take that this journal never sent may have been sent by another machine, or by a later state of this journal; an
answer that was lost may have been that of a task. Both are looked for, and only silence that counts (see `account`)
lets the take be sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kling_batch.errors import ServiceStop
from kling_batch.events import Looking, Warned
from kling_batch.model import Task
from kling_batch.records.account import Control
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.running import decide
from kling_batch.running.account import Account
from kling_batch.running.decide import Next, Silence
from kling_batch.running.limits import wait_s
from kling_batch.running.ports import Ports
from kling_batch.running.scheduler import Scheduler
from kling_batch.running.slots import surely_ended_s
from kling_batch.running.work import Work

_LONGEST_GAP_S = 4.0
_NAMELESS = (
    "Tasks of the kind {} take no name of ours: what another machine, or another copy of this folder, has sent and "
    "paid for of these takes cannot be seen."
)
_UNNAMED = "such a call takes no name of ours, so that it cannot be looked for"
_WHY_UNKNOWN = {
    Silence.ABSENT: "no trace of it on the service, and it is not sent again",
    Silence.UNHEARD: "the account shows no task by its external id, so that nothing can be known of it",
}


@dataclass(frozen=True)
class Reconciler:
    """Looks for the tasks of a run's takes.

    Args:
        scheduler: Is told what was found.
        account: Is looked at.
        ports: The world.
    """

    scheduler: Scheduler
    account: Account
    ports: Ports

    async def observe(self, seen: Sequence[tuple[Work, Task]]) -> None:
        """Take in what the service says of tasks. Slots are free at once, before the disk is waited for."""
        changed: list[tuple[Work, Attempt]] = []
        for work, task in seen:
            with self.scheduler.about(work):
                if self.scheduler.take_in(work, task):
                    changed.append((work, work.row))
        if not changed:
            return
        await self.ports.journal.save_all([(row, ()) for _, row in changed])
        for work, row in changed:
            with self.scheduler.about(work):
                self.scheduler.go_on_from(work, row)

    # Before anything is sent

    async def prepare(self, controls: list[Control]) -> None:
        """Look for everything that is to be sent, and begin to send what the account does not have.

        Args:
            controls: Tasks that are known to exist, to hear the account by.
        """
        scheduler, empty = self.scheduler, self.scheduler.options.empty_account
        unsettled = any(work.row.stage is Stage.INTENT for work in scheduler.works)
        may_roll = any(work.rolls for work in scheduler.works)
        if (scheduler.waiting() or unsettled or may_roll) and not empty:
            await self._hear(controls)
        while unseen := [work for work in scheduler.waiting() if not (work.looked_for or empty)]:
            await self.look_up(unseen, seconds=0.0 if scheduler.proven else self.scheduler.options.settle_time_s)
        scheduler.start_sending()

    async def look_again(self, seconds: float) -> None:
        """Look for all that is to be sent once more, twice, so many seconds apart; nothing is sent meanwhile."""
        self.scheduler.stop_sending()
        await self.look_up(self.scheduler.waiting(), seconds=seconds)
        self.scheduler.start_sending()

    async def _hear(self, controls: list[Control]) -> None:
        """Hear the account by tasks that we know, else by one that runs and that the list shows.

        What this machine has learned of the account, it learned of a task that ran. Tasks that take no name of ours
        can be heard of by none.
        """
        if self.scheduler.kind.external_id is None:
            return
        account, known = self.account, self.scheduler.knowledge.control
        if known is not None and await account.shows(known):
            account.live = True
        await account.hear(controls)
        if not account.live:
            await account.hear_from(await account.scan())

    async def look_up(self, works: list[Work], *, seconds: float) -> None:
        """Find what the account has of these takes, and take it over.

        It looks twice, so many seconds apart: what was sent a moment ago may not be visible yet. The first look is at
        the list; the second asks for every take that is still missing, and counts only if a known task is shown right
        after. Where tasks take no name of ours there is nothing to look for: it is said that this cannot be known.
        """
        if self.scheduler.kind.external_id is None:
            self._pass_over(works)
            return
        account, clock = self.account, self.ports.clock
        absent = await self._take_over(works, await account.glance({work.external_id for work in works}))
        if not absent:
            return
        self.ports.observe(Looking(at=clock.time(), takes=len(absent), seconds=seconds))
        if seconds > 0:
            await clock.sleep(seconds)
        tries = 0
        while absent:
            asked = missing = absent
            while asked:
                found = await account.find_all(work.external_id for work in asked)
                asked = await self._take_over([work for work in asked if work.external_id in found], found)
            if await account.is_still_heard():
                break
            absent = [work for work in missing if work.status is None and work.row.stage is Stage.WITHDRAWN]
            tries += 1
            await clock.sleep(wait_s(tries, self.ports.rng.random(), longest_s=_LONGEST_GAP_S))
        for work in works:
            work.looked_for = True

    def _pass_over(self, works: list[Work]) -> None:
        for work in works:
            work.looked_for = True
        if not self.scheduler.proven:
            message = _NAMELESS.format(self.scheduler.kind.name)
            self.ports.observe(Warned(at=self.ports.clock.time(), message=message))

    async def _take_over(self, works: list[Work], found: Mapping[str, Task]) -> list[Work]:
        """Take in what was found, also of the next attempts of tasks that failed. Gives the takes that are missing."""
        missing: list[Work] = []
        asked = works
        while asked:
            missing += [work for work in asked if work.external_id not in found]
            there = [work for work in asked if work.external_id in found]
            await self.observe([(work, found[work.external_id]) for work in there])
            asked = [work for work in there if work.status is None and work.row.stage is Stage.WITHDRAWN]
        return missing

    # Whose silence counts

    async def prove(self, control: Control) -> None:
        """See the first task that this run made by its external id: the positive control of this very run.

        A source may show tasks late, or name them only once they have ended. So it is deaf only if, the settle time and
        the task's end later, neither the query nor the list has shown it.
        """
        clock, account, in_flight = self.ports.clock, self.account, self.scheduler.in_flight
        due, gap = clock.monotonic() + self.scheduler.options.settle_time_s, 0.1
        last = listed = False
        while not (shown := await account.shows(control)) and not last:
            listed = listed or await account.lists(control)
            await clock.sleep(gap)
            gap = min(gap * 2, _LONGEST_GAP_S)
            last = clock.monotonic() >= due and control.external_id not in in_flight
        while shown and not account.live and (control.external_id in in_flight or self._will_know_how_long()):
            await clock.sleep(gap)  # it was shown after its end: how long it took is about to be seen
        account.query_heard, account.list_heard = shown, listed
        account.live = listed if not shown else account.live
        await self._heard(control)

    def _will_know_how_long(self) -> bool:
        """Whether a task that is in flight will be the first to show how long a generation takes."""
        return self.scheduler.knowledge.longest_s is None and bool(self.scheduler.in_flight)

    async def _heard(self, control: Control) -> None:
        """Go on once it is known whether the account shows this run's first task by its external id.

        Silence from before a source was heard says nothing: what is to be sent is looked for again.
        """
        account, scheduler = self.account, self.scheduler
        if account.query_heard and account.live:
            scheduler.know(replace(scheduler.knowledge, control=control))
        if not account.heard and not scheduler.proven and not self.scheduler.options.unproven:
            scheduler.halt(_deaf(control.task_id))
        alone = scheduler.canary is not None
        if alone and account.heard and not scheduler.proven and scheduler.stopped is None:
            ended_s = surely_ended_s(scheduler.knowledge.longest_s, scheduler.options.settle_time_s)
            await self.look_again(0.0 if account.live else ended_s)
        scheduler.judged()

    # After an answer was lost

    async def settle(self, work: Work, reason: str = "its answer was lost") -> None:
        """Look for the task of an unclear POST, and send again only what is known to have made nothing."""
        scheduler, options = self.scheduler, self.scheduler.options
        scheduler.emit(work, "settling", reason)
        name = work.external_id
        found = await self.find_until_settled(work)
        if not work.waits_for(name):
            return
        if isinstance(found, Task):
            await self.observe([(work, found)])
        elif work.orphan and (found is Silence.UNHEARD or not work.row.run_id):
            scheduler.let_go(work)
        elif work.orphan:
            scheduler.withdraw(work)
            await self.ports.journal.save(work.row)
        elif scheduler.kind.external_id is None:
            scheduler.leave_unknown(work, f"{reason}; {_UNNAMED}")
        elif not work.row.run_id:
            scheduler.leave_unknown(work, "its answer went to another account, which had this folder before")
        elif decide.after_silence(found, resends=work.resends, hold_unclear=options.hold_unclear) is Next.UNKNOWN:
            scheduler.leave_unknown(work, f"{reason}; {_WHY_UNKNOWN[found]}")
        else:
            scheduler.resend(work)
            await self.ports.journal.save(work.row)

    async def find_until_settled(self, work: Work, *, wait_to_hear: bool = True) -> Task | Silence:
        """Look for the task of an unclear call until it is found, or until the settle time has passed without a trace.

        A look that fails proves nothing: there must be one that answers after the settle time. That is counted from now
        and not from the sending: an answer may be lost a minute after the call, and the task be made just then. Where a
        source was heard by ended tasks alone, a task that may run is absent only once it would surely have ended. Where
        no source has been heard so far, a canary may still change that, and is waited for if `wait_to_hear`. A task
        that takes no name of ours cannot be looked for.
        """
        if self.scheduler.kind.external_id is None:
            return Silence.UNHEARD
        clock, account, scheduler, name = self.ports.clock, self.account, self.scheduler, work.external_id
        settle_time_s = self.scheduler.options.settle_time_s
        due = clock.monotonic() + settle_time_s
        sent = clock.monotonic() - scheduler.seconds_since_sending(work)
        gap = min(1.0, max(0.05, settle_time_s / 8))
        while work.waits_for(name):
            began = clock.monotonic()
            task = await account.find(name)
            if task is not None:
                return task
            ended = sent + surely_ended_s(scheduler.knowledge.longest_s, settle_time_s)
            if began >= due and (account.live or not account.heard or began >= ended or not wait_to_hear):
                judged = await account.judge_silence(name, began)
                passing = account.heard or scheduler.may_still_hear()
                if judged is not Silence.UNHEARD or not (wait_to_hear and passing):
                    return judged
            now = clock.monotonic()
            await clock.sleep(min(gap, due - now) if now < due else gap)
            gap = min(gap * 2, _LONGEST_GAP_S)
        return Silence.UNHEARD


def _deaf(task_id: str) -> ServiceStop:
    """Word the end of a run that cannot know what another machine has sent."""
    return ServiceStop(
        f"The account shows task {task_id} by its external id neither to a query nor in its list. So it cannot be "
        "known which takes another machine, or another copy of this folder, has sent and paid for already.",
        hint="Go on in the folder that worked last, or add --unproven if nobody else has ever run this set.",
    )
