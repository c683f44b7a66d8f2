"""The journal: held by one run, read, and written with group commit.

One thread owns the writes. Whatever waits when it looks is one transaction, so that the disk is asked to make things
last once for many takes, and the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from kling_batch.disk import disk_border
from kling_batch.effects import Probe, no_probe
from kling_batch.model import RunResult, Shape
from kling_batch.records.attempts import Attempt, PlacedFile, Stage
from kling_batch.records.layout import FILE, SPENDS_SINCE, connect, own_folder, queries, sqlite_border
from kling_batch.records.local_disk import refuse_network_disk
from kling_batch.records.run_lock import run_lock

_TOKEN = "token"  # noqa: S105 - the key of a note

Statement: TypeAlias = tuple[str, Mapping[str, Any]]
"""A query of `queries.sql` by its name, and its values."""
Note: TypeAlias = Callable[[str, Sequence[Mapping[str, Any]]], None]
"""Is told of a token, and of the intents that it stands for, by the names of `Attempt`'s fields."""


class Journal:
    """An open journal, held by this run alone.

    Args:
        out: The output folder.
        now: Unix seconds, for the note of who holds the folder.
        threaded: False writes on the caller's thread: for the simulation, where one thread is the rule.

    Raises:
        FolderHeld: Another run holds the folder.
        DiskUnusable: The disk or the file cannot be used, or the file is of a newer program.
    """

    def __init__(self, out: Path, *, now: float, probe: Probe = no_probe, threaded: bool = True) -> None:
        self._probe = probe
        self.folder = own_folder(out)
        self.path = self.folder / FILE
        self._note: Note | None = None
        self._writer = ThreadPoolExecutor(1, "journal") if threaded else None
        self._waiting: deque[tuple[Iterable[Statement], Future[None]]] = deque()
        with disk_border(self.folder), sqlite_border(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            refuse_network_disk(self.folder)
            with ExitStack() as undo:
                undo.enter_context(run_lock(self.folder, now=now))
                self._connection = connect(self.path)
                undo.callback(self._connection.close)
                self._open = undo.pop_all()

    def bind(self, service: str, *, disown: bool = False) -> None:
        """Have the journal belong to a service and account, named by a fingerprint.

        Where that is news, no token is known outside of this file any more: what was proven is to be proven anew.
        `disown` marks all attempts as another account's, see `Attempt`.
        """
        if self.get_meta("service") != service:
            held: list[Statement] = [("disown_attempts", {})] if disown else []
            self._write_now([*held, _meta("service", service), _meta(_TOKEN, secrets.token_hex(8))])

    def claim(self, manifest: str) -> None:
        """Remember where the manifest is, from the output folder, whose sounds that holds."""
        if self.get_meta("manifest") != manifest:
            self._write_now([_meta("manifest", manifest)])

    def get_meta(self, key: str) -> str | None:
        """Read one fact about the journal itself."""
        with sqlite_border(self.path):
            row = self._connection.execute(queries()["get_meta"], {"key": key}).fetchone()
        return str(row[0]) if row else None

    async def set_meta(self, key: str, value: str) -> None:
        """Keep one fact about the journal itself. Durable when it returns."""
        await self._write([_meta(key, value)])

    def token(self) -> str | None:
        """Name the state in which this journal last sent something; a copy from before has another."""
        return self.get_meta(_TOKEN)

    def follow(self, note: Note) -> None:
        """Have `note` told of every new token, right before the intents are committed that it stands for."""
        self._note = note

    def start_run(self, now: float, *, spends_since: float | None = None) -> int:
        """Begin a run, and number it. Before the first write of the loop.

        `spends_since` is when its spending began: now, or with a run that was stopped and that it goes on with. It
        holds until a run is over; None is a run that leaves this as it is.
        """
        with sqlite_border(self.path):
            self._probe("journal commit")
            cursor = self._connection.execute(queries()["start_run"], {"now": now})
            if spends_since is not None:
                self._connection.execute(queries()["set_meta"], {"key": SPENDS_SINCE, "value": repr(spends_since)})
            self._connection.commit()
        return int(cursor.lastrowid or 0)

    async def end_run(self, run_id: int, result: RunResult, *, is_over: bool = False) -> None:
        """End a run. Durable when it returns. Where it `is_over`, the next one does not go on with its spending."""
        values = {
            "run_id": run_id,
            "now": result.finished_at,
            "exit_status": result.exit_status,
            "api_requests": result.api_requests,
            "note": result.note,
            "limits": json.dumps([(point.at, point.limit, point.reason) for point in result.limits]),
        }
        await self._write([("end_run", values), *([_meta(SPENDS_SINCE, "")] if is_over else [])])

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
        await self._write([statement for attempt, files in rows for statement in _statements(attempt, files)])

    def forget_unfinished(self) -> None:
        """Forget the tasks of a sandbox that is gone."""
        self._write_now([("forget_unfinished", {})])

    def forget(self, external_ids: Iterable[str]) -> None:
        """Forget attempts whose sounds are gone with the sandbox that made them."""
        self._write_now([("forget_attempt", {"external_id": name}) for name in external_ids])

    def recall(self, attempts: Iterable[Attempt]) -> None:
        """Take over attempts that another journal made, which is gone. Before the first write of the loop."""
        self._write_now([statement for attempt in attempts for statement in _statements(attempt, ())])

    def keep_shapes(self, shapes: Mapping[str, Shape]) -> None:
        """Keep what sounds look like, by their hashes. Before the first write of the loop."""
        self._write_now([_shape(sha256, shape) for sha256, shape in shapes.items()])

    def close(self) -> None:
        """Write what waits, and let the next run in."""
        if self._writer is not None:
            self._writer.shutdown()
        self._open.close()

    def _write_now(self, statements: Iterable[Statement]) -> None:
        with sqlite_border(self.path):
            self._commit(statements)

    async def _write(self, statements: Iterable[Statement]) -> None:
        if self._writer is None:
            self._write_now(statements)
            return
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # what was learned is written also if nobody waits for it any more
        self._waiting.append((statements, done))
        self._writer.submit(self._write_waiting)
        with sqlite_border(self.path):
            await asyncio.wrap_future(done)

    def _write_waiting(self) -> None:
        """Write all that waits in one transaction. Runs on the writer's thread, once for each write; most find none."""
        group = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not group:
            return
        error: BaseException | None = None
        try:
            self._commit(statement for statements, _ in group for statement in statements)
        except BaseException as caught:  # noqa: BLE001 - passes to those who wait: this thread has no caller
            error = caught
        for _, done in group:
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

    def _commit(self, statements: Iterable[Statement]) -> None:
        self._probe("journal commit")
        try:
            for query, values in self._marked(statements):
                self._connection.execute(queries()[query], values)
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise
        self._probe("journal committed")

    def _marked(self, statements: Iterable[Statement]) -> list[Statement]:
        """Add a new token where something is about to be sent, and note it outside of this file first."""
        rows = list(statements)
        intents = [values for _, values in rows if values.get("stage") == Stage.INTENT]
        if self._note is None or not intents:
            return rows
        token = secrets.token_hex(8)
        self._probe("mark write")
        self._note(token, intents)
        return [*rows, _meta(_TOKEN, token)]


def _statements(attempt: Attempt, files: Iterable[PlacedFile]) -> Iterator[Statement]:
    """Keep where an attempt stands, its files, and what their sounds look like."""
    cells = asdict(attempt) | {"units": str(attempt.units)}
    yield "save_attempt", cells | {name: json.dumps(cells[name]) for name in ("recipe", "remarks")}
    for file in files:
        query = "save_finished" if file.finished else "save_file"
        yield query, asdict(file.record) | {"external_id": file.external_id, "mtime_ns": file.mtime_ns}
        if file.shape is not None:
            yield _shape(file.record.sha256, file.shape)


def _shape(sha256: str, shape: Shape) -> Statement:
    return "save_shape", asdict(shape) | {"sha256": sha256}


def _meta(key: str, value: str) -> Statement:
    return "set_meta", {"key": key, "value": value}
