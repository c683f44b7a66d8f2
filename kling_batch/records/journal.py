"""The journal: held by one run, read, and written with group commit.

One thread owns the writes. Whatever waits when it looks is one transaction, so that the disk is asked to make things
last once for many takes, and the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import json
import queue
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from kling_batch.effects import Probe, no_probe
from kling_batch.errors import UsageError
from kling_batch.model import LimitPoint, Shape
from kling_batch.records.attempts import Attempt, PlacedFile, Stage
from kling_batch.records.hold import Hold
from kling_batch.records.layout import FILE, FOLDER, connect, folder_border, queries, sqlite_border
from kling_batch.records.local_disk import refuse_network_disk
from kling_batch.records.rows import (
    Statement,
    attempt_statement,
    file_statements,
    read_attempts,
    read_files,
    shape_statement,
)

_LARGEST_GROUP = 1000
_TOKEN = "token"  # noqa: S105 - the key of a note


@dataclass(slots=True)
class _Write:
    statements: tuple[Statement, ...]
    done: asyncio.Future[None] | None
    loop: asyncio.AbstractEventLoop | None = field(default=None)


class Journal:
    """An open journal, held by this run alone.

    Args:
        out: The output folder.
        now: Unix seconds, for the note of who holds the folder.
        service: A fingerprint of service and account; None skips the check: for a run that asks no service.
        threaded: False writes on the caller's thread: for the simulation, where one thread is the rule.

    Raises:
        FolderHeld: Another run holds the folder.
        DiskUnusable: The disk or the file cannot be used, or the file is of a newer program.
        UsageError: The journal belongs to another service or account.
    """

    def __init__(
        self, out: Path, *, now: float, service: str | None, probe: Probe = no_probe, threaded: bool = True
    ) -> None:
        self._probe = probe
        self.folder = out / FOLDER
        self.path = self.folder / FILE
        self._thread: threading.Thread | None = None
        self._note: Callable[[str], None] | None = None
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        with folder_border(self.folder), sqlite_border(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            refuse_network_disk(self.folder)
            with ExitStack() as undo:
                self._hold = Hold(self.folder, now=now)
                undo.callback(self._hold.release)
                self._connection = connect(self.path)
                undo.callback(self._connection.close)
                if service is not None:
                    self.bind(service)
                undo.pop_all()
        if threaded:
            self._thread = threading.Thread(target=self._write_all, name="journal", daemon=True)
            self._thread.start()

    def bind(self, service: str) -> None:
        """Take a fresh journal for a service and account, named by a fingerprint.

        Raises:
            UsageError: It belongs to another.
        """
        known = self.get_meta("service")
        if known is None:
            with sqlite_border(self.path):
                self._commit([(queries()["set_meta"], ("service", service))])
        elif known != service:
            raise UsageError(
                f"The journal {self.path} belongs to another service or account than these keys and KLING_BASE_URL.",
                hint=(
                    "Use the keys and the address it was begun with, or begin in another folder with --out. "
                    "Tasks of one account cannot be seen from another: there they would be paid for again."
                ),
            )

    def get_meta(self, key: str) -> str | None:
        """Read one fact about the journal itself."""
        with sqlite_border(self.path):
            row = self._connection.execute(queries()["get_meta"], (key,)).fetchone()
        return str(row[0]) if row else None

    async def set_meta(self, key: str, value: str) -> None:
        """Keep one fact about the journal itself. Durable when it returns."""
        await self._write([(queries()["set_meta"], (key, value))])

    def token(self) -> str | None:
        """Name the state in which this journal last sent something; a copy from before has another."""
        return self.get_meta(_TOKEN)

    def follow(self, note: Callable[[str], None]) -> None:
        """Have `note` told of every new token, right before the intents are committed that it stands for."""
        self._note = note

    def start_run(self, now: float) -> int:
        """Begin a run, and number it. Before the first write of the loop."""
        with sqlite_border(self.path):
            self._probe("journal commit")
            cursor = self._connection.execute(queries()["start_run"], (now,))
            self._connection.commit()
        return int(cursor.lastrowid or 0)

    async def end_run(
        self,
        run_id: int,
        *,
        now: float,
        exit_status: int,
        api_requests: int,
        note: str | None,
        limits: Iterable[LimitPoint] = (),
    ) -> None:
        """End a run. Durable when it returns."""
        history = json.dumps([(point.at, point.limit, point.reason) for point in limits])
        await self._write([(queries()["end_run"], (now, exit_status, api_requests, note, history, run_id))])

    async def save(self, attempt: Attempt, files: Iterable[PlacedFile] = ()) -> None:
        """Keep where an attempt stands, and its files. Durable when it returns.

        Raises:
            DiskUnusable: It could not be written.
        """
        await self.save_all([(attempt, files)])

    async def save_all(self, rows: Iterable[tuple[Attempt, Iterable[PlacedFile]]]) -> None:
        """Keep many in one transaction, as `save` does one.

        Raises:
            DiskUnusable: They could not be written.
        """
        await self._write(
            [
                statement
                for attempt, files in rows
                for statement in (attempt_statement(attempt), *file_statements(files))
            ]
        )

    def forget_unfinished(self) -> None:
        """Forget the tasks of a sandbox that is gone."""
        with sqlite_border(self.path):
            self._commit([(queries()["forget_unfinished"], ())])

    def forget(self, external_ids: Iterable[str]) -> None:
        """Forget attempts whose sounds are gone with the sandbox that made them."""
        with sqlite_border(self.path):
            self._commit([(queries()["forget_attempt"], (name,)) for name in external_ids])

    def keep_shapes(self, shapes: Mapping[str, Shape]) -> None:
        """Keep what sounds look like, by their hashes. Before the first write of the loop."""
        with sqlite_border(self.path):
            self._commit([shape_statement(sha256, shape) for sha256, shape in shapes.items()])

    def attempts(self) -> dict[str, Attempt]:
        """Read every attempt, by its external id."""
        with sqlite_border(self.path):
            return read_attempts(self._connection)

    def files(self) -> dict[str, list[PlacedFile]]:
        """Read every placed file, by the external id of its attempt."""
        with sqlite_border(self.path):
            return read_files(self._connection)

    def close(self) -> None:
        """Write what waits, and let the next run in."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
        self._connection.close()
        self._hold.release()

    async def _write(self, statements: list[Statement]) -> None:
        if self._thread is None:
            with sqlite_border(self.path):
                self._commit(statements)
            return
        loop = asyncio.get_running_loop()
        write = _Write(tuple(statements), loop.create_future(), loop)
        self._queue.put(write)
        assert write.done is not None  # noqa: S101 - made two lines above
        with sqlite_border(self.path):
            await write.done

    def _commit(self, statements: Iterable[Statement]) -> None:
        self._probe("journal commit")
        try:
            for sql, values in self._marked(statements):
                self._connection.execute(sql, values)
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise
        self._probe("journal committed")

    def _marked(self, statements: Iterable[Statement]) -> list[Statement]:
        """Add a new token where something is about to be sent, and note it outside of this file first."""
        rows = list(statements)
        intends = any(sql == queries()["save_attempt"] and Stage.INTENT in values for sql, values in rows)
        if self._note is None or not intends:
            return rows
        token = secrets.token_hex(8)
        self._probe("mark write")
        self._note(token)
        return [*rows, (queries()["set_meta"], (_TOKEN, token))]

    def _write_all(self) -> None:
        """Write what waits, group by group, until the journal is closed. Runs on the writer's thread."""
        open_ = True
        while open_:
            group: list[_Write] = []
            item = self._queue.get()
            while item is not None:
                group.append(item)
                if len(group) == _LARGEST_GROUP or self._queue.empty():
                    break
                item = self._queue.get()
            open_ = item is not None
            if group:
                try:
                    self._write_group(group)
                except BaseException as stop:  # noqa: BLE001 - passes to those who wait: this thread has no caller
                    _tell(group, stop)

    def _write_group(self, group: list[_Write]) -> None:
        error: sqlite3.Error | None = None
        try:
            self._commit(statement for write in group for statement in write.statements)
        except sqlite3.Error as caught:
            error = caught
        _tell(group, error)


def _tell(group: list[_Write], error: BaseException | None) -> None:
    loop = group[0].loop
    if loop is not None:
        with suppress(RuntimeError):  # the loop is closed, perhaps this instant: nobody waits any more
            loop.call_soon_threadsafe(_settle, group, error)


def _settle(group: list[_Write], error: BaseException | None) -> None:
    for write in group:
        if write.done is None or write.done.done():
            continue
        if error is None:
            write.done.set_result(None)
        else:
            write.done.set_exception(error)
