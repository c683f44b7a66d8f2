"""`junit.xml`, parsed back by the library that CI tools use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestSuite

from kling_batch.model import RunResult, Source, Status, TakeResult
from kling_batch.report import write_reports

Suite = Callable[[RunResult], TestSuite]
Root = Callable[[RunResult], ET.Element]


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Write the reports of a run and parse its only suite."""

    def parse(result: RunResult) -> TestSuite:
        write_reports(result, tmp_path)
        (only,) = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
        return only

    return parse


@pytest.fixture
def root(tmp_path: Path) -> Callable[[RunResult], ET.Element]:
    """Write the reports of a run and parse them with a plain XML parser."""

    def parse(result: RunResult) -> ET.Element:
        write_reports(result, tmp_path)
        return ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 - a file that we have just written

    return parse


def test_each_status_has_its_verdict(suite: Suite, run: RunResult) -> None:
    """Refused is a failure, not settled an error, not come to is skipped, the rest passed."""
    verdicts = {case.name: [type(entry) for entry in case.result] for case in suite(run)}
    assert verdicts == {
        "bell:1": [Skipped],
        "door-creak:1": [],
        "door-creak:2": [],
        "storm:1": [Error],
        "gunfight:1": [Failure],
    }


def test_the_suite_counts_what_is_in_it(suite: Suite, run: RunResult) -> None:
    """A CI shows the counts without reading the cases."""
    found = suite(run)
    assert (found.name, found.tests, found.failures, found.errors, found.skipped) == ("tavern", 5, 1, 1, 1)
    assert found.timestamp == "2026-01-31T08:15:00"


def test_the_root_counts_too(root: Root, run: RunResult) -> None:
    """Some CIs read the root alone."""
    found = root(run)
    assert {name: found.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
    }


def test_a_case_leads_to_its_job_in_the_manifest(root: Root, run: RunResult) -> None:
    """File and line of the job stand on its takes."""
    case = root(run).findall(".//testcase")[1]
    assert case.attrib == {
        "name": "door-creak:1",
        "classname": "tavern.door-creak",
        "time": "12.5",
        "file": "tavern.yaml",
        "line": "7",
    }


def test_a_failure_says_why_and_what_to_do(suite: Suite, run: RunResult) -> None:
    """The reason, the code, the repair and the prompt can be read in the CI, without the logs."""
    (failure,) = next(case for case in suite(run) if case.name == "gunfight:1").result
    assert failure.type == "1301"
    assert failure.message == "The prompt was refused by content policy (code 1301)"
    assert "Change the prompt." in failure.text
    assert "prompt: Old oak door creaks open slowly" in failure.text


def test_the_note_is_kept(root: Root, run: RunResult) -> None:
    """Why a run stopped early is a property of its suite."""
    note = root(run).find(".//property[@name='note']")
    assert note is not None
    assert note.get("value") == "The deadline of 30 s passed."


def test_what_xml_cannot_hold_is_replaced(suite: Suite, make_run: Any, make_take: Callable[..., TakeResult]) -> None:
    """Control characters and half surrogate pairs stop no parser."""
    job = {"source": Source(path="a\x00\x1b\ufffe\udc80b", line=1)}
    run = make_run(make_take(job=job, status=Status.UNKNOWN), note="\x00", project="p\x08")
    found = suite(run)
    assert found.name == "p\ufffd"
    assert 'file="a\ufffd\ufffd\ufffd\ufffdb"' in repr(next(iter(found)))


def test_hostile_words_come_back_as_text(suite: Suite, hostile_run: RunResult, hostile: tuple[str, ...]) -> None:
    """Markup in a prompt is text, and adds no element."""
    cases = list(suite(hostile_run))
    texts = [case.result[0].text for case in cases if case.result]
    assert len(cases) == 2 * len(hostile)
    assert f"prompt: {hostile[0]}" in texts[0]
