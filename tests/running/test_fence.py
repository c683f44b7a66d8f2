"""A paid call under a lease: it goes on for as long as the lease is renewed, and no longer."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from kling_batch.catalog import kind
from kling_batch.errors import DiskUnusable, KlingBatchError
from kling_batch.records.lease import Lease
from kling_batch.running.fence import FencedService
from kling_batch.service.auth import Keys
from kling_batch.service.client import KlingService, Service, api_client
from kling_batch.service.outcomes import Created, NotSent, Unclear
from tests.promises.hosts import running
from tests.promises.service import KEY

_LOOK_S = 0.01


class SlowService:
    """A service that answers when it is let."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.given_up = False

    async def create(self, *_: Any, **__: Any) -> NotSent:
        """Wait for the answer."""
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.given_up = True
            raise
        return NotSent(reason="the answer")


class LeaseOfLooks:
    """A lease, and the claim on it, that is found renewed at so many looks."""

    def __init__(self, renewed: int, service: SlowService) -> None:
        self.claim = self
        self._left = renewed
        self._service = service

    def note(self, call: str) -> None:
        """Take any call."""

    def call_s(self) -> float:
        """A moment."""
        return _LOOK_S

    def lasts_s(self) -> float:
        """A moment more at each look; then the answer comes."""
        self._left -= 1
        if self._left == 0:
            self._service.answer.set()
        return _LOOK_S if self._left >= 0 else 0.0


@pytest.mark.anyio
@pytest.mark.parametrize(("renewed", "answered"), [(5, True), (0, False)])
async def test_a_call_goes_on_while_the_lease_is_renewed(renewed: int, answered: bool) -> None:
    """Speech is the answer itself and may take minutes; without a lease the call is ended, and is unclear."""
    service = SlowService()
    lease = LeaseOfLooks(renewed, service)
    fenced = FencedService(
        cast("Service", service), cast("Lease", lease), offload=asyncio.to_thread, stop=lambda _: None
    )
    outcome = await fenced.create(kind("text-to-speech"), {}, "kb-1")
    assert isinstance(outcome, NotSent if answered else Unclear)
    assert service.given_up is not answered


class ConnectingService:
    """A service to which a connection is opened first; meanwhile the process is stopped."""

    def __init__(self) -> None:
        self.sent = False

    async def create(self, *_: Any, **__: Any) -> NotSent:
        """Connect, then send."""
        asyncio.get_running_loop().call_soon(time.sleep, 5 * _LOOK_S)
        await asyncio.sleep(_LOOK_S / 2)
        self.sent = True
        return NotSent(reason="the answer")


@pytest.mark.anyio
async def test_a_call_that_had_not_left_when_the_process_was_stopped_never_leaves() -> None:
    """Another run may have sent it meanwhile."""
    service = ConnectingService()
    lease = cast("Lease", LeaseOfLooks(0, SlowService()))
    fenced = FencedService(cast("Service", service), lease, offload=asyncio.to_thread, stop=lambda _: None)
    assert isinstance(await fenced.create(kind("text-to-audio"), {}, "kb-1"), Unclear)
    assert not service.sent


class LeaseThatEnds(LeaseOfLooks):
    """A lease that a process which was stopped finds to be over: its timers are late by a step of the loop."""

    def call_s(self) -> float:
        """Long."""
        return 60.0


@pytest.mark.anyio
@pytest.mark.parametrize("looks", [0, 2])
async def test_a_call_looks_at_the_lease_right_before_it_leaves(looks: int) -> None:
    """Many leave at once: as the first is heard the process may be stopped, and the others go on before any timer."""
    lease = cast("Lease", LeaseThatEnds(looks, SlowService()))
    with running() as service:
        async with api_client(service.url) as http:
            kling = KlingService(http, Keys(api_key=KEY).signer(time.time))
            fenced = FencedService(kling, lease, offload=asyncio.to_thread, stop=lambda _: None)
            outcome = await fenced.create(kind("text-to-audio"), {"prompt": "rain", "duration": 3.0}, "kb-1")
    assert (type(outcome), len(service.tasks)) == ((Created, 1) if looks else (NotSent, 0))


class StaleLease:
    """A lease, and the claim on it, that is to be renewed before a call."""

    def __init__(self, *, fails: bool) -> None:
        self.claim = self
        self.fails = fails
        self.renewals = 0

    def call_s(self) -> float:
        """Long, once it is renewed."""
        return 60.0 if self.renewals and not self.fails else 0.0

    lasts_s = call_s

    def note(self, _call: str) -> None:
        """Ask the storage, too."""
        self.renew()

    def renew(self) -> None:
        """Ask the storage."""
        self.renewals += 1
        if self.fails:
            raise DiskUnusable("the storage hangs")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "fails", "writes"),
    [
        ("text-to-audio", True, 1),
        ("text-to-audio", False, 1),
        ("text-to-speech", True, 1),
        ("text-to-speech", False, 5),
    ],
)
async def test_calls_that_wait_for_one_renewal_learn_of_it_together(name: str, fails: bool, writes: int) -> None:
    """Storage that hangs would else hold up the end of the run once for every call."""
    service, lease = SlowService(), StaleLease(fails=fails)
    stops: list[KlingBatchError] = []
    service.answer.set()
    fenced = FencedService(cast("Service", service), cast("Lease", lease), offload=asyncio.to_thread, stop=stops.append)
    outcomes = await asyncio.gather(*(fenced.create(kind(name), {}, f"kb-{n}") for n in range(5)))
    reason = (
        "The lease could not be renewed, so that nothing more is sent: the storage hangs" if fails else "the answer"
    )
    assert set(outcomes) == {NotSent(reason=reason)}
    assert lease.renewals == writes
    assert bool(stops) is fails
