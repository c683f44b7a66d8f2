"""Whatever stands in the lock, the journal or the state folder, a command ends in words: never as a bug."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import chdir, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_batch.cli import main
from kling_batch.errors import LockInvalid
from kling_batch.records.account import AccountMemory
from kling_batch.records.lock import read_lock
from tests.run.conftest import MANIFEST

LOCK = "tavern.yaml.sandbox.lock"
JOURNAL = "out/tavern.sandbox/.kling-batch/journal.sqlite3"
PIECES = [
    "", '"', "\\", "\\ud800", "\\udfff\\ud800", "\\u0000", "\\u202e", "\u202e", "\x1b[2J", "\u2028", "é", "\n", ",",
    "1e999", "-1e999", "1e-999", "NaN", "null", "true", "-1", "0.5", "9" * 40, "9" * 5000, "[]", "{}",
    "[" * 600 + "]" * 600, '{"a":' * 300 + "1" + "}" * 300, "..", "../../../account/costs", "/etc/passwd", "C:\\\\x",
    "aux.wav", "x" * 5000, "a/" * 3000, "::error::x", '\n"takes":[',
]  # fmt: skip
CELLS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(PIECES),
    st.sampled_from([None, b"\xff\xfe", b"", "\ud7ff", "NaN", "Infinity", "1E+999999", "intent", "delivered", "7"]),
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=40),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose sounds were made, all in one folder."""
    folder = tmp_path_factory.mktemp("honest")
    (folder / "tavern.yaml").write_text(MANIFEST, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "tavern.yaml", "--sandbox", "--yes", "--no-store", "--quiet"]) == 0
    return folder


@contextmanager
def _copy_of(honest: Path) -> Iterator[Path]:
    """Work in a copy of it, one sound of which is missing."""
    with TemporaryDirectory() as folder, chdir(folder):
        shutil.copytree(honest, folder, dirs_exist_ok=True)
        Path("out/tavern.sandbox/door-01.wav").unlink()
        yield Path(folder)


def _ends_in_words() -> None:
    for verb in (["plan"], ["verify"], ["status"], ["run", "--frozen", "--no-store", "--quiet"], ["report"]):
        status = main([verb[0], "tavern.yaml", "--sandbox", *verb[1:]])
        assert status in {0, 1, 2, 3, 4, 6}, verb


def _refusal(lock: Path) -> LockInvalid | None:
    try:
        read_lock(lock, project="tavern")
    except LockInvalid as error:
        return error
    return None


@given(data=st.data())
@settings(max_examples=25)
def test_any_text_in_a_lock_ends_in_words(honest: Path, data: Any) -> None:
    """It is refused at its line, in words that can be printed, or it is a lock."""
    text = (honest / LOCK).read_text(encoding="utf-8")
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        text = text[:start] + data.draw(st.sampled_from(PIECES)) + text[start + data.draw(st.integers(0, 30)) :]
    with _copy_of(honest) as project:
        (project / LOCK).write_text(text, encoding="utf-8")
        if (refusal := _refusal(project / LOCK)) is not None:
            assert refusal.message.startswith(f"{project / LOCK}:{refusal.line}: ")
            assert refusal.message.isprintable()
            assert len(refusal.message) < 1000
        _ends_in_words()


def _columns(journal: Path) -> Iterator[tuple[str, str]]:
    with closing(sqlite3.connect(journal)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master").fetchall():
            for column in connection.execute(f"PRAGMA table_info({table})").fetchall():
                yield table, column[1]


@given(data=st.data())
@settings(max_examples=40)
def test_any_cell_in_a_journal_ends_in_words(honest: Path, data: Any) -> None:
    """A column's type holds nobody to it, and a note may be anything."""
    table, column = data.draw(st.sampled_from(sorted(_columns(honest / JOURNAL))))
    with _copy_of(honest), closing(sqlite3.connect(JOURNAL)) as journal:
        with suppress(sqlite3.IntegrityError):  # the number of a run can be nothing else
            journal.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", [data.draw(CELLS)])  # noqa: S608 - names of ours
        journal.commit()
        _ends_in_words()


FACTS = [*PIECES, '{"control":', '{"price":', '{"longest_s":', '{"token":', '"at":', "}"]


@given(text=st.lists(st.sampled_from(FACTS)).map("".join))
@settings(max_examples=60)
def test_any_file_in_the_state_folder_is_known_or_not(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """What cannot be read is not known: the program takes the safe way."""
    folder = tmp_path_factory.mktemp("state")
    memory = AccountMemory(folder, "one")
    for path in ("text-to-audio.json", "journal-6f.json"):
        (folder / "accounts" / "one").mkdir(parents=True, exist_ok=True)
        (folder / "accounts" / "one" / path).write_text(text, encoding="utf-8")
    memory.knowledge("text-to-audio")
    memory.mark("tavern")
