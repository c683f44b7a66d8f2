"""A team: machines that know nothing of each other, a bucket of a real S3 endpoint, and a fake of the service."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kling_batch.records.object_store import ObjectDocuments
from tests.promises.hosts import running
from tests.promises.machine import Machine
from tests.promises.service import Service


@pytest.fixture
def service() -> Iterator[Service]:
    """Serve a fake of the Kling API, which takes a name twice and charges twice."""
    with running() as service:
        yield service


@pytest.fixture
def store(bucket: str) -> str:
    """Give the URL of a store in a bucket of the test's own."""
    return f"{bucket}/sounds"


@pytest.fixture
def documents(store: str, cloud: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> ObjectDocuments:
    """Look at the bucket from behind."""
    for name, value in cloud.items():
        monkeypatch.setenv(name, value)
    return ObjectDocuments(store)


@pytest.fixture
def machines(tmp_path: Path, service: Service, cloud: dict[str, str]) -> Callable[[], Machine]:
    """Set up bare machines of the team: nothing on one is known on another."""
    numbers = itertools.count(1)

    def make() -> Machine:
        machine = Machine(home=tmp_path / f"machine-{next(numbers)}", service=service, environment=cloud)
        return machine.write("creak", "rain")

    return make
