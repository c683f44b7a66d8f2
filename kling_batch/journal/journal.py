"""The journal: opening, reading, and writing with group commit.

One thread owns the writes. Whatever waits when it looks is one transaction, so that the disk is asked to make things
last once for many takes, and the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import json
import queue
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TypeVar

from kling_batch.effects import Probe, no_probe
from kling_batch.errors import DiskUnusable, UsageError
from kling_batch.journal.hold import Hold
from kling_batch.journal.local_disk import refuse_network_disk
from kling_batch.journal.records import Attempt, FileState, PlacedFile, RunRow, Stage
from kling_batch.model import FileRecord, LimitPoint, Shape

FOLDER = ".kling-batch"
"""Where, under the output folder, the program keeps what is its own."""
_FILE = "journal.sqlite3"
_APPLICATION_ID = 0x6B6C6261
_STANDING = "standing"
_LARGEST_GROUP = 1000
_HERE = Path(__file__).parent

T = TypeVar("T")
_Statement = tuple[str, tuple[object, ...]]


@cache
def _queries() -> dict[str, str]:
    text = (_HERE / "queries.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@contextmanager
def _sqlite_border(path: Path) -> Iterator[None]:
    """Turn every exception of sqlite3 into ours. A journal that cannot be used stops a run before it sends."""
    try:
        yield
    except sqlite3.Error as error:
        raise DiskUnusable(
            f"The journal {path} cannot be used: {error}.",
            hint=(
                "If the disk is full or read-only, mend that. If the file is damaged, move it away: the lock and the "
                "account are looked through before anything is sent, so that nothing known there is paid for again."
            ),
        ) from error


@dataclass(slots=True)
class _Write:
    statements: tuple[_Statement, ...]
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
        self.path = self.folder / _FILE
        self._thread: threading.Thread | None = None
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        with _disk(self.folder), _sqlite_border(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            refuse_network_disk(self.folder)
            with ExitStack() as undo:
                self._hold = Hold(self.folder, now=now)
                undo.callback(self._hold.release)
                self._connection = _connect(self.path)
                undo.callback(self._connection.close)
                if service is not None:
                    self._own(service)
                undo.pop_all()
        if threaded:
            self._thread = threading.Thread(target=self._write_all, name="journal", daemon=True)
            self._thread.start()

    def _own(self, service: str) -> None:
        """Refuse a journal of another service or account; a fresh one becomes this one's."""
        known = self.get_meta("service")
        if known is None:
            self._commit([(_queries()["set_meta"], ("service", service))])
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
        with _sqlite_border(self.path):
            row = self._connection.execute(_queries()["get_meta"], (key,)).fetchone()
        return str(row[0]) if row else None

    async def set_meta(self, key: str, value: str) -> None:
        """Keep one fact about the journal itself. Durable when it returns."""
        await self._write([(_queries()["set_meta"], (key, value))])

    def start_run(self, now: float) -> int:
        """Begin a run, and number it. Before the first write of the loop."""
        with _sqlite_border(self.path):
            self._probe("journal commit")
            cursor = self._connection.execute(_queries()["start_run"], (now,))
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
        await self._write([(_queries()["end_run"], (now, exit_status, api_requests, note, history, run_id))])

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
                for statement in (_attempt_statement(attempt), *_file_statements(files))
            ]
        )

    async def set_standing(
        self, note: str, *, placed: Iterable[tuple[str, str]], beside: Iterable[FileState] = ()
    ) -> None:
        """Note how a set stands in which nothing is left to do. Durable when it returns.

        Args:
            note: What was planned from.
            placed: The files of its takes, as (external id, format): they stand as they were placed.
            beside: Other files that belong to it.
        """
        queries = _queries()
        files = [
            *((queries["stands_as_placed"], key) for key in placed),
            *((queries["stands"], tuple(state)) for state in beside),
        ]
        await self._write(
            [
                (queries["clear_standing_note"], ()),
                (queries["clear_standing"], ()),
                *files,
                (queries["note_standing"], (note, len(files))),
            ]
        )

    async def set_standing_note(self, note: str) -> None:
        """Change the note of a set whose files still stand so. Durable when it returns."""
        await self.set_meta(_STANDING, note)

    def standing_note(self) -> str | None:
        """Read the note of the last set in which nothing was left to do."""
        return self.get_meta(_STANDING)

    def forget_unfinished(self) -> None:
        """Forget the tasks of a sandbox that is gone."""
        with _sqlite_border(self.path):
            self._commit([(_queries()["forget_unfinished"], ())])

    def forget(self, external_ids: Iterable[str]) -> None:
        """Forget attempts whose sounds are gone with the sandbox that made them."""
        with _sqlite_border(self.path):
            self._commit([(_queries()["forget_attempt"], (name,)) for name in external_ids])

    def keep_shapes(self, shapes: Mapping[str, Shape]) -> None:
        """Keep what sounds look like, by their hashes. Before the first write of the loop."""
        with _sqlite_border(self.path):
            self._commit([_shape_statement(sha256, shape) for sha256, shape in shapes.items()])

    def attempts(self) -> dict[str, Attempt]:
        """Read every attempt, by its external id."""
        with _sqlite_border(self.path):
            return _read_attempts(self._connection)

    def files(self) -> dict[str, list[PlacedFile]]:
        """Read every placed file, by the external id of its attempt."""
        with _sqlite_border(self.path):
            return _read_files(self._connection)

    def close(self) -> None:
        """Write what waits, and let the next run in."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
        self._connection.close()
        self._hold.release()

    async def _write(self, statements: list[_Statement]) -> None:
        if self._thread is None:
            with _sqlite_border(self.path):
                self._commit(statements)
            return
        loop = asyncio.get_running_loop()
        write = _Write(tuple(statements), loop.create_future(), loop)
        self._queue.put(write)
        assert write.done is not None  # noqa: S101 - made two lines above
        with _sqlite_border(self.path):
            await write.done

    def _commit(self, statements: Iterable[_Statement]) -> None:
        self._probe("journal commit")
        try:
            for sql, values in statements:
                self._connection.execute(sql, values)
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise
        self._probe("journal committed")

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


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskUnusable(
            f"{folder} cannot be used: {error.strerror or error}.",
            hint="Choose a folder that can be written to with --out.",
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10, check_same_thread=False)
    try:
        version = _layout(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, version)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a layout up to the newest."""
    for number, migration in enumerate(_migrations()[version:], start=version + 1):
        connection.executescript(
            f"BEGIN; {migration.read_text(encoding='utf-8')}"
            f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;"
        )


def _migrations() -> list[Path]:
    return sorted((_HERE / "migrations").glob("*.sql"))


def _layout(connection: sqlite3.Connection, path: Path) -> int:
    """Read how far a file's layout has come; 0 is an empty file.

    Raises:
        DiskUnusable: The file is another program's, or a newer one's. It is left as it is.
    """
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and application != _APPLICATION_ID:
        raise DiskUnusable(
            f"{path} is not a journal of kling-batch.", hint="Move it away, or choose another folder with --out."
        )
    newest = len(_migrations())
    if version > newest:
        raise DiskUnusable(
            f"The journal {path} was written by a newer kling-batch (layout {version}, not {newest}).",
            hint="Upgrade kling-batch, or choose another folder with --out.",
        )
    return int(version)


def _attempt_statement(row: Attempt) -> _Statement:
    values = (
        row.external_id,
        row.job_id,
        row.take,
        row.attempt,
        row.stage.value,
        str(row.units),
        row.run_id,
        row.task_id,
        row.code,
        row.message,
        int(row.final),
        row.sent_at,
        row.created_at,
        row.ended_at,
    )
    return _queries()["save_attempt"], values


def _file_statements(files: Iterable[PlacedFile]) -> Iterator[_Statement]:
    for file in files:
        record, shape = file.record, file.shape
        values = (
            file.external_id,
            record.format,
            record.path,
            record.sha256,
            record.bytes,
            record.duration_s,
            file.mtime_ns,
        )
        yield _queries()["save_file"], values
        if shape is not None:
            yield _shape_statement(record.sha256, shape)


def _shape_statement(sha256: str, shape: Shape) -> _Statement:
    return _queries()["save_shape"], (sha256, shape.peak, shape.loudness, shape.waveform)


def _read_attempts(connection: sqlite3.Connection) -> dict[str, Attempt]:
    rows: dict[str, Attempt] = {}
    for row in connection.execute(_queries()["all_attempts"]):
        external_id, job_id, take, attempt, stage, units, run_id, task_id, code, message, final, *times = row
        rows[external_id] = Attempt(
            external_id=external_id,
            job_id=job_id,
            take=take,
            attempt=attempt,
            stage=_parsed(Stage, stage),
            units=_parsed(Decimal, units),
            run_id=run_id,
            task_id=task_id,
            code=code,
            message=message,
            final=bool(final),
            sent_at=times[0],
            created_at=times[1],
            ended_at=times[2],
        )
    return rows


def _parsed(kind: Callable[[str], T], text: object) -> T:
    try:
        return kind(str(text))
    except (ValueError, ArithmeticError) as error:
        raise sqlite3.DataError(f"it holds {text!r} where no such thing belongs") from error


def _read_files(connection: sqlite3.Connection) -> dict[str, list[PlacedFile]]:
    files: dict[str, list[PlacedFile]] = {}
    for external_id, audio_format, path, sha256, size, duration_s, mtime_ns in connection.execute(
        _queries()["all_files"]
    ):
        record = FileRecord(path=path, format=audio_format, sha256=sha256, bytes=size, duration_s=duration_s)
        files.setdefault(external_id, []).append(PlacedFile(external_id=external_id, record=record, mtime_ns=mtime_ns))
    return files


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """What a journal says at one moment, for plan, status and report; also while a run writes to it."""

    attempts: dict[str, Attempt]
    files: dict[str, list[PlacedFile]]
    last_run: RunRow | None


def _run_row(row: tuple[int, float, float | None, int | None, int, str | None, str]) -> RunRow:
    number, started_at, finished_at, exit_status, api_requests, note, history = row
    try:
        limits = tuple(LimitPoint(at=at, limit=limit, reason=reason) for at, limit, reason in json.loads(history))
    except (ValueError, TypeError) as error:
        raise sqlite3.DataError(f"it holds {history[:40]!r} where a limit's history belongs") from error
    return RunRow(
        id=number,
        started_at=started_at,
        finished_at=finished_at,
        exit_status=exit_status,
        api_requests=api_requests,
        note=note,
        limits=limits,
    )


def _brought_up(connection: sqlite3.Connection, version: int) -> sqlite3.Connection:
    """Copy a journal of an older program into memory, in the newest layout: whoever only looks changes no file."""
    copy = sqlite3.connect(":memory:")
    connection.backup(copy)
    connection.close()
    _migrate(copy, version)
    return copy


@contextmanager
def _reading(out: Path) -> Iterator[sqlite3.Connection | None]:
    """Look into a folder's journal, in the newest layout, without holding or changing it; None where there is none."""
    path = out / FOLDER / _FILE
    if not path.is_file():
        yield None
        return
    with _sqlite_border(path):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            connection.execute("BEGIN")
            version = _layout(connection, path)
            if 0 < version < len(_migrations()):
                connection = _brought_up(connection, version)
            yield connection if version else None
        finally:
            connection.close()


def read_standing(out: Path) -> tuple[str, list[FileState]] | None:
    """Read how the last set stood in which nothing was left to do, with its note; None where there was none.

    Raises:
        DiskUnusable: There is a journal, and it cannot be read.
    """
    with _reading(out) as connection:
        row = connection.execute(_queries()["get_meta"], (_STANDING,)).fetchone() if connection else None
        if connection is None or row is None:
            return None
        return str(row[0]), [FileState(*state) for state in connection.execute(_queries()["all_standing"])]


def read_snapshot(out: Path) -> Snapshot:
    """Read a journal without holding it. A folder without one gives an empty snapshot.

    Raises:
        DiskUnusable: There is one, and it cannot be read.
    """
    with _reading(out) as connection:
        if connection is None:
            return Snapshot(attempts={}, files={}, last_run=None)
        run = connection.execute(_queries()["last_run"]).fetchone()
        return Snapshot(
            attempts=_read_attempts(connection),
            files=_read_files(connection),
            last_run=_run_row(run) if run else None,
        )
