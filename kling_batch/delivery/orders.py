"""What a worker does with one sound, in another process or on another machine: fetch, verify, look, finish, store.

A function of values: bytes go from the service, or the store, into the store. A worker has no keys of the service and
gives no file its final name. What it does not do, and why, it says; whoever gave the order can do all of it.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from kling_batch.clock import SystemClock
from kling_batch.delivery.answer import Downloaded, DownloadFailed, DownloadOutcome, UrlRefused
from kling_batch.delivery.arrival import Target, judged
from kling_batch.delivery.download import Downloader, file_client
from kling_batch.delivery.finishing import Finished, Wanted, finish
from kling_batch.delivery.verify import Rejected, Verified, verify_audio
from kling_batch.disk import disk_border
from kling_batch.errors import KlingBatchError
from kling_batch.model import FileRecord
from kling_batch.records.store import Store
from kling_batch.records.store_at import Place

_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One sound, and what is `wanted` of it.

    `targets` are its files as they were delivered; one whose hash is known is in the store, unless there is an address
    of it in `urls`, by format. `lead` is the format that is looked at.
    """

    place: Place
    targets: tuple[Target, ...]
    urls: Mapping[str, str] = field(repr=False)
    lead: str | None
    wanted: Wanted


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A file as it was delivered, which is in the store."""

    sha256: str
    bytes: int
    sound: Verified


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What came of an order: files by format, all in the store. `trouble` says why nothing did."""

    fetched: Mapping[str, Fetched] = field(default_factory=dict)
    finished: Finished | None = None
    trouble: str | None = None


class _NotHere(Exception):
    """Says why an order is not carried out."""


def carry_out(order: Order) -> Done:
    """Carry out an order, in a temporary folder that is gone afterwards. Blocks."""
    try:
        with disk_border(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory(prefix="kling-batch-") as folder:
            return _carried_out(order, _opened(order.place), Path(folder))
    except _NotHere as why:
        return Done(trouble=str(why))
    except KlingBatchError as error:
        return Done(trouble=error.message)


@cache
def _opened(place: Place) -> Store:
    """Open a store once in a process, whose client keeps its connections."""
    return place.open()


def _carried_out(order: Order, store: Store, folder: Path) -> Done:
    fetched, at = {}, {}
    for target in order.targets:
        path = folder / f"source.{target.audio_format}"
        sha256 = _bring(target, order.urls.get(target.audio_format), store, path)
        verdict = judged(path, sha256, target, twice=False)
        if isinstance(verdict, Rejected):
            raise _NotHere(verdict.reason)
        store.put(path, sha256)
        fetched[target.audio_format] = Fetched(sha256=sha256, bytes=path.stat().st_size, sound=verdict)
        at[target.audio_format] = path
    if order.lead is None or not order.wanted.recipe:
        return Done(fetched=fetched)
    finished = finish(at[order.lead], order.wanted, folder=folder, name="finished")
    for file in finished.files:
        store.put(file.path, file.record.sha256)
    return Done(fetched=fetched, finished=finished)


def _bring(target: Target, url: str | None, store: Store, path: Path) -> str:
    """Fetch a file, and give its hash.

    Raises:
        _NotHere: It is not to be had.
    """
    if target.sha256 is not None and store.fetch(target.sha256, path):
        return target.sha256
    if url is None:
        raise _NotHere(f"{store.location}: the store has it not, or not where this worker looks")
    match asyncio.run(_fetch(url, path)):
        case Downloaded(sha256=sha256):
            return sha256
        case UrlRefused(status=status):
            raise _NotHere(f"the file host refuses the URL (HTTP {status})")
        case DownloadFailed(reason=reason):
            raise _NotHere(reason)


async def _fetch(url: str, path: Path) -> DownloadOutcome:
    async with file_client() as client:
        rng = random.Random()  # noqa: S311 - jitter of waits, no secret
        return await Downloader(client, clock=SystemClock(), rng=rng).fetch(url, path, attempts=_ATTEMPTS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """Files that a store should have, with what each has to be, and the other formats that will do."""

    place: Place
    files: Sequence[tuple[FileRecord, tuple[str, ...]]]


def inspect(inspection: Inspection) -> list[str | None]:
    """Fetch files from a store and decode them; say of each what is wrong. Blocks.

    Raises:
        DiskUnusable: The store cannot be used.
    """
    store = _opened(inspection.place)
    with tempfile.TemporaryDirectory(prefix="kling-batch-") as folder:
        path = Path(folder) / "file"
        return [_wrong_with(file, also, store, path) for file, also in inspection.files]


def _wrong_with(file: FileRecord, also: tuple[str, ...], store: Store, path: Path) -> str | None:
    if not store.fetch(file.sha256, path):
        return "it is not there, or damaged"
    verdict = verify_audio(path, audio_format=file.format, requested_s=None, also=also)
    return verdict.reason if isinstance(verdict, Rejected) else None
