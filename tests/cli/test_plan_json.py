"""`plan --format json` is written a take at a time, as one JSON text."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from kling_batch.cli.planning import plan_json
from kling_batch.model import TakeKey
from kling_batch.planning.outlook import Outlook
from kling_batch.planning.plan import Action, Plan, Step

OUTLOOK = Outlook(list_units=Decimal("0.25"), units=Decimal("0.25"), highest=Decimal("0.25"))


def plan_of(count: int) -> Plan:
    """Make a plan of so many takes, whose reasons have what JSON has to escape, and what it need not."""
    return Plan(
        steps=tuple(
            Step(
                key=TakeKey("bell", number),
                action=Action.GENERATE,
                reason='changed: prompt: "a\nb" -> "Glöckchen"',
                external_id=f"kb-{number}",
                units=Decimal("0.25"),
            )
            for number in range(1, count + 1)
        )
    )


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_pieces_of_a_plan_are_one_json_text(count: int) -> None:
    """Put together they are what `json.dumps` would have made of the whole."""
    text = "".join(plan_json(plan_of(count), OUTLOOK))
    read = json.loads(text)
    assert text == json.dumps(read, indent=2, ensure_ascii=False) + "\n"
    assert [take["external_task_id"] for take in read["takes"]] == [f"kb-{n}" for n in range(1, count + 1)]
    assert read["summary"]["generate"] == count


def test_a_large_plan_is_never_held_as_one_text() -> None:
    """Each take is a piece of its own, beside the head and the end."""
    assert len(list(plan_json(plan_of(50), OUTLOOK))) == 52
