"""Fencing: no paid call is made unless this run is known to be the only one of its set, at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from kling_batch.catalog import Kind
from kling_batch.errors import DiskUnusable, KlingBatchError, LeaseHeld, NotFinished
from kling_batch.records.lease import Claim, Lease
from kling_batch.running.ports import Offload
from kling_batch.running.uploads import PassedOn
from kling_batch.service.client import MayLeave, Service, always
from kling_batch.service.outcomes import CreateOutcome, NotSent, Unclear

_TRIES = 3


class FencedService(PassedOn):
    """A service whose create calls are made while a lease lasts, and not otherwise: then the run is stopped.

    A call goes on for as long as the lease is renewed meanwhile: some kinds answer with the sound itself, after
    minutes. Else it is given up as unclear before another run could have taken over, and is looked for as any.

    Args:
        service: The service.
        lease: The lease; None is none that was taken, so that nothing may be paid for.
        offload: Runs what takes a while.
        stop: Stops the run.
    """

    def __init__(
        self, service: Service, lease: Lease | None, *, offload: Offload, stop: Callable[[KlingBatchError], None]
    ) -> None:
        super().__init__(service)
        self._lease = lease
        self._offload = offload
        self._stop = stop
        self._one_renews = asyncio.Lock()
        self._failure: NotFinished | None = None

    async def create(
        self, kind: Kind, request: Mapping[str, Any], external_id: str, *, may_leave: MayLeave = always
    ) -> CreateOutcome:
        """See `Service.create`."""
        try:
            claim, seconds = await self._held(external_id if kind.external_id is None else None)
        except NotFinished as error:
            self._failure = error
            self._stop(error)
            return NotSent(reason=error.message)
        # The call is made in this very step and cancelled by a timer, so that one that has not left when the process is
        # stopped never does: it must not be a task of its own, which would go on before it is told to end. Of many that
        # are about to leave at once, some go on before the timer does: so each looks again right before it leaves.
        loop = asyncio.get_running_loop()
        limit = asyncio.timeout(seconds)

        def prolong() -> None:
            if not limit.expired() and (left := claim.lasts_s()) > 0:
                limit.reschedule(loop.time() + left)
                looks.append(loop.call_later(left / 2, prolong))

        looks = [loop.call_later(seconds / 2, prolong)]
        try:
            async with limit:
                return await self._service.create(
                    kind, request, external_id, may_leave=lambda: may_leave() and claim.lasts_s() > 0
                )
        except TimeoutError:
            return Unclear(reason="no answer while the lease was sure to last")
        finally:
            looks[-1].cancel()

    async def _held(self, call: str | None) -> tuple[Claim, float]:
        """Give the claim on the lease, and how long a call may take that is begun now.

        A `call` that nobody could look for is noted in the lease first, for whoever takes that over. Nothing is waited
        for between the last look and the return.

        Raises:
            LeaseHeld: Another run has the lease, or none was taken.
            NotFinished: It cannot be renewed.
        """
        lease, why = self._lease, "the storage takes too long"
        if lease is None:
            raise LeaseHeld("What is to be paid for now was not planned, so that no lease was taken.", hint=_AGAIN)
        try:
            if call is not None:
                async with self._alone():
                    await self._offload(lease.note, call)
            for _ in range(_TRIES):
                if (seconds := lease.claim.call_s()) > 0:
                    return lease.claim, seconds
                async with self._alone():
                    if lease.claim.call_s() == 0:
                        await self._offload(lease.renew)
        except DiskUnusable as error:
            why = error.message
        raise NotFinished(f"The lease could not be renewed, so that nothing more is sent: {why}", hint=_AGAIN)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Write the lease for one call at a time; that it failed is learned once, for all that wait."""
        async with self._one_renews:
            if self._failure is not None:
                raise self._failure
            yield


_AGAIN = "Run the same command again: it resumes where this one stopped."
