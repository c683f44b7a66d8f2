"""A team: machines that know nothing of each other, a bucket of a real S3 endpoint, and a fake of the service."""

from __future__ import annotations

import hashlib
import http.client
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

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
def cloud(s3: str) -> dict[str, str]:
    """Say where the S3 endpoint is, in the words of the environment."""
    return {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "ada",
        "AWS_SECRET_ACCESS_KEY": "lovelace",
    }


@pytest.fixture
def store(s3: str, tmp_path: Path) -> str:
    """Make a bucket of the test's own, and give the URL of a store in it."""
    name = f"l{hashlib.sha256(bytes(tmp_path)).hexdigest()[:20]}"
    connection = http.client.HTTPConnection(urlsplit(s3).netloc)
    connection.request("PUT", f"/{name}")
    with connection.getresponse() as answer:
        assert answer.status == 200
    connection.close()
    return f"s3://{name}/sounds"


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
