"""What this machine knows of an account: best effort, and never believed further than it can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_batch.records.account import AccountMemory, Control, Knowledge, Mark, state_folder

KIND = "text-to-audio"
KNOWN = Knowledge(control=Control(external_id="kb-1", task_id="9"), price=Decimal("0.50"), longest_s=12.5)
MARK = Mark(token="ab12", at=1_790_000_000.5)
IMPOSSIBLE: dict[str, list[Any]] = {
    "price": [0.25, "-1", "NaN", "Infinity", "many", True, []],
    "longest_s": [-1, "12", True, 1e12, float("nan"), float("inf")],
    "control": ["kb-1", {}, {"external_id": "kb-1"}, {"external_id": "kb-1", "task_id": ""}],
}
Remember = Callable[..., AccountMemory]


@pytest.fixture
def memory(tmp_path: Path) -> Remember:
    """Open the memory of an account in a state folder, which need not exist."""
    return lambda account="one", folder=tmp_path / "state": AccountMemory(folder, account)


def written(memory: AccountMemory, folder: Path) -> dict[str, Path]:
    """Learn something, and name the two files that hold it."""
    memory.learn(KIND, KNOWN)
    memory.set_mark("tavern", MARK)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) == 2
    return {"mark": files[0], "knowledge": files[1]}


def test_what_was_learned_is_known_to_the_next_run(memory: Remember) -> None:
    """Exact in its units."""
    memory().learn(KIND, KNOWN)
    memory().set_mark("tavern", MARK)
    assert memory().knowledge(KIND) == KNOWN
    assert memory().mark("tavern") == MARK


def test_what_was_not_seen_is_not_known(memory: Remember) -> None:
    """Before anything was learned, and where a part of it was not."""
    assert (memory().knowledge(KIND), memory().mark("tavern")) == (Knowledge(), None)
    memory().learn(KIND, Knowledge(price=Decimal(0)))
    assert memory().knowledge(KIND) == Knowledge(price=Decimal(0))


def test_accounts_kinds_and_projects_are_kept_apart(memory: Remember) -> None:
    """A project may have any name."""
    memory().learn(KIND, KNOWN)
    memory().set_mark("../tavern", MARK)
    assert memory("two").knowledge(KIND) == Knowledge()
    assert memory().knowledge("text-to-speech") == Knowledge()
    assert (memory().mark("tavern"), memory().mark("../tavern")) == (None, MARK)


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"null", b"7", b"\xff\xfe", b"[" * 100_000, b"{}", b'{"token": 7, "at": "x", "control": []}'],
)
def test_a_damaged_file_says_nothing(memory: Remember, tmp_path: Path, damage: bytes) -> None:
    """And is mended by what is learned next."""
    for file in written(memory(), tmp_path).values():
        file.write_bytes(damage)
    assert (memory().knowledge(KIND), memory().mark("tavern")) == (Knowledge(), None)
    memory().learn(KIND, KNOWN)
    assert memory().knowledge(KIND) == KNOWN


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in IMPOSSIBLE for value in IMPOSSIBLE[name]])
def test_a_figure_that_cannot_be_is_not_known(memory: Remember, tmp_path: Path, name: str, value: Any) -> None:
    """The others are, all the same."""
    file = written(memory(), tmp_path)["knowledge"]
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), name: value}), encoding="utf-8")
    known = memory().knowledge(KIND)
    assert getattr(known, name) is None
    assert [known.control, known.price, known.longest_s].count(None) == 1


def test_without_a_state_folder_nothing_is_remembered(memory: Remember, tmp_path: Path) -> None:
    """And nothing is written anywhere."""
    nowhere = memory(folder=None)
    nowhere.learn(KIND, KNOWN)
    nowhere.set_mark("tavern", MARK)
    assert (nowhere.knowledge(KIND), nowhere.mark("tavern")) == (Knowledge(), None)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_no_error(memory: Remember, tmp_path: Path) -> None:
    """The run goes the slower, safe way."""
    (tmp_path / "state").write_text("a file where the folder should be", encoding="utf-8")
    memory().learn(KIND, KNOWN)
    memory().set_mark("tavern", MARK)
    assert (memory().knowledge(KIND), memory().mark("tavern")) == (Knowledge(), None)


def test_writers_at_once_leave_one_whole_file(memory: Remember, tmp_path: Path) -> None:
    """Whoever reads meanwhile sees what one of them wrote, and no half remains."""
    prices = [Decimal(number) for number in range(1, 41)]

    def learn(price: Decimal) -> Decimal | None:
        memory().learn(KIND, Knowledge(price=price))
        return memory().knowledge(KIND).price

    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(learn, prices))
    assert set(seen) <= set(prices)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [f"{KIND}.json"]


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"XDG_STATE_HOME": "/state", "LOCALAPPDATA": "/local", "HOME": "/home/a"}, "/state/kling-batch"),
        ({"LOCALAPPDATA": "/local", "HOME": "/home/a"}, "/local/kling-batch"),
        ({"HOME": "/home/a"}, "/home/a/.local/state/kling-batch"),
        ({"XDG_STATE_HOME": "", "HOME": "/home/a"}, "/home/a/.local/state/kling-batch"),
        ({"XDG_STATE_HOME": "state"}, None),
        ({}, None),
    ],
)
def test_the_state_folder_follows_from_the_environment(variables: dict[str, str], folder: str | None) -> None:
    """A place that depends on where the program is started is none."""
    assert state_folder(variables) == (None if folder is None else Path(folder))
