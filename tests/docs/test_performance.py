"""The page on performance shows what was measured."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.page import RATIOS, chart, page, read


def test_the_page_and_its_chart_are_those_of_the_table(checkout: Path) -> None:
    """What stands on the page was measured: page and chart are made from the table, and by nobody's hand."""
    docs = checkout / "docs"
    rows = read(docs / "performance.csv")
    assert (docs / "performance.md").read_text("utf-8") == page(rows)
    assert (docs / "performance.svg").read_text("utf-8") == chart(rows)


def test_the_page_is_short(checkout: Path) -> None:
    """Three sentences, one chart, and a table of eleven ratios."""
    words, chart_and_table = (checkout / "docs" / "performance.md").read_text("utf-8").split("![", maxsplit=1)
    assert len(re.findall(r"\.(?=\s)", words)) == 3
    assert "![" not in chart_and_table
    assert len(re.findall(r"^\| .* \| [\d.]+ \|$", chart_and_table, flags=re.MULTILINE)) == 11


def test_every_ratio_was_measured(checkout: Path) -> None:
    """Eleven ratios, none of them a name that no row has."""
    rows = read(checkout / "docs" / "performance.csv")
    assert len(RATIOS) == 11
    assert [ratio.words for ratio in RATIOS if ratio.of(rows) is None] == []


def test_what_was_not_measured_is_no_figure() -> None:
    """Without a measurement the page says so, and the chart has no line."""
    assert page([]).count("not measured") == len(RATIOS)
    drawn = ET.fromstring(chart([]))  # noqa: S314 - our own
    assert not [line for line in drawn.iter() if line.tag.endswith("polyline") and line.get("points")]
