"""The schema that editors read is what the program enforces."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kling_batch import resources
from kling_batch.catalog.manifest import manifest_schema_text
from kling_batch.errors import ManifestInvalid
from kling_batch.manifest import check, load
from kling_batch.resources import schema

DURATIONS = [Decimal(tenths) / 10 for tenths in range(30, 101)]
NO_DURATIONS = ["3.05", "3.14", "2.9", "10.1", "0", "-3.0", "5.000000000000001"]
GOOD: dict[str, Any] = {
    "version": 1,
    "project": "p",
    "defaults": {
        "duration": 5.0,
        "formats": ["wav", "mp3"],
        "takes": 2,
        "edition": 1,
        "tags": ["t"],
        "meta": {"a": "b"},
        "finish": {"trim": {"below": -50}, "channels": 1, "formats": ["ogg"]},
    },
    "limits": {"concurrency": "auto"},
    "jobs": [
        {"id": "a", "prompt": "x", "duration": 3, "takes": 1, "edition": 2, "formats": ["mp3"], "file": "{id}"},
        {
            "id": "b",
            "prompt": "x",
            "picked": "x/{id}",
            "check": {"quiet": {"below": -45, "then": "warn"}, "dc_offset": "warn"},
        },
        {"id": "s-{n}", "prompt": "on {n}", "matrix": {"n": ["u", "v"]}, "tags": ["{n}"], "meta": {"m": "{n}"}},
    ],
}
VALUES: list[Any] = [
    None, True, 0, -1, 1, 7, 3.5, 3.05, 1001, "", "x", "auto", "mp3",
    [], [1], ["wav", "wav"], ["x y"], {}, {"n": ["q"]}, {"z": 1},
]  # fmt: skip


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in steps:
        yield from _places(child, (*path, step))


def _changed(path: tuple[str | int, ...], value: Any) -> Any:
    changed = copy.deepcopy(GOOD)
    target: Any = changed
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return changed


def _mutations() -> list[Any]:
    """Put every second of the values in each place, the others in the next one, and misspell each name."""
    places = [path for path in _places(GOOD) if path]
    changed = [_changed(path, value) for turn, path in enumerate(places) for value in VALUES[turn % 2 :: 2]]
    return changed + [_changed((*path[:-1], f"{path[-1]}x"), 1) for path in places if isinstance(path[-1], str)]


def test_the_program_accepts_and_refuses_as_the_schema_does(as_json: Callable[[Any], Path]) -> None:
    """Of hundreds of changes to a manifest, each is refused by both or, but for what no schema can say, by none."""
    validator = _plain_validator()
    mutations = _mutations()
    verdicts = {(validator.is_valid(each), _program_says(as_json(each), each)) for each in mutations}
    assert verdicts == {(True, True), (False, False)}
    assert len(mutations) > 400


def _plain_validator() -> Any:
    """Make what an editor has: the schema itself, with exact decimals."""

    def multiple(_: Any, step: float, value: object, __: Any) -> Iterator[jsonschema.ValidationError]:
        if isinstance(value, int | float) and not isinstance(value, bool) and Decimal(str(value)) % Decimal(str(step)):
            yield jsonschema.ValidationError("no multiple")

    base = jsonschema.Draft7Validator
    return jsonschema.validators.extend(base, {"multipleOf": multiple})(schema("manifest"))  # type: ignore[no-untyped-call]


def _program_says(path: Path, value: Any) -> bool:
    """Load; what only the program can know (one id twice, an unknown name in a template) counts as accepted."""
    beyond = re.compile("already used|stands for nothing|the same id|the same path|which take 1 of `a` has")
    try:
        load(path)
    except ManifestInvalid as error:
        return bool(value) and all(beyond.search(problem.message) for problem in error.problems)
    return True


@pytest.mark.parametrize("fast", [True, False])
def test_with_and_without_the_fast_validator_the_words_are_the_same(
    as_json: Callable[[Any], Path], monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    """`jsonschema_rs` only saves time: what is wrong is found and worded by jsonschema alone."""
    if not fast:
        monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    assert (check.Checker("job")._is_fine.__qualname__ == "Checker._is_valid") is not fast
    path = as_json({**GOOD, "jobs": [*GOOD["jobs"], {"id": "z", "prompt": "", "duration": 3.14}]})
    with pytest.raises(ManifestInvalid) as caught:
        load(path)
    assert [problem.message.partition(";")[0] for problem in caught.value.problems] == [
        '`prompt` is ""',
        "`duration` is 3.14",
    ]


@pytest.mark.parametrize("name", ["m.yaml", "m.json", "m.csv"])
@pytest.mark.parametrize("fast", [True, False])
def test_all_71_durations_pass_and_no_other(
    write: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch, name: str, fast: bool
) -> None:
    """3.0 to 10.0 with one decimal, exactly: no binary fraction is in the way of 3.3 or lets 3.05 through."""
    if not fast:
        monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    values = [*map(str, DURATIONS), *NO_DURATIONS]
    with pytest.raises(ManifestInvalid) as caught:
        load(write(name, _with_durations(name, values)))
    assert len(caught.value.problems) == len(NO_DURATIONS)
    good = load(write(name, _with_durations(name, values[:71])))
    assert [job.request["duration"] for job in good.jobs] == [float(value) for value in DURATIONS]


def _with_durations(name: str, values: list[str]) -> str:
    if name.endswith("csv"):
        return "id,prompt,duration\n" + "".join(f"a{n},x,{value}\n" for n, value in enumerate(values))
    jobs = ",\n".join(f'{{"id": "a{n}", "prompt": "x", "duration": {value}}}' for n, value in enumerate(values))
    return f'{{"version": 1, "project": "p", "jobs": [{jobs}]}}'


def test_the_file_that_editors_read_is_the_schema_of_the_program() -> None:
    """It is made of what all kinds share and of each kind's file; `kling-batch schema manifest` writes it anew."""
    assert resources.schema_text("manifest") == manifest_schema_text()


def test_the_limits_of_prompt_and_duration_are_the_service_s() -> None:
    """The manifest's schema, which editors read alone, says what the task's schema says."""
    task = schema("tasks/text-to-audio")["properties"]
    fields = schema("manifest")["definitions"]["text-to-audio"]["job"]["properties"]
    prompt, duration = fields["prompt"], fields["duration"]
    assert prompt["maxLength"] == task["prompt"]["maxLength"]
    limits = ("minimum", "maximum", "multipleOf")
    assert [duration[limit] for limit in limits] == [task["duration"][limit] for limit in limits]


def test_an_editor_can_explain_every_field() -> None:
    """Every field of the schema has a title and a description; what may be left out, a default or an example."""
    definitions = schema("manifest")["definitions"]
    named = {
        **schema("manifest")["properties"],
        **definitions["text-to-audio"]["job"]["properties"],
        **definitions["text-to-audio"]["from"]["properties"],
    }
    for name, field in named.items():
        resolved = definitions[name] if "$ref" in field else field
        assert {"title", "description"} <= resolved.keys(), name
        assert {"default", "examples", "items", "properties"} & resolved.keys(), name


@pytest.mark.parametrize("name", ["manifest", "tasks/text-to-audio"])
def test_the_schemas_are_draft_7(name: str) -> None:
    """What editors read must be a schema."""
    jsonschema.Draft7Validator.check_schema(schema(name))


def test_a_message_stays_in_its_line(as_json: Callable[[Any], Path], problems: Callable[[Path], list[str]]) -> None:
    """What a manifest holds can neither break a line of the output nor move a terminal's cursor."""
    hostile = {"id": "a\nb:1:1: fine", "prompt": "\x1b[2J", "\r\u202e": 1, "meta": {"{\n}": "x"}, "file": "{\n}"}
    found = problems(as_json({**GOOD, "jobs": [hostile]}))
    assert len(found) == 5
    assert all(message.isprintable() for message in found)


def test_a_long_list_is_refused_quickly(as_json: Callable[[Any], Path], problems: Callable[[Path], list[str]]) -> None:
    """Entries that cannot be sorted are not compared each with each: 200 million comparisons take a minute."""
    found = problems(as_json({**GOOD, "jobs": [{"id": "a", "prompt": "x", "tags": [{"n": n} for n in range(20_000)]}]}))
    assert found[0].endswith("characters in one line")
