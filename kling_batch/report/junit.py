"""`junit.xml`, for a CI's test view: the project is a suite, a take is a test case.

`failure` is what the service refused or failed to make, or what a check rejected; `error` is what broke on the way: a
take that could not be settled, or one that is paid for and not delivered; `skipped` is what the run did not come to;
`system-out` are the warnings about a sound that is there. `file` and `line` lead to the job in its manifest; pytest and
GitLab use the same names, and where a reader knows neither, the text of a failure begins with the place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from junitparser import Attr, Error, Failure, IntAttr, JUnitXml, Skipped, TestCase, TestSuite

from kling_batch.catalog import WORDS, kind_of
from kling_batch.model import RunResult, Status, TakeResult
from kling_batch.report.facts import money, reason, repair, span_s
from kling_batch.text import printable

_Verdict = type[Failure] | type[Error] | type[Skipped]

_VERDICTS: dict[Status, _Verdict] = {Status.FAILED: Failure, Status.UNKNOWN: Error, Status.PENDING: Skipped}
_END = "</testsuite>"


class _Case(TestCase):
    file = Attr()
    line = IntAttr()


def pieces(result: RunResult) -> Iterator[str]:
    """Write the suite, a case at a time. What XML cannot hold, such as control characters, becomes `U+FFFD`."""
    head, end, tail = _frame(result).partition(_END)
    yield f"<?xml version='1.0' encoding='utf-8'?>\n{head}\n"
    for take in result.takes:
        yield _text(_case(take)) + "\n"
    yield f"{end}{tail}\n"


def _frame(result: RunResult) -> str:
    """Write the report without its cases. It holds `</testsuite>` once, since `<` in a text is escaped."""
    suite = TestSuite(printable(result.project))
    suite.timestamp = datetime.fromtimestamp(result.started_at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    suite.add_property("manifest", printable(result.manifest))
    suite.add_property("money", money(result))
    suite.add_property("api_requests", str(result.api_requests))
    if result.note:
        suite.add_property("note", printable(result.note))
    report = JUnitXml(printable(result.project))
    report.add_testsuite(suite)
    verdicts = Counter(_verdict(take) for take in result.takes)
    seconds = sum(span_s(take.submitted_at, take.finished_at) for take in result.takes)
    for counted in (suite, report):
        counted.tests = len(result.takes)
        counted.failures = verdicts[Failure]
        counted.errors = verdicts[Error]
        counted.skipped = verdicts[Skipped]
        counted.time = round(seconds, 3)
    return _text(report)


def _text(element: JUnitXml | TestCase) -> str:
    written: bytes = element.tostring()  # type: ignore[no-untyped-call]  # junitparser annotates what takes arguments
    return written.decode("utf-8")


def _verdict(result: TakeResult) -> _Verdict | None:
    if result.status is Status.FAILED and result.undelivered:
        return Error
    return _VERDICTS.get(result.status)


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
    if (verdict := _verdict(result)) is not None:
        entry = verdict(printable(reason(result)), _kind(result))
        entry.text = printable(_details(result))
        case.result = entry
    if result.warnings:
        case.system_out = printable("\n".join(result.warnings))
    return case


def _kind(result: TakeResult) -> str:
    if result.rejected:
        return "rejected"
    code = result.error and result.error.code
    return result.status if code is None else str(code)


def _details(result: TakeResult) -> str:
    source = result.take.job.source
    return "\n".join(
        [
            f"{source}: {reason(result)}",
            repair(result),
            f"{WORDS}: {kind_of(result.take.job).words_of(result.take.job)}",
            f"external_task_id: {result.external_id}",
            f"task_id: {result.task_id or 'not known'}",
        ]
    )
