"""Handing files to the service: it takes addresses, so that a file is put where it can be read, before its call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from kling_batch.catalog import Kind
from kling_batch.errors import KlingBatchError
from kling_batch.model import InputFile
from kling_batch.service.client import MayLeave, Service, always
from kling_batch.service.outcomes import CreateOutcome, ListOutcome, NotSent, QueryOutcome


class Uploads(Protocol):
    """A place of the user's that the service can read from."""

    async def address(self, file: InputFile) -> str:
        """Put a file there, unless it is there, and give an address of it that outlives its task.

        Raises:
            KlingBatchError: The place cannot be used.
        """
        ...


class PassedOn:
    """A service that passes all on to another, but for what a subclass does itself."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def requests(self) -> int:
        """See `Service.requests`."""
        return self._service.requests

    @property
    def answers(self) -> int:
        """See `Service.answers`."""
        return self._service.answers

    async def query(self, kind: Kind, any_id: str) -> QueryOutcome:
        """See `Service.query`."""
        return await self._service.query(kind, any_id)

    async def page(self, kind: Kind, number: int, size: int) -> ListOutcome:
        """See `Service.page`."""
        return await self._service.page(kind, number, size)


class UploadingService(PassedOn):
    """A service whose create calls hand files over as addresses.

    Where a file cannot be uploaded, nothing is sent, and the run is stopped: a person has to mend that.

    Args:
        service: The service.
        uploads: Where files are put.
        files: Every file that may be asked for.
        stop: Stops the run.
    """

    def __init__(
        self,
        service: Service,
        uploads: Uploads,
        files: Iterable[InputFile],
        *,
        stop: Callable[[KlingBatchError], None],
    ) -> None:
        super().__init__(service)
        self._uploads = uploads
        self._files = {file.identity: file for file in files}
        self._stop = stop

    async def create(
        self, kind: Kind, request: Mapping[str, Any], external_id: str, *, may_leave: MayLeave = always
    ) -> CreateOutcome:
        """See `Service.create`."""
        sent = dict(request)
        try:
            for name in kind.inputs.keys() & request.keys():
                sent[kind.inputs[name].sent_as] = await self._uploads.address(self._files[sent.pop(name)])
        except KlingBatchError as error:
            self._stop(error)
            return NotSent(reason=error.message)
        return await self._service.create(kind, sent, external_id, may_leave=may_leave)
