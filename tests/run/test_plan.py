"""What a plan says: wanted minus present, each take with its reason, money and time."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from kling_batch.cli import main
from kling_batch.planning.outlook import Outlook, outlook
from kling_batch.planning.plan import Action
from kling_batch.planning.spending import Budget
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.records.lock import Lock
from kling_batch.records.snapshot import Snapshot
from kling_batch.resources import schema
from kling_batch.sandbox.settings import Behaviour

SETS = 100


@pytest.fixture
def planned(tavern: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Plan as JSON, to the schema, with the takes by name."""

    def plan(*options: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["plan", str(tavern.manifest), "--format", "json", *options]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        jsonschema.Draft7Validator(schema("plan")).validate(found)
        found["by"] = {f"{take['job_id']}:{take['take']}": take for take in found["takes"]}
        return found

    return plan


@pytest.fixture
def said(tavern: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Plan as text, without the width of its columns."""

    def plan(*options: str) -> list[str]:
        capsys.readouterr()
        assert main(["plan", str(tavern.manifest), *options]) == 0
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    return plan


def test_one_changed_prompt_of_many_is_one_call(tavern: Any, serve: Any, planned: Any) -> None:
    """The plan names the take and the field, the run makes one POST, and no other file is touched."""
    server = serve(concurrency=50, seconds=0.01)
    jobs = "".join(f"  - {{id: s{number}, prompt: Sound {number}, duration: 3}}\n" for number in range(SETS))
    tavern.manifest.write_text(f"version: 1\nproject: tavern\njobs:\n{jobs}")
    assert tavern.run() == 0
    tavern.manifest.write_text(f"version: 1\nproject: tavern\njobs:\n{jobs}".replace("Sound 77,", "Sound of rain,"))
    stats = {name: (tavern.out / name).stat() for name in tavern.sounds() if name != "s77-01.wav"}
    plan = planned()
    assert (plan["summary"]["generate"], plan["summary"]["keep"], plan["summary"]["units"]) == (1, SETS - 1, "0.25")
    assert plan["by"]["s77:1"]["reason"] == 'changed: prompt: "Sound 77" -> "Sound of rain"'
    posts = sum(server.world.ledger.posts.values())
    assert tavern.run() == 0
    assert sum(server.world.ledger.posts.values()) == posts + 1
    assert len(stats) == SETS - 1
    for name, before in stats.items():
        after = (tavern.out / name).stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_every_reason_is_named(tavern: Any, serve: Any, planned: Any) -> None:
    """A changed field with old and new value, a missing, a modified and a renamed file, a format newly asked for."""
    serve()
    tavern.run()
    (tavern.out / "door-01.wav").unlink()
    (tavern.out / "door-02.wav").write_bytes(b"edited")
    text = tavern.manifest.read_text().replace("takes: 2\n", "takes: 2\n    duration: 4.5\n    edition: 3\n")
    tavern.manifest.write_text(text.replace("takes: 3\n", "takes: 3\n    file: doors/{take}\n", 1))
    by = planned()["by"]
    assert by["step-oak:1"]["reason"] == "changed: duration: 3.0 -> 4.5; edition: 1 -> 3"
    assert "doors/3.wav: file was door-03.wav" in by["door:3"]["reason"]
    assert by["door:3"]["reason"].endswith("(from another place on the disk)")
    tavern.manifest.write_text(tavern.manifest.read_text().replace("    file: doors/{take}\n", ""))
    by = planned()["by"]
    assert by["door:1"]["reason"] == "door-01.wav is missing (from the store)"
    assert by["door:2"]["reason"] == "door-02.wav was modified (from the store)"
    assert planned("--no-store")["by"]["door:1"]["reason"].endswith("(from the service)")
    assert (by["door:1"]["action"], by["door:3"]["action"]) == ("restore", "keep")


def test_a_new_format_of_a_paid_take_costs_nothing(tavern: Any, serve: Any, planned: Any) -> None:
    """The task is there: only the file is fetched."""
    server = serve()
    both = tavern.manifest.read_text()
    tavern.manifest.write_text(both.replace("[wav, mp3]", "[wav]"))
    tavern.run("--select", "door")
    tavern.manifest.write_text(both)
    take = planned("--select", "door:1")["by"]["door:1"]
    assert (take["action"], take["units"]) == ("restore", "0.00")
    assert take["reason"] == "door-01.mp3: mp3 is newly asked for, of a task that is paid for (from the service)"
    assert tavern.run("--select", "door") == 0
    assert len(server.world.ledger.tasks) == 3


def test_what_is_no_longer_asked_for_is_dropped_from_the_lock(tavern: Any, serve: Any, planned: Any) -> None:
    """Only by a run of everything; the files stay."""
    serve()
    tavern.run()
    tavern.manifest.write_text(tavern.manifest.read_text().replace("takes: 3", "takes: 2"))
    assert planned()["by"]["door:3"]["action"] == "drop"
    assert tavern.run("--select", "door:1") == 0
    assert planned()["summary"]["drop"] == 1
    assert tavern.run() == 0
    assert planned()["summary"]["drop"] == 0
    assert (tavern.out / "door-03.wav").is_file()


def test_the_text_groups_by_what_is_done(tavern: Any, serve: Any, said: Any) -> None:
    """As people read plans: a heading a group, a sign a take, a line a changed field, and the sum."""
    serve()
    tavern.run()
    (tavern.out / "steps" / "oak" / "step-oak-01.mp3").unlink()
    tavern.manifest.write_text(
        tavern.manifest.read_text().replace("Old oak", "Iron").replace("door\n", "door\n    edition: 2\n")
    )
    lines = said()
    assert lines[:4] == [
        "3 takes to generate:",
        "+ door:1",
        '~ prompt "Old oak door creaks open" -> "Iron door creaks open"',
        "~ edition 1 -> 2",
    ]
    assert "< step-oak:1 steps/oak/step-oak-01.mp3 is missing (from the store)" in lines
    assert "Plan: 3 to generate, 1 to restore, 3 to keep; at most 0.75 units (about $0.11 at list price)." in lines
    assert any(line.startswith("Time: about") for line in lines)


def test_the_price_is_what_the_project_really_cost(tavern: Any, serve: Any, planned: Any, said: Any) -> None:
    """Where the service charges another price than the list's, the plan counts with that and says so."""
    serve(behaviour=Behaviour(units=Decimal("0.30")))
    assert planned()["summary"]["units"] == "1.75"
    tavern.run("--select", "door")
    summary = planned()["summary"]
    assert (summary["units"], summary["units_per_take"], summary["list_units_per_take"]) == ("1.20", "0.30", "0.25")
    assert "Price: 0.30 units a take, by what 3 takes of this project cost; the list says 0.25." in said()


def _attempt(number: int, start: float, end: float | None, *, run: int = 1, stage: Stage = Stage.DELIVERED) -> Attempt:
    return Attempt(
        external_id=f"kb-{number}",
        kind="text-to-audio",
        job_id="rain",
        take=number,
        attempt=1,
        stage=stage,
        units=Decimal("0.25"),
        run_id=run,
        created_at=start,
        ended_at=end,
    )


def _learned(*rows: Attempt, concurrency: int | None = None) -> Outlook:
    snapshot = Snapshot(attempts={row.external_id: row for row in rows}, files={}, last_run=None)
    return outlook(snapshot, Lock(project="p"), list_units=Decimal("0.25"), concurrency=concurrency, budget=Budget())


@pytest.mark.parametrize(
    ("rows", "concurrency", "at_once", "generation_s"),
    [
        ((), None, None, None),
        ((), 4, 4, None),
        ((_attempt(1, 0, 10), _attempt(2, 0, 20), _attempt(3, 10, 30)), None, 2, 20),
        ((_attempt(1, 0, 10), _attempt(2, 0, 10), _attempt(3, 50, 60, run=2)), None, 1, 10),
        ((_attempt(1, 0, 10), _attempt(2, 0, None), _attempt(3, 0, 99, stage=Stage.FAILED)), 8, 8, 10),
        ((_attempt(1, 10, 5),), None, None, None),
    ],
)
def test_time_is_learned_from_the_journal(
    rows: tuple[Attempt, ...], concurrency: int | None, at_once: int | None, generation_s: float | None
) -> None:
    """The median of what finished, and as many at once as asked for, else as in the latest run."""
    learned = _learned(*rows, concurrency=concurrency)
    assert (learned.at_once, learned.generation_s) == (at_once, generation_s)


def test_the_time_left_counts_in_rounds(tavern: Any, serve: Any, planned: Any) -> None:
    """Six tasks, four at once, are two rounds; with nothing known there is no time."""
    assert planned("--concurrency", "2")["summary"]["seconds"] is None
    serve(seconds=1.0)
    tavern.run("--select", "door:1")
    summary = planned("--concurrency", "4")["summary"]
    assert summary["generate"] == 6
    assert 2 * 0.9 <= summary["seconds"] <= 2 * 1.6
    assert summary["concurrency"] == 4


def test_the_actions_of_the_schema_are_those_of_the_program() -> None:
    """A new action is described where programs read it."""
    described = schema("plan")["definitions"]
    assert set(described["take"]["properties"]["action"]["enum"]) == {action.value for action in Action}
    assert {action.value for action in Action} <= set(described["summary"]["properties"])


def test_markdown_says_by_job_what_a_run_would_do(tavern: Any, serve: Any, said: Any) -> None:
    """Its cost, whether the lock covers it, and why: what changed with old and new value, and what would be dropped."""
    serve()
    assert tavern.run() == 0
    assert said("--format", "markdown") == [
        "# tavern: plan",
        "",
        "Plan: 7 to keep; nothing to pay.",
        "",
        "Drift: The lock covers what is asked for.",
    ]
    text = tavern.manifest.read_text().replace("Old oak", "New *oak*").replace(", wet stone", ", snow")
    tavern.manifest.write_text(text)
    lines = said("--format", "markdown")
    assert lines[2].startswith("Plan: 5 to generate, 2 to keep, 2 to drop; at most 1.25 units (about &#36;0.18")
    assert lines[6].endswith("a paid call would be needed for 5 takes.")
    assert said("--format", "markdown", "--sandbox")[-1].startswith("| step-snow | 2 to generate | 0.00 |")
    door, snow, stone = lines[-3:]
    assert door.startswith("| door | 3 to generate | 0.75 | changed: prompt: ")
    assert '"New \\*oak\\* door creaks open"' in door
    assert snow == "| step-snow | 2 to generate | 0.50 | new |"
    assert stone.startswith("| step-wet-stone | 2 to drop | 0.00 | locked, and no longer in the manifest;")


def test_markdown_lists_a_hundred_rows(tavern: Any, said: Any) -> None:
    """A page and a comment hold so many, and say how many more there are."""
    jobs = "".join(f"  - {{id: s{number}, prompt: A sound, duration: 3}}\n" for number in range(120))
    tavern.manifest.write_text(f"version: 1\nproject: tavern\njobs:\n{jobs}")
    lines = said("--format", "markdown")
    assert sum(line.startswith("| s") for line in lines) == 100
    assert lines[-1] == "… and 20 more: kling-batch plan lists them."
