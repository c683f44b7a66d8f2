"""From a run's result to what people and machines read.

    facts      what every report says in the same words: totals, reasons, what to do
    text       foreign words, made safe to print
    disk       whole files only
    json_      for programs, to `schemas/report.schema.json`
    csv_       for spreadsheets
    markdown   for a pull request or a CI's summary page
    junit      for a CI's test view
    html       for ears

Each reporter is a plain function from a `RunResult` to pieces of text, so that 100,000 takes need not stand in
memory as one page. pandas, jinja2 and junitparser are imported when a report is written, not before.
"""

from __future__ import annotations

from pathlib import Path

from kling_batch.model import RunResult
from kling_batch.report.disk import write_whole
from kling_batch.report.facts import Summary, summary

__all__ = ["Summary", "summary", "write_reports"]


def write_reports(result: RunResult, out: Path) -> None:
    """Write `report.json`, `.csv`, `.md`, `.html` and `junit.xml` into `out`, each replacing the one before whole.

    Raises:
        DiskUnusable: A report cannot be written. Those before it are new, it and those after it are as before.
    """
    from kling_batch.report import csv_, html, json_, junit, markdown

    write_whole(out, "report.json", json_.pieces(result))
    write_whole(out, "report.csv", csv_.pieces(result))
    write_whole(out, "report.md", markdown.pieces(result))
    write_whole(out, "junit.xml", junit.pieces(result))
    write_whole(out, "report.html", html.pieces(result))
