"""`junit.xml` against the common schema, element by element.

Nobody owns the format. The tables say what Jenkins' schema (junit-10) and Ant's agree on: which elements stand where,
in which order, with which attributes. What is allowed beyond them is what most readers know and neither names:
`file` and `line` of a case, its `system-out`, and `skipped` of the root.
"""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from kling_batch.model import RunResult, Status, TakeError, TakeResult
from kling_batch.report import junit

ANY = re.compile(r".*", re.DOTALL)
WORDS = re.compile(r".+", re.DOTALL)
COUNT = re.compile(r"\d+")
SECONDS = re.compile(r"\d+(\.\d*)?")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What an element may be: attributes that it has to have, those it may have, and its children in order."""

    required: dict[str, re.Pattern[str]]
    optional: dict[str, re.Pattern[str]]
    children: re.Pattern[str]
    text: bool = False


def verdict() -> Kind:
    return Kind(required={"type": WORDS, "message": WORDS}, optional={}, children=re.compile(""), text=True)


COUNTS = {"tests": COUNT, "failures": COUNT, "errors": COUNT}
SCHEMA = {
    "testsuites": Kind(
        required={"name": WORDS, **COUNTS},
        optional={"time": SECONDS, "skipped": COUNT},
        children=re.compile("(testsuite )*"),
    ),
    "testsuite": Kind(
        required={"name": WORDS, **COUNTS},
        optional={"skipped": COUNT, "time": SECONDS, "timestamp": TIMESTAMP},
        children=re.compile("(properties )?(testcase )*(system-out )?(system-err )?"),
    ),
    "properties": Kind(required={}, optional={}, children=re.compile("(property )*")),
    "property": Kind(required={"name": WORDS, "value": ANY}, optional={}, children=re.compile("")),
    "testcase": Kind(
        required={"name": WORDS, "classname": WORDS, "time": SECONDS},
        optional={"file": WORDS, "line": COUNT},
        children=re.compile("(skipped |error |failure )?(system-out )?"),
    ),
    "system-out": Kind(required={}, optional={}, children=re.compile(""), text=True),
    "failure": verdict(),
    "error": verdict(),
    "skipped": verdict(),
}


def breaches(element: ET.Element) -> list[str]:
    """What the schema does not allow, in the element and below it."""
    kind = SCHEMA.get(element.tag)
    if kind is None:
        return [f"<{element.tag}> is no element of the schema"]
    allowed = kind.required | kind.optional
    found = [f"<{element.tag}> lacks {name}" for name in kind.required if name not in element.attrib]
    for name, value in element.attrib.items():
        if name not in allowed or not allowed[name].fullmatch(value):
            found.append(f"<{element.tag} {name}={value!r}>")
    children = "".join(f"{child.tag} " for child in element)
    if not kind.children.fullmatch(children):
        found.append(f"<{element.tag}> holds {children}")
    if not kind.text and ((element.text or "").strip() or any((child.tail or "").strip() for child in element)):
        found.append(f"<{element.tag}> holds text")
    return found + [breach for child in element for breach in breaches(child)]


def parsed(result: RunResult) -> ET.Element:
    return ET.fromstring("".join(junit.pieces(result)).encode("utf-8"))  # noqa: S314 - we have just written it


def tally(root: ET.Element) -> dict[str, int]:
    """The counts as they are, not as the attributes say."""
    names = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
    return {name: len(root.findall(f".//{tag}")) for name, tag in names.items()}


@pytest.mark.parametrize("name", ["run", "hostile_run"])
def test_a_run_keeps_to_the_schema(name: str, request: pytest.FixtureRequest) -> None:
    """Successes, a failure, an unknown, a pending take and hostile words make a report that every CI reads."""
    root = parsed(request.getfixturevalue(name))
    assert breaches(root) == []
    assert tally(root)["tests"]


def test_a_run_of_nothing_keeps_to_the_schema(make_run: Callable[..., RunResult]) -> None:
    """A report without a case is whole, too."""
    root = parsed(make_run())
    assert breaches(root) == []
    assert tally(root) == {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}


def test_the_counts_are_those_of_the_cases(run: RunResult) -> None:
    """Root and suite say how many there are of each kind, although they are written before the first case."""
    root = parsed(run)
    said = [{name: int(element.get(name, "")) for name in tally(root)} for element in (root, root[0])]
    assert said == [tally(root)] * 2


def test_what_is_paid_for_and_not_delivered_is_an_error(
    make_run: Callable[..., RunResult], make_take: Callable[..., TakeResult]
) -> None:
    """The service made it: what broke is the way home, and the prompt needs no other words."""
    error = TakeError(code=None, message="Paid for and not delivered: the file is cut short.", hint="Run it again.")
    lost = make_take(status=Status.FAILED, origin=None, files=(), undelivered=Decimal("0.25"), error=error)
    root = parsed(make_run(lost))
    assert tally(root) == {"tests": 1, "failures": 0, "errors": 1, "skipped": 0}
    assert breaches(root) == []


def test_warnings_are_the_output_of_their_case(
    make_run: Callable[..., RunResult], make_take: Callable[..., TakeResult]
) -> None:
    """The take passed: a CI shows what there is to say about it and stays green."""
    root = parsed(make_run(make_take(warnings=("a.wav: the file is cut", "a.mp3: <1 s"))))
    assert root.findtext(".//testcase/system-out") == "a.wav: the file is cut\na.mp3: <1 s"
    assert tally(root) == {"tests": 1, "failures": 0, "errors": 0, "skipped": 0}
    assert breaches(root) == []


def test_a_failure_begins_with_the_place_of_its_job(run: RunResult) -> None:
    """A CI that knows neither `file` nor `line` shows where to look all the same."""
    (failure,) = parsed(run).iter("failure")
    assert str(failure.text).startswith("tavern.yaml:7:5: The prompt was refused")


@pytest.mark.parametrize(
    ("text", "breach"),
    [
        ('<testsuites name="p" tests="0" failures="0" errors="0"><case/></testsuites>', "<case> is no element"),
        ('<testsuites tests="0" failures="0" errors="0"/>', "lacks name"),
        ('<testcase name="a" classname="b" time="1e-5"/>', "time='1e-5'"),
        ('<testcase name="a" classname="b" time="1"><failure type="1" message="m"/><error/></testcase>', "holds"),
        ("<properties>words</properties>", "holds text"),
    ],
)  # fmt: skip
def test_a_breach_is_found(text: str, breach: str) -> None:
    """The checks above see what they are there to see."""
    assert breach in " ".join(breaches(ET.fromstring(text)))  # noqa: S314 - a constant of this test


def test_a_large_run_does_not_stand_in_memory(
    make_run: Callable[..., RunResult], make_take: Callable[..., TakeResult]
) -> None:
    """Takes are written one by one: 50 times the takes need hardly more memory."""
    take = make_take()
    peaks: list[Any] = []
    for count in (200, 10_000):
        result = replace(make_run(), takes=(take,) * count)
        tracemalloc.start()
        assert sum(len(piece) for piece in junit.pieces(result)) > 100 * count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_000_000
