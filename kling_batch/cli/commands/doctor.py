"""`kling-batch doctor`."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from kling_batch.api.access import Access
from kling_batch.api.project import open_store
from kling_batch.catalog import kind_of
from kling_batch.cli import checks
from kling_batch.cli.checks import Check, State
from kling_batch.cli.environment import own_access, own_store, reader_of
from kling_batch.cli.options import allow_outside_option, out_option, project_option, text_or_json
from kling_batch.cli.output import print_json, say
from kling_batch.clock import SystemClock
from kling_batch.delivery.verify import decoders
from kling_batch.disk import disk_border
from kling_batch.errors import DiskUnusable, ExitStatus, KlingBatchError, ManifestInvalid, UsageError
from kling_batch.manifest import load
from kling_batch.model import Manifest
from kling_batch.records.local_disk import MOUNTS, file_system, refuse_network_disk
from kling_batch.records.snapshot import Snapshot, read_snapshot
from kling_batch.records.store import FolderStore
from kling_batch.running.knowledge import made_all
from kling_batch.service.outcomes import ReadFailed, Refused
from kling_batch.text import counted

_DAY_MS = 86_400_000
_NO_SOUND = "0" * 64


@click.command()
@click.argument("manifest", metavar="[MANIFEST]", type=click.Path(path_type=Path), required=False)
@project_option
@allow_outside_option
@out_option
@click.option("--store", metavar="DIR-OR-URL", help="The store to look at (default: the user's cache).")
@text_or_json
def command(
    manifest: Path | None, project: str | None, allow_outside: bool, out: Path | None, store: str | None, output: str
) -> int:
    """Check what a run needs: program, disk, store, keys, address, service, clock, and whose the output folder is.

    Free; sends nothing to make.

    Exit status 0 when there is no problem, else 2 (configuration), 5 (account) or 6 (service or disk).
    """
    found = list(_examined(manifest, project, out, store, allow_outside=allow_outside))
    status = checks.exit_status(found)
    if output == "json":
        rows = [{"check": c.name, "state": c.state, "message": c.message, "hint": c.hint} for c in found]
        print_json({"fine": status is ExitStatus.DONE, "exit_status": int(status), "checks": rows})
    else:
        for check in found:
            say(*_lines(check))
    say(_conclusion(found), err=True)
    return int(status)


def _examined(
    path: Path | None, project: str | None, out: Path | None, store: str | None, *, allow_outside: bool
) -> Iterator[Check]:
    yield checks.program()
    yield _sound()
    manifest, verdict = _manifest(path, project, allow_outside=allow_outside)
    if verdict is not None:
        yield verdict
    folder = out or (Path("out") / manifest.project if manifest else Path("out"))
    yield from disk(folder, manifest)
    yield _store(store)
    yield from _addresses(manifest)
    yield from _reached(folder)


def _sound() -> Check:
    try:
        return checks.sound(*decoders())
    except (ImportError, OSError) as error:
        hint = "Install it anew: pip install --force-reinstall soundfile (on Linux it may need libsndfile1)."
        return Check.problem("sound", f"the sound library cannot be loaded: {error}", hint)


def _manifest(path: Path | None, project: str | None, *, allow_outside: bool) -> tuple[Manifest | None, Check | None]:
    if path is None:
        return None, None
    try:
        manifest = load(path, project=project, allow_outside=allow_outside)
    except ManifestInvalid as error:
        hint = f"kling-batch validate {path} shows each at its line."
        message = f"{path}: {counted(len(error.problems), 'problem')}, the first: {error.problems[0].message}"
        return None, Check.problem("manifest", message, hint)
    except UsageError as error:
        return None, Check.of("manifest", error)
    words = f"{path}: {counted(len(manifest.jobs), 'job')}, {counted(len(manifest.takes), 'take')}"
    return manifest, Check(name="manifest", message=words)


def disk(folder: Path, manifest: Manifest | None, mounts: Path = MOUNTS) -> Iterator[Check]:
    """Look at the disk where the sounds go: its kind, whether it can be written, and how much room it has.

    Args:
        folder: The output folder; it need not exist.
        manifest: What is to be made, if that is known.
        mounts: The kernel's table of mounts.
    """
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    try:
        refuse_network_disk(folder, mounts)
        _try_to_write(there)
        free = shutil.disk_usage(there).free
    except DiskUnusable as error:
        yield Check.of("disk", error)
        return
    yield Check(name="disk", message=f"{folder}: {file_system(folder, mounts) or 'local'}, can be written")
    yield checks.room(free, manifest)


def _try_to_write(folder: Path, *, option: str = "--out") -> None:
    """Write a file that nobody ever sees.

    Raises:
        DiskUnusable: It cannot be written.
    """
    with disk_border(folder, option=option), tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"kling-batch")


def _store(location: str | None) -> Check:
    """Look whether the store can be reached. A run goes on without it, so that is no problem."""
    try:
        store = open_store(location or own_store(), sandbox=False)
        store.has(_NO_SOUND)
        if isinstance(store, FolderStore):
            root = Path(store.location)
            _try_to_write(next(place for place in (root, *root.parents) if place.exists()), option="--store")
    except DiskUnusable as error:
        return Check.warning("store", error.message, error.hint)
    except KlingBatchError as error:
        return Check.of("store", error)
    return Check(name="store", message=f"{store.location}: can be reached")


def _addresses(manifest: Manifest | None) -> Iterator[Check]:
    """Ask whether the files can be read that the service shall read elsewhere. No token goes there."""
    jobs: dict[tuple[str, str], list[str]] = {}
    for job in manifest.jobs if manifest else ():
        for field in sorted(kind_of(job).addresses & job.request.keys()):
            jobs.setdefault((job.request[field], field), []).append(job.id)
    if not jobs:
        return
    try:
        reasons = asyncio.run(_unreadable({url for url, _ in jobs}))
    except UsageError as error:
        yield Check.of("addresses", error)
        return
    for (url, field), ids in jobs.items():
        yield checks.readable(field, ids, reasons.get(url))


async def _unreadable(urls: Collection[str]) -> Mapping[str, str]:
    from kling_batch.delivery.download import file_client, unreadable

    async with file_client() as client:
        return await unreadable(client, urls)


def _reached(folder: Path) -> Iterator[Check]:
    """Ask the service one free question, if there are keys to ask with, and whose the folder is."""
    try:
        access = own_access()
    except UsageError as error:
        yield Check.of("access", error)
        return
    kind = "KLING_API_KEY" if access.keys.api_key else "KLING_ACCESS_KEY with KLING_SECRET_KEY"
    yield Check(name="access", message=f"{kind} set")
    yield checks.address(access.base_url)
    try:
        outcome, ahead_s = asyncio.run(_ask(access, SystemClock().time))
    except UsageError as error:
        yield Check.of("service", error)
        return
    yield checks.service(outcome, access.base_url)
    if not isinstance(outcome, ReadFailed) or ahead_s is not None:
        yield checks.clock(ahead_s)
    if not isinstance(outcome, ReadFailed | Refused):
        yield _folder(folder, access)


def _folder(folder: Path, access: Access) -> Check:
    """Look whose an output folder is. Its tasks are looked for where another key was used last."""
    try:
        snapshot = read_snapshot(folder)
        account = snapshot.account
        seen = account not in {None, access.fingerprint} and asyncio.run(_made(snapshot, access))
    except KlingBatchError as error:
        return Check.of("folder", error)
    return checks.folder(folder, account, access.fingerprint, seen=seen)


async def _made(snapshot: Snapshot, access: Access) -> bool:
    """Whether the account that is asked shows a task that was made in a folder."""
    service, http = access.service()
    async with http:
        return await made_all(reader_of(service), snapshot.attempts.values())


async def _ask(
    access: Access, now: Callable[[], float]
) -> tuple[Mapping[str, Any] | Refused | ReadFailed, float | None]:
    """Ask for the resource packs of a day; also say how far this machine's clock is ahead of the service's."""
    service, http = access.service()
    async with http:
        asked = now()
        outcome = await service.account(int(asked * 1000) - _DAY_MS, int(asked * 1000))
        answered = now()
    # The service said its time in whole seconds, somewhere between question and answer.
    ahead_s = None if service.date is None else (asked + answered) / 2 - (service.date + 0.5)
    return outcome, ahead_s


def _lines(check: Check) -> Iterator[str]:
    yield f"{check.state:<8} {check.name:<9} {check.message}"
    if check.hint:
        yield f"{'':<18} {check.hint}"


def _conclusion(found: Sequence[Check]) -> str:
    counts = {state: sum(check.state is state for check in found) for state in (State.PROBLEM, State.WARNING)}
    words = " and ".join(counted(count, state) for state, count in counts.items() if count)
    if not words:
        return "Everything is fine."
    return f"{words} found." if counts[State.PROBLEM] else f"{words} found; a run can begin."
