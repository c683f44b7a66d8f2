"""Figures over the takes of many runs, and the table of one run."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from kling_batch.errors import UsageError
from kling_batch.model import RunResult, Shape
from kling_batch.report import stats as module
from kling_batch.report.stats import loudness_of, stats

JULY = 1_782_900_000.0


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def test_a_frame_has_a_row_a_take(run: RunResult) -> None:
    """With everything that the report has: figures as numbers, times as times, nothing known as missing."""
    frame = run.frame()
    assert list(frame["status"]) == [take.status.value for take in run.takes]
    row = frame.iloc[1]
    assert (row["job_id"], row["take"], row["prompt"]) == ("door-creak", 1, "Old oak door creaks open slowly")
    assert (row["units"], row["seconds"], row["task_id"]) == (0.25, 5.0416, "838475928374659072")
    assert str(row["finished_at"].round("ms")) == "2026-01-31 08:15:14.620000+00:00"
    assert frame["finished_at"].isna().sum() == 2
    assert frame["error_code"].iloc[4] == 1301


def test_takes_are_summed_up_by_project(run: RunResult, make_run: Any, make_take: Any) -> None:
    """Over as many runs as there are, each project in its row."""
    other = make_run(make_take("rain", units=Decimal("0.50")), project="forest")
    found = rows_of(stats([(run, [None, -20.0, -10.0, None, None]), (other, [None])], ["project"]))
    assert [row["project"] for row in found] == ["forest", "tavern"]
    assert {**found[1], "seconds": round(found[1]["seconds"], 2)} == {
        "project": "tavern",
        "takes": 5,
        "succeeded": 2,
        "failed": 1,
        "rejected": 0,
        "remarks": 0,
        "units": 0.75,
        "seconds": 10.08,
        "loudness": -15.0,
    }
    assert found[0]["units"] == 0.5


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        (["tag"], [("-", 1), ("foley", 2), ("wood", 1)]),
        (["job"], [("bell", 1), ("door", 2)]),
        (["month"], [("-", 1), ("2026-01", 1), ("2026-07", 1)]),
        (["job", "month"], [("bell", "-", 1), ("door", "2026-01", 1), ("door", "2026-07", 1)]),
    ],
)
def test_takes_are_put_together_by_what_is_asked_for(
    by: list[str], rows: list[tuple[Any, ...]], make_run: Any, make_take: Any, pending: Any
) -> None:
    """A take with two tags counts for each; what has no tag, or is not finished, has a row of its own."""
    tags = {"tags": ("foley", "wood")}
    bell = replace(pending, take=replace(pending.take, job=replace(pending.take.job, tags=())))
    run = make_run(make_take("door", 1, job=tags), make_take("door", 2, finished_at=JULY), bell)
    found = stats([(run, [None] * 3)], by)
    assert [(*(row[name] for name in by), row["takes"]) for row in rows_of(found)] == rows


def test_loudness_is_that_of_the_first_file_that_is_known(make_run: Any, make_take: Any) -> None:
    """By the hash of the sound, as the page to listen has it."""
    run = make_run(make_take(number=1), make_take(number=2))
    shape = Shape(peak=0.5, loudness=-23.4, waveform=b"")
    known = {run.takes[1].files[0].sha256: shape}
    assert loudness_of(run, known) == [None, -23.4]


def test_a_table_for_people_has_a_line_a_row(run: RunResult) -> None:
    """What is not known is a dash."""
    told = module.table(stats([(run, [None] * 5)], ["project"])).decode().splitlines()
    assert told[0].split() == [
        "project",
        "takes",
        "succeeded",
        "failed",
        "rejected",
        "remarks",
        "units",
        "seconds",
        "loudness",
    ]
    assert told[1].split() == ["tavern", "5", "2", "1", "0", "0", "0.75", "10.083", "-"]


def test_a_spreadsheet_runs_nothing(make_run: Any, make_take: Any) -> None:
    """A tag that is a formula is defused."""
    run = make_run(make_take(job={"tags": ("=1+1",)}))
    written = module.csv(stats([(run, [None])], ["tag"])).decode()
    assert next(csv.DictReader(io.StringIO(written)))["tag"] == "'=1+1"


def test_a_terminal_runs_nothing(make_run: Any, make_take: Any) -> None:
    """A tag with an escape code is shown without it."""
    run = make_run(make_take(job={"tags": ("a\x1b[2Jb",)}))
    assert "a\ufffd[2Jb" in module.table(stats([(run, [None])], ["tag"])).decode()


def test_parquet_comes_back(run: RunResult) -> None:
    """By the library that pandas writes it with; this is skipped where that is not installed."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install pyarrow")
    rows = stats([(run, [None] * 5)], ["project"])
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(module.parquet(rows))), rows)


def test_parquet_says_what_it_needs(run: RunResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither library is installed, in words and with what to install."""
    rows = stats([(run, [None] * 5)], ["project"])
    for name in ("pyarrow", "fastparquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError) as error:
        module.parquet(rows)
    assert error.value.hint == "pip install pyarrow"
