"""What `import kling_batch` gives: every name, with its type."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kling_batch

CHECKOUT = Path(__file__).resolve().parent.parent.parent
USER = """
from decimal import Decimal

from kling_batch import Access, Options, Outcome, load, plan, run, run_sync
from kling_batch.errors import BudgetStop
from kling_batch.events import Event, TakeEnded


def show(event: Event) -> None:
    if isinstance(event, TakeEnded):
        print(event.take.job_id, event.units + Decimal(1))


def sync(key: str) -> int:
    access = Access.of({"KLING_API_KEY": key})
    try:
        outcome = run_sync(load("tavern.yaml"), Options(max_units=Decimal("2.50")), access=access, observe=show)
    except BudgetStop as stop:
        return len(stop.message)
    return outcome.result.exit_status


async def awaited() -> Outcome:
    project = load("tavern.yaml", sandbox=True)
    return await run(project, Options(consented=plan(project, select="door-*").units < 2))
"""


MISTAKES = """from kling_batch import Options, load, run_sync
from kling_batch import lode
run_sync(load('a'), Options(consnet=True))
run_sync(load('a'), Options(max_units=2.5))
x: str = run_sync(load('a'))
"""


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy, as strict as it can be, says of somebody's files, away from this checkout: where errors are."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "user.py").write_text(USER, encoding="utf-8")
    (folder / "mistakes.py").write_text(MISTAKES, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--cache-dir=cache",
        "user.py",
        "mistakes.py",
    ]
    checked = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return re.findall(r"^(.+:\d+): error", checked.stdout, flags=re.MULTILINE)


def test_every_name_is_there() -> None:
    """What the package says it has can be had, and is what stands at its home."""
    for name in kling_batch.__all__:
        assert getattr(kling_batch, name).__name__.removesuffix("_sync") == name.removesuffix("_sync")
    assert set(kling_batch.__all__) <= set(dir(kling_batch))


def test_a_name_that_is_not_there_is_an_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="'lode'"):
        getattr(kling_batch, "lode")  # noqa: B009 - a type checker finds it otherwise


def test_a_users_file_type_checks(complaints: list[str]) -> None:
    """Strictly, without stubs or settings of ours."""
    assert [place for place in complaints if not place.startswith("mistakes.py")] == []


def test_a_users_mistakes_are_found(complaints: list[str]) -> None:
    """The types are real ones, and none is Any: every line but the first has a mistake, and each is told."""
    assert [place for place in complaints if place.startswith("mistakes.py")] == [
        f"mistakes.py:{line}" for line in range(2, 6)
    ]


def test_the_example_runs(tmp_path: Path) -> None:
    """`examples/python_api.py` makes sounds with the sandbox and says where they are."""
    for name in ("python_api.py", "birds.yaml", "birds.csv"):
        shutil.copy2(CHECKOUT / "examples" / name, tmp_path)
    rows = (tmp_path / "birds.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "birds.csv").write_text("".join(rows[:3]), encoding="utf-8")
    command = [sys.executable, "python_api.py", "birds.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ".wav: " in done.stdout
