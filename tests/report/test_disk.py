"""Reports reach their names only when they are whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_batch.clock import iso
from kling_batch.errors import DiskUnusable
from kling_batch.model import RunResult
from kling_batch.report import write_reports
from kling_batch.report.disk import write_whole


def test_every_report_of_the_contract_is_written_and_nothing_else(run: RunResult, tmp_path: Path) -> None:
    """The five reports stand in the output folder, and no partial file is left."""
    write_reports(run, tmp_path)
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"report.json", "report.csv", "report.md", "report.html", "junit.xml"}


def test_the_same_run_gives_the_same_bytes(run: RunResult, tmp_path: Path) -> None:
    """A report is a function of the result alone, so that reports can be compared."""
    write_reports(run, tmp_path / "one")
    write_reports(run, tmp_path / "two")
    for path in (tmp_path / "one").glob("*.*"):
        assert path.is_dir() or path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_reporter_that_breaks_leaves_the_old_report(tmp_path: Path) -> None:
    """A report is replaced whole or not at all, and its partial file goes away."""

    def breaking() -> Iterator[str]:
        yield "half"
        raise ZeroDivisionError

    write_whole(tmp_path, "report.md", ["old"])
    with pytest.raises(ZeroDivisionError):
        write_whole(tmp_path, "report.md", breaking())
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == "old"
    assert list((tmp_path / ".kling-batch").iterdir()) == []


def test_a_disk_that_refuses_is_named_with_a_repair(run: RunResult, tmp_path: Path) -> None:
    """What cannot be written says which file, why, and what to do."""
    (tmp_path / "report.json").mkdir()
    with pytest.raises(DiskUnusable, match=r"report\.json") as caught:
        write_reports(run, tmp_path)
    assert caught.value.hint


def test_half_a_surrogate_pair_is_shown_as_its_escape(tmp_path: Path) -> None:
    """What UTF-8 cannot hold becomes visible text and stops no report."""
    write_whole(tmp_path, "report.md", ["a\udc80b"])
    assert (tmp_path / "report.md").read_bytes() == b"a\\udc80b"


def test_pages_that_say_the_same_already_are_left_alone(make_run: Any, make_take: Any, tmp_path: Path) -> None:
    """A run that changes nothing writes its times to report.json alone; a page that is gone or changed comes back."""
    first = make_run(make_take())
    known = write_reports(first, tmp_path)
    page, data = tmp_path / "report.html", tmp_path / "report.json"
    before = page.stat().st_mtime_ns
    later = replace(first, finished_at=first.finished_at + 60)
    assert write_reports(later, tmp_path, last=known) == known
    assert page.stat().st_mtime_ns == before
    assert json.loads(data.read_text())["finished_at"] == iso(later.finished_at)
    page.write_text("edited")
    assert write_reports(later, tmp_path, last=known) != known
    assert page.stat().st_size > len("edited")


def test_pages_are_written_when_a_take_stands_otherwise(make_run: Any, make_take: Any, tmp_path: Path) -> None:
    """Any field of a take, how the run ended, what it cost, what is picked, and where things are: reason enough."""
    first = make_run(make_take())
    known = write_reports(first, tmp_path)
    others = [make_run(make_take(attempts=3)), make_run(make_take(job={"tags": ("x",)}))]
    others += [replace(first, exit_status=6), replace(first, note="stopped")]
    others += [replace(first, units_this_run=Decimal(1)), replace(first, units=Decimal(9))]
    others += [replace(first, picks=(first.takes[0].take.key,)), replace(first, place=("--sandbox",))]
    for other in others:
        before = (tmp_path / "report.html").stat().st_mtime_ns
        write_reports(other, tmp_path, last=known)
        assert (tmp_path / "report.html").stat().st_mtime_ns > before
        known = write_reports(first, tmp_path)
