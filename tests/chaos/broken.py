"""The program, broken on purpose in fifteen ways. A proof that does not catch these proves nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kling_batch.catalog import Kind
from kling_batch.delivery import arrival
from kling_batch.delivery.verify import Rejected, Verified, verify_audio
from kling_batch.model import Status, Task
from kling_batch.records.attempts import Stage
from kling_batch.records.journal import Statement
from kling_batch.records.lock import Lock, write_lock
from kling_batch.running import locking, run
from kling_batch.running.account import Account
from kling_batch.running.decide import Silence, withdrawn
from kling_batch.running.reconcile import Reconciler
from kling_batch.running.run import Run
from kling_batch.running.scheduler import Scheduler
from kling_batch.running.session import Session
from kling_batch.running.slots import HeldSlots
from kling_batch.running.work import Work
from kling_batch.service.client import KlingService, MayLeave, always
from kling_batch.service.outcomes import CreateOutcome, ListOutcome, Page, Unclear
from tests.chaos.process import LateJournal, Parts


class ResendsAtOnce(KlingService):
    """Sends an unclear call again at once, as a client with blind retries does."""

    async def create(
        self, kind: Kind, request: Mapping[str, Any], external_id: str, *, may_leave: MayLeave = always
    ) -> CreateOutcome:
        outcome = await super().create(kind, request, external_id, may_leave=may_leave)
        if isinstance(outcome, Unclear):
            return await super().create(kind, request, external_id, may_leave=may_leave)
        return outcome


class ForgetsIntents(LateJournal):
    """Writes nothing before the call: a crash between call and answer leaves no trace."""

    def _marked(self, statements: Iterable[Statement]) -> list[Statement]:
        return [row for row in super()._marked(statements) if row[1].get("stage") != Stage.INTENT]


class TrustsTheOrder(KlingService):
    """Takes the first page of the list for all of it, as if the newest tasks came first and nobody else made any."""

    async def page(self, kind: Kind, number: int, size: int) -> ListOutcome:
        return await super().page(kind, number, size) if number == 1 else Page(tasks=(), rows=0)


RESENDS_AT_ONCE = Parts(service=ResendsAtOnce)
FORGETS_INTENTS = Parts(journal=ForgetsIntents)
TRUSTS_THE_ORDER = Parts(service=TrustsTheOrder)


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """A program with a promise taken out of it: what stands in for a part, by its owner and name."""

    owner: Any
    name: str
    value: Any

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Break it for as long as the context lasts."""
        sound = self.owner.__dict__[self.name]
        setattr(self.owner, self.name, self.value)
        try:
            yield
        finally:
            setattr(self.owner, self.name, sound)


def _carries_out_the_old_plan(session: Session) -> None:
    """Do what was agreed to, whatever has happened since."""
    session.plan = session._agreed or session._made(session.project.snapshot())
    session._asked = session.access()


async def _believes_any_silence(account: Account, external_id: str, since: float) -> Task | Silence:
    del account, external_id, since
    return Silence.ABSENT


def _writes_the_lock_from_memory(path: Path, project: str, change: Any, *, probe: Any) -> Lock:
    """Write what this run knows, as if nobody else wrote."""
    del project
    lock: Lock = change(change.keywords["changes"].base)
    write_lock(path, lock, probe=probe)
    return lock


def _refuses_a_careless_sound(*arguments: Any, **options: Any) -> Any:
    verdict = verify_audio(*arguments, **options)
    if isinstance(verdict, Verified) and verdict.warnings:
        return Rejected(reason="its header does not say what it is")
    return verdict


NO_SECOND_PLAN = Broken(owner=Session, name="_plan_again", value=_carries_out_the_old_plan)
SILENCE_UNHEARD = Broken(owner=Account, name="judge_silence", value=_believes_any_silence)
NO_CONTINUITY = Broken(owner=run, name="is_proven", value=lambda *_: True)


def _forgets_lost_speech(scheduler: Scheduler, work: Work, why: str) -> None:
    """End it as if nothing had been sent."""
    del why
    scheduler.let_go(work)
    scheduler._move(work, withdrawn(work.row))
    scheduler.end(work, Status.PENDING)


def _in_any_turn(run: Run, works: Sequence[Work]) -> Iterable[str]:
    """Take kind after kind as the manifest has them, whatever may still run."""
    del run
    return dict.fromkeys(work.row.kind for work in works if not work.orphan)


async def _takes_loss_for_absence(reconciler: Reconciler, work: Work, **_: Any) -> Silence:
    del reconciler, work
    return Silence.ABSENT


SPEECH_SENT_AGAIN = Broken(owner=Reconciler, name="find_until_settled", value=_takes_loss_for_absence)
SPEECH_FORGOTTEN = Broken(owner=Scheduler, name="leave_unknown", value=_forgets_lost_speech)
SPEECH_AT_LIST_PRICE = Broken(owner=Scheduler, name="_reserve", value=lambda *_: None)
NO_RIGHTS = Broken(owner=Session, name="_allowed", value=lambda _, plan: plan)
KINDS_IN_ANY_TURN = Broken(owner=Run, name="_turns", value=_in_any_turn)
LIST_PRICE = Broken(owner=Scheduler, name="price", value=property(lambda scheduler: scheduler.kind.units))
SLOT_FREED = Broken(owner=HeldSlots, name="hold", value=lambda *_: None)
LOCK_FROM_MEMORY = Broken(owner=locking, name="update_lock", value=_writes_the_lock_from_memory)
SOUND_REFUSED = Broken(owner=arrival, name="verify_audio", value=_refuses_a_careless_sound)
