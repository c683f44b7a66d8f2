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


def check(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Have mypy look at somebody's file, as strictly as it can, away from this checkout."""
    (folder / "user.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=cache", "user.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_name_is_there() -> None:
    """What the package says it has can be had, and is what stands at its home."""
    for name in kling_batch.__all__:
        assert getattr(kling_batch, name).__name__.removesuffix("_sync") == name.removesuffix("_sync")
    assert set(kling_batch.__all__) <= set(dir(kling_batch))


def test_a_name_that_is_not_there_is_an_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="'lode'"):
        getattr(kling_batch, "lode")  # noqa: B009 - a type checker finds it otherwise


def test_a_users_file_type_checks(tmp_path: Path) -> None:
    """Strictly, without stubs or settings of ours."""
    checked = check(USER, tmp_path)
    assert checked.returncode == 0, checked.stdout


def test_a_users_mistakes_are_found(tmp_path: Path) -> None:
    """The types are real ones, and none is Any: every line but the first has a mistake, and each is told."""
    lines = [
        "from kling_batch import Options, load, run_sync",
        "from kling_batch import lode",
        "run_sync(load('a'), Options(consnet=True))",
        "run_sync(load('a'), Options(max_units=2.5))",
        "x: str = run_sync(load('a'))",
    ]
    checked = check("\n".join(lines), tmp_path)
    assert re.findall(r"^user\.py:(\d+): error", checked.stdout, flags=re.MULTILINE) == ["2", "3", "4", "5"]


def test_the_example_runs(tmp_path: Path) -> None:
    """`examples/python_api.py` makes sounds with the sandbox and says where they are."""
    for name in ("python_api.py", "birds.yaml", "birds.csv"):
        shutil.copy2(CHECKOUT / "examples" / name, tmp_path)
    command = [sys.executable, "python_api.py", "birds.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ".wav: " in done.stdout
