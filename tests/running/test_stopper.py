"""Stopping a run, also before it has begun."""

from __future__ import annotations

import asyncio

import pytest

from kling_batch.errors import Interrupted
from kling_batch.running.run import Stopper


def test_what_comes_before_a_run_can_be_stopped() -> None:
    """A person need not wait until the service has said whose a folder is."""
    stopper = Stopper()

    async def ask() -> bool:
        asyncio.get_running_loop().call_soon(stopper.stop, Interrupted("Interrupted."))
        await asyncio.Event().wait()
        return True

    with pytest.raises(Interrupted):
        asyncio.run(stopper.before(ask))


def test_nothing_is_asked_after_a_stop() -> None:
    """The first reason counts."""
    stopper = Stopper()
    stopper.stop(Interrupted("first"))
    stopper.stop(Interrupted("second"))

    async def ask() -> bool:
        raise AssertionError("it was asked")

    with pytest.raises(Interrupted, match="first"):
        asyncio.run(stopper.before(ask))
