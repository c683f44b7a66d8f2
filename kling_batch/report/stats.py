"""Figures over the takes of many runs: how many, what they cost, how long and how loud they are."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from kling_batch.errors import UsageError
from kling_batch.model import RunResult, Shape, Status
from kling_batch.report.csv_ import defused
from kling_batch.report.facts import shape_of
from kling_batch.text import printable

if TYPE_CHECKING:
    from pandas import DataFrame

BY = ("project", "month", "job", "tag")
"""What takes are put together by. `month` is when a take was finished; a take with two tags counts for each."""

_COLUMNS = ["project", "job_id", "take", "status", "tags", "units", "seconds", "finished_at", "remarks", "rejected"]


def loudness_of(result: RunResult, shapes: Mapping[str, Shape]) -> list[float | None]:
    """Look up how loud the sound of each take is, in LUFS; None where that is not known."""
    known = (shape_of(take.files, shapes) for take in result.takes)
    return [None if shape is None else shape.loudness for shape in known]


def stats(results: Sequence[tuple[RunResult, Sequence[float | None]]], by: Sequence[str]) -> DataFrame:
    """Put the takes of runs together by some of `BY`, and sum them up.

    Args:
        results: Each run, with the loudness of each of its takes.
        by: What a row is for; its columns come first.

    Returns:
        Takes, succeeded, failed, those of them that checks rejected, all that checks found, units, seconds of sound,
        and the median of the loudness in LUFS.
    """
    import pandas as pd

    frames = [
        result.frame()[_COLUMNS].astype({"seconds": float}).assign(loudness=pd.Series(loudness, dtype=float))
        for result, loudness in results
    ]
    takes = pd.concat(frames, ignore_index=True).rename(columns={"job_id": "job"})
    takes = takes.assign(
        month=takes["finished_at"].dt.strftime("%Y-%m"),
        succeeded=takes["status"].eq(Status.SUCCEEDED.value),
        failed=takes["status"].eq(Status.FAILED.value),
        remarks=takes["remarks"].map(len),
    )
    if "tag" in by:
        takes = takes.assign(tag=takes["tags"]).explode("tag")
    takes[list(by)] = takes[list(by)].fillna("-")
    rows = takes.groupby(list(by), as_index=False).agg(
        takes=("take", "size"),
        succeeded=("succeeded", "sum"),
        failed=("failed", "sum"),
        rejected=("rejected", "sum"),
        remarks=("remarks", "sum"),
        units=("units", "sum"),
        seconds=("seconds", "sum"),
        loudness=("loudness", "median"),
    )
    return rows.round({"units": 4, "seconds": 3, "loudness": 1})


def table(rows: DataFrame) -> bytes:
    """Write rows for people."""
    rows = _with_words(rows, printable)
    return (rows.to_string(index=False, na_rep="-") + "\n").encode()


def csv(rows: DataFrame) -> bytes:
    """Write rows for a spreadsheet, cells that it would run as a formula defused."""
    return _with_words(rows, defused).to_csv(index=False).encode("utf-8", "backslashreplace")


def parquet(rows: DataFrame) -> bytes:
    """Write rows for programs.

    Raises:
        UsageError: Neither of the libraries that pandas writes Parquet with is installed.
    """
    file = io.BytesIO()
    try:
        rows.to_parquet(file, index=False)
    except ImportError:
        raise UsageError("Parquet needs pyarrow, which is not installed.", hint="pip install pyarrow") from None
    return file.getvalue()


def _with_words(rows: DataFrame, made_safe: Callable[[str], str]) -> DataFrame:
    return rows.assign(**{name: rows[name].map(made_safe) for name in BY if name in rows})


WRITERS = {"table": table, "csv": csv, "parquet": parquet}
