"""The program, broken on purpose in three ways. A proof that does not catch these proves nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kling_batch.records.attempts import Attempt, PlacedFile, Stage
from kling_batch.service.client import KlingService
from kling_batch.service.outcomes import CreateOutcome, ListOutcome, Page, Unclear
from tests.chaos.process import LateJournal, Parts


class ResendsAtOnce(KlingService):
    """Sends an unclear call again at once, as a client with blind retries does."""

    async def create(self, path: str, request: Mapping[str, Any], external_id: str) -> CreateOutcome:
        outcome = await super().create(path, request, external_id)
        if isinstance(outcome, Unclear):
            return await super().create(path, request, external_id)
        return outcome


class ForgetsIntents(LateJournal):
    """Writes nothing before the call: a crash between call and answer leaves no trace."""

    async def save_all(self, rows: Iterable[tuple[Attempt, Iterable[PlacedFile]]]) -> None:
        await super().save_all([row for row in rows if row[0].stage is not Stage.INTENT])


class TrustsTheOrder(KlingService):
    """Takes the first page of the list for all of it, as if the newest tasks came first and nobody else made any."""

    async def page(self, path: str, number: int, size: int) -> ListOutcome:
        outcome = await super().page(path, number, size)
        if isinstance(outcome, Page) and outcome.rows == size:
            return Page(tasks=outcome.tasks[:-1], rows=size - 1)
        return outcome


RESENDS_AT_ONCE = Parts(service=ResendsAtOnce)
FORGETS_INTENTS = Parts(journal=ForgetsIntents)
TRUSTS_THE_ORDER = Parts(service=TrustsTheOrder)
