"""Fault files: what they may say, and how they are refused."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_batch.cli.commands.sandbox import read_faults
from kling_batch.errors import UsageError
from kling_batch.resources import schema
from kling_batch.sandbox.faults import EFFECTS, Call, Scenario
from kling_batch.sandbox.scenario import scenario_of
from kling_batch.sandbox.settings import Behaviour, Span, WorldSettings

DOCS = Path(__file__).parents[2] / "docs" / "faults.md"

FULL = """\
version: 1
seed: 7
concurrency: 20
generation_s: {median: 4, sigma: 0.3}
queue_s: [0, 1]
behaviour:
  duplicate_id: accept
  visible_after_s: {query: 2, list: [0, 5]}
  audios_after_s: 3
  files_after_s: {median: 2, sigma: 0.5}
  units: 0.3
rules:
  - on: [create, list]
    when: {nth: [2], every: 3, from_nth: 1, probability: 0.5, between_s: [1, null], match: rain}
    limit: 4
    do: {lost-after: reset}
  - do: cut
"""


def read(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "faults.yaml"
    path.write_text(text, encoding="utf-8")
    return read_faults(path)


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert caught.value.hint is not None
    assert "docs/faults.md" in caught.value.hint
    return caught.value.message.replace(f"{tmp_path}/", "")


def test_a_full_file_is_read(tmp_path: Path) -> None:
    """Everything that a file may say arrives."""
    scenario = read(tmp_path, FULL)
    assert (scenario.settings["seed"], scenario.settings["concurrency"]) == (7, 20)
    spans = scenario.settings["generation"], scenario.settings["queue"]
    assert spans == (Span.log_normal(4, 0.3), Span(low=0, high=1))
    behaviour = scenario.over(WorldSettings()).behaviour
    assert (behaviour.duplicate_id, behaviour.units) == ("accept", Decimal("0.3"))
    assert (behaviour.query_visible_after, behaviour.list_visible_after) == (Span.fixed(2), Span(low=0, high=5))
    assert (behaviour.audios_after, behaviour.files_after) == (Span.fixed(3), Span.log_normal(2, 0.5))
    assert scenario.rules is not None
    assert [rule.effect.name for rule in scenario.rules] == ["lost-after", "cut"]


def test_on_is_a_word_and_no_truth(tmp_path: Path) -> None:
    """YAML 1.1 reads `on` as true; here it is the name of a field."""
    scenario = read(tmp_path, "rules: [{on: query, do: lost-before}]")
    assert scenario.rules is not None
    assert scenario.rules[0].on == {Call.QUERY}


def test_without_on_an_effect_strikes_all_that_it_can(tmp_path: Path) -> None:
    """`any`, and no `on` at all, mean every kind of call that the effect is about."""
    rules = read(tmp_path, "rules: [{do: cut}, {on: any, do: {refuse: 1302}}, {do: lost-before}]").rules
    assert rules is not None
    assert [len(rule.on) for rule in rules] == [1, 5, 6]


def test_json_is_read_as_well(tmp_path: Path) -> None:
    """JSON is YAML; an empty file changes nothing."""
    assert read(tmp_path, '{"seed": 3}\n') == Scenario(settings={"seed": 3})
    assert read(tmp_path, "{}") == read(tmp_path, "") == read(tmp_path, "# seed: 3\n") == Scenario()


BAD = [
    ("behavior: {}", "faults.yaml:1: behavior: there is no such field", "did you mean behaviour?"),
    ("seed: x", "faults.yaml:1: seed:", "integer"),
    ("\nbehaviour:\n  duplicate_id: acept", "faults.yaml:3: behaviour.duplicate_id:", "did you mean accept?"),
    ("behaviour: {units: .nan}", "faults.yaml:1: behaviour.units:", "number"),
    ("rules:\n  - do: lost-befor", "faults.yaml:2: rules[0].do:", "did you mean lost-before?"),
    ("rules:\n  - do: delay_s", "faults.yaml:2: rules[0].do:", "delay_s needs a value"),
    ("rules:\n  - {on: create}", "faults.yaml:2: rules[0]:", "do is missing"),
    ("rules:\n  - do: {cut: 1, slow: 2}", "faults.yaml:2: rules[0].do:", "one effect with its value"),
    ("rules:\n  - do: {refuse: 1234}", "faults.yaml:2: rules[0].do.refuse:", "1303"),
    ("rules:\n  - do: {task-stuck: long}", "faults.yaml:2: rules[0].do.task-stuck:", "forever"),
    ("rules:\n  - on: creat\n    do: cut", "faults.yaml:2: rules[0].on:", "did you mean create?"),
    ("rules:\n  - on: query\n    do: cut", "faults.yaml:2: rules[0].on:", "cut cannot strike query calls"),
    ("rules:\n  - do: cut\n    when: {nth: [0]}", "faults.yaml:3: rules[0].when.nth[0]:", "minimum of 1"),
    ("rules:\n  - do: cut\n    when: {between_s: [3]}", "faults.yaml:3: rules[0].when.between_s:", "minItems is 2"),
    ("rules:\n  - do: cut\n    when: {between_s: [3, 2]}", "faults.yaml:3: rules[0].when.between_s:", "before it"),
    ("rules:\n  - do: cut\n    when: {probability: 2}", "faults.yaml:3: rules[0].when.probability:", "maximum of 1"),
    ("rules:\n  - do: price", "faults.yaml:2: rules[0].do:", "price needs a value"),
    ("rules:\n  - do: {task-forgotten: [3, 2]}", "faults.yaml:2: rules[0].do.task-forgotten:", "before it begins"),
    ("rules:\n  - do: {task-forgotten: x}", "faults.yaml:2: rules[0].do.task-forgotten:", "a pair [from, to]"),
    ("rules:\n  - do: {gateway: {code: 1305}}", "faults.yaml:2: rules[0].do.gateway:", "status is missing"),
    ("rules:\n  - do: {gateway: {status: 42}}", "faults.yaml:2: rules[0].do.gateway.status:", "429"),
    ("rules:\n  - {on: download, do: {gateway: {status: 403}}}", "faults.yaml:2: rules[0].on:", "cannot strike"),
    ("queue_s: soon", "faults.yaml:1: queue_s:", "a pair [least, most]"),
    ("- 1", "faults.yaml:1: ", "object"),
    ("a: [", "faults.yaml:1:5: this is no YAML", ""),
    ("a: 1\na: !!python/object/apply:os.system [x]", "faults.yaml:2:4: the tag", "is not allowed"),
    ("[" * 5000, "faults.yaml:1:", "nest"),
]


@pytest.mark.parametrize(("text", "start", "words"), BAD)
def test_a_bad_file_is_refused_at_its_line(tmp_path: Path, text: str, start: str, words: str) -> None:
    """The message names the file, the line, the field, and what is allowed."""
    message = refusal(tmp_path, text)
    assert message.startswith(start)
    assert words in message


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """One line for each."""
    assert len(refusal(tmp_path, "seed: x\nrules: [{do: cutt}, {do: slow}]").splitlines()) == 3


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file and one that is no text."""
    with pytest.raises(UsageError, match=r"missing\.yaml: there is no such file"):
        read_faults(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"binary\.yaml:1:1: .* save the file as UTF-8"):
        read_faults(tmp_path / "binary.yaml")


def test_json_from_a_call_is_refused_by_place(tmp_path: Path) -> None:
    """Without a file, the place in the document is named."""
    del tmp_path
    with pytest.raises(UsageError, match=r"rules\[0\]\.do"):
        scenario_of({"rules": [{"do": "nothing"}]})


def test_schema_and_program_know_the_same_effects() -> None:
    """Every effect is in the schema, and a bare name is allowed where there is a default."""
    definitions: Any = schema("faults")["definitions"]
    bare = definitions["rule"]["properties"]["do"]["anyOf"][0]["enum"]
    assert set(definitions["effect"]["properties"]) == set(EFFECTS)
    assert set(bare) == {name for name, kind in EFFECTS.items() if kind.default is not None}


def test_every_default_is_a_legal_value() -> None:
    """A bare effect means what its value could have said."""
    for name, kind in EFFECTS.items():
        if kind.default is not None:
            named = scenario_of({"rules": [{"do": {name: kind.default}}]})
            assert named == scenario_of({"rules": [{"do": name}]})


def test_schema_and_program_know_the_same_behaviours() -> None:
    """Every switch is in the schema, times with their unit; the two kinds of lateness share one field."""
    fields = {field.name + "_s" * (field.type == "Span") for field in dataclasses.fields(Behaviour)}
    late = {"query_visible_after_s", "list_visible_after_s"}
    assert set(schema("faults")["properties"]["behaviour"]["properties"]) == fields - late | {"visible_after_s"}


def test_the_documentation_explains_every_name() -> None:
    """Each effect, behaviour, condition and field stands in docs/faults.md."""
    form: Any = schema("faults")
    names = {*form["properties"], *form["properties"]["behaviour"]["properties"], *EFFECTS, *Call}
    names |= {*form["definitions"]["rule"]["properties"], *form["definitions"]["when"]["properties"]}
    text = DOCS.read_text(encoding="utf-8")
    assert sorted(name for name in names if f"`{name}`" not in text) == []


def test_the_documentations_examples_are_legal(tmp_path: Path) -> None:
    """Every YAML block of docs/faults.md is a fault file."""
    blocks = DOCS.read_text(encoding="utf-8").split("```yaml\n")[1:]
    assert len(blocks) >= 3
    for block in blocks:
        assert read(tmp_path, block.partition("```")[0]) != Scenario()
