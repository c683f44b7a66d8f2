"""`report.csv`, read back by another reader than the one that wrote it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kling_batch.model import RunResult, TakeResult
from kling_batch.report import write_reports
from kling_batch.report.csv_ import COLUMNS, defused

Rows = Callable[[RunResult], list[dict[str, str]]]


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Write the reports of a run and read the table back."""

    def read(result: RunResult) -> list[dict[str, str]]:
        write_reports(result, tmp_path)
        with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, strict=True))

    return read


def test_a_row_holds_all_of_a_take(rows: Rows, run: RunResult) -> None:
    """Every fact of a take that succeeded is in its row, ids with all their digits."""
    row = rows(run)[1]
    assert tuple(row) == COLUMNS
    assert row.pop("external_task_id") == run.takes[1].external_id
    assert row.pop("sha256") == run.takes[1].files[0].sha256
    assert ",".join(row.values()) == (
        "door-creak,1,succeeded,generated,Old oak door creaks open slowly,5.0,838475928374659072,1,0.25,"
        'door-creak-01.wav,foley,{"scene": "entrance"},,,,2026-01-31T08:15:02.120Z,2026-01-31T08:15:14.620Z,,,,,,,,'
    )


def test_what_is_not_known_is_an_empty_cell(rows: Rows, run: RunResult) -> None:
    """No `None`, no `nan`: a cell without a fact is empty."""
    row = rows(run)[0]
    assert {row[name] for name in ("origin", "task_id", "files", "error_code", "submitted_at")} == {""}


def test_warnings_are_in_their_row(
    rows: Rows, make_run: Callable[..., RunResult], make_take: Callable[..., TakeResult]
) -> None:
    """All of them in one cell."""
    assert rows(make_run(make_take(warnings=("a.wav: cut", "a.mp3: long"))))[0]["warnings"] == "a.wav: cut;a.mp3: long"


def test_an_error_code_stays_a_whole_number(rows: Rows, run: RunResult) -> None:
    """1301 among empty cells does not become 1301.0."""
    assert rows(run)[4]["error_code"] == "1301"


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\tplain",
        "\rplain",
        "\nplain",
        "  =1+1",
        "\u00a0=1",
        "\ufeff=1",
        "\u200b=1",
        "＝1+1",  # noqa: RUF001 - full-width signs are the case
        "＋1",  # noqa: RUF001 - the same
        "－1",  # noqa: RUF001 - the same
        "＠SUM(A1)",  # noqa: RUF001 - the same
        "=cmd|' /C calc'!A0",
    ],
)
def test_a_formula_is_defused(rows: Rows, make_run: Callable[..., RunResult], make_take: Any, text: str) -> None:
    """A cell that a spreadsheet would run is text with an apostrophe in front, and otherwise as it was."""
    run = make_run(make_take(job={"request": {"prompt": text, "duration": 5.0}}))
    assert rows(run)[0]["prompt"] == f"'{text}"


def test_a_formula_behind_a_semicolon_is_defused(
    rows: Rows, make_run: Callable[..., RunResult], make_take: Callable[..., TakeResult]
) -> None:
    """A spreadsheet that splits at `;` finds no formula behind it."""
    assert rows(make_run(make_take(job={"tags": ("foley", "=1+1", "-x")})))[0]["tags"] == "foley;'=1+1;'-x"


@pytest.mark.parametrize("text", ["", "door", "5.0", "a=b", "rain, -3 dB", "x; y", '{"a": 1}'])
def test_harmless_text_is_left_alone(text: str) -> None:
    """Nothing is changed that no spreadsheet would run."""
    assert defused(text) == text


@pytest.mark.parametrize("text", ["a\rb", "a\nb", "a\r\nb", 'a"b', "a,b", "NA", "007"])
def test_a_text_comes_back_from_its_cell(rows: Rows, make_run: Any, make_take: Any, text: str) -> None:
    """Line ends, quotes and commas in a cell end no row, and nothing is taken for a number or for missing."""
    run = make_run(make_take(job={"request": {"prompt": text, "duration": 5.0}}), make_take("bell"))
    assert [row["prompt"] for row in rows(run)] == [text, "Old oak door creaks open slowly"]


def test_many_takes_have_one_header(rows: Rows, make_run: Any, make_take: Any) -> None:
    """The table is written in portions, and shows no seam."""
    found = rows(make_run(*(make_take(number=number) for number in range(1, 5003))))
    assert [int(row["take"]) for row in found] == list(range(1, 5003))


def test_a_run_without_takes_is_a_header(rows: Rows, make_run: Any, tmp_path: Path) -> None:
    """An empty table still names its columns."""
    assert rows(make_run()) == []
    header = (tmp_path / "report.csv").read_text(encoding="utf-8")
    assert json.loads(f"[{header}]") == list(COLUMNS)
