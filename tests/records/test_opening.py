"""Which journal is opened, and which is refused and left as it is."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kling_batch import records
from kling_batch.errors import DiskUnusable, ExitStatus, FolderHeld
from kling_batch.records.attempts import Stage
from kling_batch.records.layout import FOLDER
from kling_batch.records.run_lock import is_held
from kling_batch.records.snapshot import read_snapshot


def test_a_second_run_is_told_who_holds_the_folder(open_journal: Any, out: Path) -> None:
    """Which process, since when, and what to do; exit status 6."""
    open_journal()
    with pytest.raises(FolderHeld, match=f"process {os.getpid()} on .*, since 2023-11-14T22:13:20.000Z") as caught:
        open_journal()
    assert str(out) in caught.value.message
    assert "--out" in str(caught.value.hint)
    assert caught.value.exit_status is ExitStatus.NOT_FINISHED


def test_the_folder_is_free_when_the_run_has_ended(open_journal: Any, out: Path) -> None:
    """And whoever asks is told so."""
    journal = open_journal()
    assert is_held(out / FOLDER)
    journal.close()
    assert not is_held(out / FOLDER)
    open_journal()


def test_a_folder_where_nothing_ran_is_not_held(tmp_path: Path) -> None:
    """Nor is one made by asking."""
    assert not is_held(tmp_path / "out" / FOLDER)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_held_even_if_its_note_is_unreadable(open_journal: Any, out: Path) -> None:
    """The lock counts, and the note only explains."""
    open_journal()
    note = out / FOLDER / "hold.txt"
    note.write_bytes(b"\xff\xfe")
    with pytest.raises(FolderHeld, match="held by another run"):
        open_journal()
    note.unlink()
    with pytest.raises(FolderHeld, match="another process"):
        open_journal()


def test_two_folders_do_not_meet(open_journal: Any, tmp_path: Path) -> None:
    """Two projects run side by side."""
    first, second = open_journal(out=tmp_path / "one"), open_journal(out=tmp_path / "two")
    assert first.folder != second.folder


@pytest.mark.parametrize("stage", sorted(Stage))
def test_a_journal_belongs_to_an_account_once_a_task_may_have_been_made(
    open_journal: Any, attempt: Any, out: Path, stage: Stage
) -> None:
    """What was withdrawn or refused made none, and what only the lock knew was made elsewhere."""
    journal = open_journal()
    journal.bind("one")
    assert read_snapshot(out).account is None
    asyncio.run(journal.save(attempt("kb-2", stage=stage, run_id=0)))
    assert read_snapshot(out).account is None
    asyncio.run(journal.save(attempt(stage=stage)))
    assert read_snapshot(out).account == (None if stage in {Stage.WITHDRAWN, Stage.REFUSED} else "one")


def test_another_key_takes_every_proof_away(open_journal: Any, out: Path) -> None:
    """The token that stands outside of the file is that of a journal that worked last under another key."""
    journal = open_journal()
    journal.bind("one")
    token = journal.token()
    journal.bind("one")
    assert journal.token() == token
    journal.bind("two")
    assert journal.token() not in {token, None}
    assert read_snapshot(out).service == "two"


def test_what_another_account_made_is_nobodys_here(open_journal: Any, attempt: Any, out: Path) -> None:
    """It stays, and vouches for no account any more."""
    journal = open_journal()
    journal.bind("one")
    asyncio.run(journal.save(attempt()))
    journal.bind("two", disown=True)
    snapshot = read_snapshot(out)
    assert (snapshot.account, snapshot.attempts) == (None, {"kb-1": attempt(run_id=0)})


@pytest.mark.parametrize("first", range(11))
def test_every_layout_is_brought_up_to_the_newest(open_journal: Any, file: Path, first: int) -> None:
    """A journal of whichever older program has the tables of a fresh one, each made by its migration in turn."""
    migrations = sorted((Path(records.__file__).parent / "migrations").glob("*.sql"))
    assert [migration.stem for migration in migrations] == [f"{number:04}" for number in range(1, 12)]
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as old:
        for migration in migrations[:first]:
            old.executescript(migration.read_text(encoding="utf-8"))
        old.executescript(f"PRAGMA application_id = {0x6B6C6261 if first else 0}; PRAGMA user_version = {first};")
    open_journal().close()
    fresh = open_journal(out=file.parents[2] / "fresh")
    fresh.close()
    assert _tables(file) == _tables(fresh.path)
    assert {"attempts", "files", "shapes"} <= {name for name, _ in _tables(file)[1]}


def _tables(file: Path) -> tuple[int, list[tuple[str, str]]]:
    with closing(sqlite3.connect(file)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        return version, connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def _foreign(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE attempts (something_else)")
    connection.close()


def _newer(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def _garbage(file: Path) -> None:
    file.write_bytes(b"this was a journal once" * 500)


def _torn(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if len(whole) > 4096 else whole[:1000])


def _scribbled(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))


def _unknown_stage(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE attempts SET stage = 'elsewhere'")
    connection.close()


def _no_number(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE attempts SET units = 'many'")
    connection.close()


DAMAGE = {
    "garbage": (_garbage, "not a database", "move it away"),
    "torn": (_torn, "malformed", "move it away"),
    "scribbled over": (_scribbled, "cannot be used", "move it away"),
    "newer": (_newer, r"newer kling-batch \(layout 99, not 11\)", "Upgrade kling-batch"),
    "an unknown stage": (_unknown_stage, "'elsewhere'", "move it away"),
    "units in words": (_no_number, "'many'", "move it away"),
}


@pytest.mark.parametrize(("damage", "why", "repair"), DAMAGE.values(), ids=DAMAGE)
def test_a_journal_that_cannot_be_read_is_refused_and_left_alone(
    open_journal: Any, attempt: Any, out: Path, file: Path, damage: Any, why: str, repair: str
) -> None:
    """Before anything is sent: what it knew may have been paid for. Plan and status are told the same."""
    journal = open_journal()
    asyncio.run(journal.save_all([(attempt(f"kb-{number}"), []) for number in range(200)]))
    journal.close()
    damage(file)
    before = file.read_bytes()
    for read in (lambda: read_snapshot(open_journal().folder.parent).attempts, lambda: read_snapshot(out)):
        with pytest.raises(DiskUnusable, match=why) as caught:
            read()
        assert str(file) in caught.value.message
        assert repair in str(caught.value.hint)
        assert file.read_bytes() == before


def test_another_programs_file_is_refused_and_left_alone(open_journal: Any, out: Path, file: Path) -> None:
    """Even one that has a table of the same name."""
    file.parent.mkdir(parents=True)
    _foreign(file)
    before = file.read_bytes()
    for read in (open_journal, lambda: read_snapshot(out)):
        with pytest.raises(DiskUnusable, match="not a journal of kling-batch") as caught:
            read()
        assert "Move it away" in str(caught.value.hint)
    assert file.read_bytes() == before


def test_a_hold_that_is_garbage_is_said(open_journal: Any, out: Path) -> None:
    """A folder that cannot be held is not worked in, and asking does not stumble."""
    folder = out / FOLDER
    folder.mkdir(parents=True)
    (folder / "hold").write_bytes(b"garbage" * 200)
    assert not is_held(folder)
    with pytest.raises(DiskUnusable, match="hold"):
        open_journal()


def test_a_file_that_was_never_filled_is_a_fresh_journal(open_journal: Any, out: Path, file: Path) -> None:
    """A crash in the first instant leaves an empty file behind, with nothing to lose in it."""
    file.parent.mkdir(parents=True)
    file.touch()
    assert read_snapshot(out).attempts == {}
    assert read_snapshot(open_journal().folder.parent).attempts == {}


@pytest.mark.parametrize("in_the_way", ["out", "out/tavern", f"out/tavern/{FOLDER}"])
def test_a_file_where_a_folder_belongs_is_said(open_journal: Any, tmp_path: Path, in_the_way: str) -> None:
    """As is any other folder that cannot be written to."""
    path = tmp_path / in_the_way
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way", encoding="utf-8")
    with pytest.raises(DiskUnusable, match="a file stands where a folder is needed") as caught:
        open_journal()
    assert "Move that file away (or choose another folder with --out)" in str(caught.value.hint)
    assert path.read_text(encoding="utf-8") == "in the way"


def test_a_folder_where_the_file_belongs_is_said(open_journal: Any, file: Path) -> None:
    """SQLite cannot open it."""
    file.mkdir(parents=True)
    with pytest.raises(DiskUnusable, match="unable to open"):
        open_journal()
