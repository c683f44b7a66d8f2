"""`junit.xml`, for a CI's test view: the project is a suite, a take is a test case.

`failure` is what the service refused or failed to make, `error` is what could not be settled, `skipped` is what
the run did not come to. `file` and `line` lead to the job in its manifest; pytest and GitLab use the same names.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO

from junitparser import Attr, Error, Failure, IntAttr, JUnitXml, Skipped, TestCase, TestSuite

from kling_batch.model import RunResult, Status, TakeResult
from kling_batch.report.facts import reason, repair, span_s, units_text
from kling_batch.report.text import printable

_VERDICTS = {Status.FAILED: Failure, Status.UNKNOWN: Error, Status.PENDING: Skipped}


class _Case(TestCase):
    file = Attr()
    line = IntAttr()


def pieces(result: RunResult) -> Iterator[str]:
    """Write the suite. What XML cannot hold, such as control characters, is replaced by `U+FFFD`."""
    suite = TestSuite(printable(result.project))
    suite.timestamp = datetime.fromtimestamp(result.started_at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    suite.add_property("manifest", printable(result.manifest))
    suite.add_property("units", units_text(result.units))
    suite.add_property("api_requests", str(result.api_requests))
    if result.note:
        suite.add_property("note", printable(result.note))
    suite.add_testcases([_case(take) for take in result.takes])
    report = JUnitXml(printable(result.project))
    report.add_testsuite(suite)
    report.update_statistics()  # type: ignore[no-untyped-call]  # junitparser annotates only what takes arguments
    page = BytesIO()
    report.write(page)
    yield page.getvalue().decode("utf-8")


def _case(result: TakeResult) -> TestCase:
    take = result.take
    source = take.job.source
    case = _Case(
        name=str(take.key),
        classname=printable(f"{take.job.project}.{take.job.id}"),
        time=span_s(result.submitted_at, result.finished_at),
    )
    case.file = printable(source.path)
    case.line = source.line
    if verdict := _VERDICTS.get(result.status):
        entry = verdict(printable(reason(result)), _kind(result))
        entry.text = printable(_details(result))
        case.result = entry
    return case


def _kind(result: TakeResult) -> str:
    code = result.error and result.error.code
    return result.status if code is None else str(code)


def _details(result: TakeResult) -> str:
    return "\n".join(
        [
            reason(result),
            repair(result),
            f"prompt: {result.take.job.prompt}",
            f"external_task_id: {result.external_id}",
            f"task_id: {result.task_id or 'not known'}",
        ]
    )
