"""`report.json`, to its schema."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft7Validator

from kling_batch.model import RunResult, TakeResult
from kling_batch.resources import schema

Write = Callable[[RunResult], Any]


@pytest.fixture
def validator() -> Draft7Validator:
    """The schema as shipped."""
    Draft7Validator.check_schema(schema("report"))
    return Draft7Validator(schema("report"))


def test_a_take_has_exactly_the_fields_of_the_contract(write_json: Write, run: RunResult) -> None:
    """Names, order, types and forms are what other programs were promised."""
    take = write_json(run)["takes"][1]
    files, external_id = take.pop("files"), take.pop("external_task_id")
    assert external_id == run.takes[1].external_id
    assert [(file["path"], file["format"], file["bytes"], file["duration"]) for file in files] == [
        ("door-creak-01.wav", "wav", 123_456, 5.042)
    ]
    assert list(take.items()) == [
        ("job_id", "door-creak"),
        ("take", 1),
        ("status", "succeeded"),
        ("origin", "generated"),
        ("prompt", "Old oak door creaks open slowly"),
        ("duration", 5.0),
        ("task_id", "838475928374659072"),
        ("voice_id", None),
        ("attempts", 1),
        ("units", "0.25"),
        ("sources", []),
        ("loudness", None),
        ("true_peak", None),
        ("source_loudness", None),
        ("source_true_peak", None),
        ("remarks", []),
        ("tags", ["foley"]),
        ("meta", {"scene": "entrance"}),
        ("warnings", []),
        ("error", None),
        ("submitted_at", "2026-01-31T08:15:02.120Z"),
        ("finished_at", "2026-01-31T08:15:14.620Z"),
    ]


def test_the_head_has_exactly_the_fields_of_the_contract(write_json: Write, run: RunResult) -> None:
    """The totals come before the takes."""
    report = write_json(run)
    assert list(report) == [
        "schema_version", "project", "manifest", "sandbox", "started_at", "finished_at", "exit_status",
        "summary", "limits", "takes",
    ]  # fmt: skip
    assert report["schema_version"] == 1
    assert report["started_at"] == "2026-01-31T08:15:00.000Z"


def test_what_is_not_known_is_null(write_json: Write, run: RunResult) -> None:
    """A take that was never sent has no task, no times, no origin and no error, and says so with null."""
    take = write_json(run)["takes"][0]
    unknown = ("origin", "task_id", "error", "submitted_at", "finished_at")
    assert {name: take[name] for name in unknown} == dict.fromkeys(unknown)


def test_an_error_has_code_message_and_hint(write_json: Write, run: RunResult) -> None:
    """The three parts of an error stay apart, so that programs decide on the code."""
    error = {"code": 1301, "message": "The prompt was refused by content policy", "hint": "Change the prompt."}
    assert write_json(run)["takes"][4]["error"] == error


def test_warnings_stand_with_their_take(
    write_json: Write,
    validator: Draft7Validator,
    make_run: Callable[..., RunResult],
    make_take: Callable[..., TakeResult],
) -> None:
    """A sound may be there and still be worth listening to."""
    report = write_json(make_run(make_take(warnings=("a.wav: it lasts 4.20 s",))))
    assert report["takes"][0]["warnings"] == ["a.wav: it lasts 4.20 s"]
    assert validator.is_valid(report)


def test_every_report_is_to_the_schema(
    write_json: Write, validator: Draft7Validator, run: RunResult, hostile_run: RunResult, make_run: Callable[..., Any]
) -> None:
    """The schema is what the program writes: for a full run, a hostile one and an empty one."""
    for result in (run, hostile_run, make_run()):
        assert list(validator.iter_errors(write_json(result))) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("started_at",), "yesterday"),
        (("exit_status",), 7),
        (("extra",), 1),
        (("summary", "units"), 0.75),
        (("summary", "units"), "0.7"),
        (("summary", "failed"), -1),
        (("takes", 1, "status"), "succeed"),
        (("takes", 1, "origin"), "made"),
        (("takes", 1, "origin"), None),
        (("takes", 1, "files"), []),
        (("takes", 1, "task_id"), 838475928374659072),
        (("takes", 1, "take"), 0),
        (("takes", 1, "meta"), {"scene": 1}),
        (("takes", 1, "files", 0, "sha256"), "00"),
        (("takes", 1, "files", 0, "path"), "/etc/passwd"),
        (("takes", 1, "files", 0, "bytes"), 0),
        (("takes", 1, "warnings"), None),
        (("takes", 4, "error"), {"code": 1301, "message": "no hint"}),
        (("takes", 4, "error", "code"), "1301"),
    ],
)
def test_the_schema_refuses_what_the_contract_does_not_say(
    write_json: Write, validator: Draft7Validator, run: RunResult, path: tuple[Any, ...], value: Any
) -> None:
    """Every rule of the schema can fail."""
    report = write_json(run)
    place = report
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not validator.is_valid(report)


def test_no_field_may_be_missing(write_json: Write, validator: Draft7Validator, run: RunResult) -> None:
    """A reader never has to ask whether a field is there."""
    report = write_json(run)
    for name in report["takes"][4]:
        lacking = copy.deepcopy(report)
        del lacking["takes"][4][name]
        assert not validator.is_valid(lacking), name


def test_every_field_of_the_schema_is_described() -> None:
    """An editor can explain each field."""
    report = schema("report")
    for owner in (report, *report["definitions"].values()):
        for name, field in owner.get("properties", {}).items():
            assert field.get("description") or "$ref" in field, name


def test_words_come_back_as_they_were(write_json: Write, hostile_run: RunResult, hostile: tuple[str, ...]) -> None:
    """JSON is for programs: nothing in it is cleaned or cut."""
    prompts = {take["prompt"] for take in write_json(hostile_run)["takes"]}
    assert prompts == set(hostile)


def test_half_a_surrogate_pair_survives(
    write_json: Write, make_run: Callable[..., RunResult], make_take: Callable[..., TakeResult]
) -> None:
    """What UTF-8 cannot hold is escaped, so that the report can always be written and read."""
    run = make_run(make_take(job={"meta": {"odd": "a\udc80b"}}))
    assert write_json(run)["takes"][0]["meta"] == {"odd": "a\udc80b"}
