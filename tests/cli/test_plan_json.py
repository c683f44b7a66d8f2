"""`plan --format json`: every take of a plan, with its sum."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kling_batch.cli.plan_text import plan_json
from kling_batch.model import TakeKey
from kling_batch.planning.outlook import Outlook
from kling_batch.planning.plan import Action, Plan, Step
from kling_batch.planning.spending import Budget

OUTLOOK = Outlook(list_units=Decimal("0.25"), units=Decimal("0.25"), budget=Budget())


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
def test_every_take_of_a_plan_is_there(count: int) -> None:
    """Each stands in the list, and the sum counts it."""
    told = plan_json(plan_of(count), OUTLOOK)
    assert [take["external_task_id"] for take in told["takes"]] == [f"kb-{n}" for n in range(1, count + 1)]
    assert told["summary"]["generate"] == count
