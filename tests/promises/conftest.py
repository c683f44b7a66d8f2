"""The fake service and the machines that use it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.promises.hosts import running
from tests.promises.machine import Machine
from tests.promises.service import Service

Machines = Callable[[], Machine]


@pytest.fixture
def service() -> Iterator[Service]:
    """Serve a fake of the Kling API."""
    with running() as service:
        yield service


@pytest.fixture
def machines(tmp_path: Path, service: Service) -> Machines:
    """Set up bare machines: nothing on one is known on another."""
    numbers = itertools.count(1)
    return lambda: Machine(home=tmp_path / f"machine-{next(numbers)}", service=service)


@pytest.fixture
def machine(machines: Machines) -> Machine:
    """Set up a bare machine."""
    return machines()
