"""Who asks the service, and the open clients of a run."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kling_batch.clock import SystemClock
from kling_batch.disk import disk_border
from kling_batch.effects import no_probe
from kling_batch.errors import UsageError
from kling_batch.events import Observer
from kling_batch.model import InputFile
from kling_batch.planning.project import SANDBOX_SERVICE
from kling_batch.records.account import AccountMemory, state_folder
from kling_batch.records.journal import Journal
from kling_batch.records.store import Store
from kling_batch.running.ports import Ports
from kling_batch.running.uploads import Uploads
from kling_batch.service.auth import Keys, keys_from
from kling_batch.service.callbacks import Address, listening
from kling_batch.service.client import DEFAULT_BASE_URL, KlingService, api_client, checked_base_url

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Where the service is and who asks. `transport` is the sandbox's, or None for the network.

    `state` is the folder where this machine keeps what it knows of accounts; None keeps nothing. `uploads` is where
    files are put that the service shall read, `callbacks` where it tells of tasks.
    """

    base_url: str
    keys: Keys
    fingerprint: str
    transport: httpx.AsyncBaseTransport | None = None
    state: Path | None = None
    uploads: Uploads | None = None
    callbacks: Address | None = None

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Access:
        """Take keys and address from what a caller hands over: `os.environ`, or a dict with the same names.

        `KLING_API_KEY`, or `KLING_ACCESS_KEY` and `KLING_SECRET_KEY`; `KLING_BASE_URL` for another region;
        `KLING_WEBHOOK_SECRET` for callbacks. The user's state folder follows from `XDG_STATE_HOME`, `LOCALAPPDATA` or
        `HOME`; without them nothing is known of the account from run to run, and every run looks twice before it sends.

        Raises:
            UsageError: The keys are missing, or the address would send them in the clear.
        """
        base_url = checked_base_url(variables.get("KLING_BASE_URL") or DEFAULT_BASE_URL)
        keys = keys_from(variables)
        fingerprint = keys.fingerprint(base_url)
        return cls(base_url=base_url, keys=keys, fingerprint=fingerprint, state=state_folder(variables))

    @property
    def memory(self) -> AccountMemory:
        """What this machine knows of the account."""
        return AccountMemory(self.state, self.fingerprint)

    @asynccontextmanager
    async def open(self, journal: Journal, store: Store | None, observe: Observer) -> AsyncIterator[Ports]:
        """Open the clients of a run."""
        from kling_batch.delivery.download import Downloader

        clock, rng = SystemClock(), random.Random()  # noqa: S311 - jitter of waits, no secret
        url = None if self.callbacks is None else self.callbacks.url
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(api_client(self.base_url, self.transport))
            files = await stack.enter_async_context(self.files())
            signer = self.keys.signer(clock.time)
            callbacks = None
            if self.callbacks is not None:
                heard = listening(self.callbacks, self.keys.webhook_secrets, struck=signer.secrets)
                callbacks = await stack.enter_async_context(heard)
            yield Ports(
                service=KlingService(http, signer, callback_url=url),
                files=Downloader(files, clock=clock, rng=rng),
                journal=journal,
                store=store,
                clock=clock,
                rng=rng,
                offload=asyncio.to_thread,
                probe=no_probe,
                observe=observe,
                callbacks=callbacks,
            )

    def service(self) -> tuple[KlingService, httpx.AsyncClient]:
        """Open the API's client; whoever asks for it closes it."""
        http = api_client(self.base_url, self.transport)
        return KlingService(http, self.keys.signer(SystemClock().time)), http

    def files(self) -> httpx.AsyncClient:
        """Open the file host's client; whoever asks for it closes it. A service on this machine needs no proxy."""
        from kling_batch.delivery.download import file_client

        try:
            return file_client(transport=self.transport)
        except UsageError:
            if urlsplit(self.base_url).scheme != "http":
                raise
            return file_client(by_proxy=False)


def sandbox_access() -> Access:
    """Start a sandbox inside the process."""
    from kling_batch.sandbox.settings import (
        API_BASE_URL,
        FILE_BASE_URL,
        SANDBOX_ACCESS_KEY,
        SANDBOX_SECRET_KEY,
        WorldSettings,
    )
    from kling_batch.sandbox.transport import SandboxTransport
    from kling_batch.sandbox.world import World

    clock = SystemClock()
    world = World(WorldSettings(), now=clock.time)
    transport = SandboxTransport(world, clock, offload=asyncio.to_thread)
    return Access(
        base_url=API_BASE_URL,
        keys=Keys(access_key=SANDBOX_ACCESS_KEY, secret_key=SANDBOX_SECRET_KEY),
        fingerprint=SANDBOX_SERVICE,
        transport=transport,
        uploads=_SandboxUploads(transport, FILE_BASE_URL),
    )


class _SandboxUploads:
    """The file host of a sandbox in the process, which takes what a service would read elsewhere."""

    def __init__(self, transport: httpx.AsyncBaseTransport, base_url: str) -> None:
        self._transport = transport
        self._base_url = base_url

    async def address(self, file: InputFile) -> str:
        """See `Uploads.address`."""
        from kling_batch.delivery.download import file_client

        url = f"{self._base_url}/uploads/{file.sha256}{file.path.suffix.lower()}"
        with disk_border(file.path):
            data = file.path.read_bytes()
        await file_client(transport=self._transport).put(url, content=data)
        return url


def no_access() -> Access:
    """Stand in for a service that nobody will ask: a batch that is finished."""
    return Access(base_url="https://nobody.invalid", keys=Keys(api_key="none"), fingerprint="")
