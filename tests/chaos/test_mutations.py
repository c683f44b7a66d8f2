"""A proof is worth what it catches: the program is broken on purpose, and has to be caught."""

from __future__ import annotations

import pytest

from tests.chaos.broken import FORGETS_INTENTS, RESENDS_AT_ONCE, TRUSTS_THE_ORDER
from tests.chaos.play import play
from tests.chaos.process import Parts
from tests.chaos.scenes import hunt

_WITHIN = 60


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(RESENDS_AT_ONCE, id="resends at once"),
        pytest.param(FORGETS_INTENTS, id="forgets the intent"),
        pytest.param(TRUSTS_THE_ORDER, id="trusts the list's order"),
    ],
)
def test_a_program_that_pays_twice_is_caught(parts: Parts) -> None:
    """Within 60 seeds the broken program makes two tasks under one name; on that seed the sound one does not."""
    caught = next((seed for seed in range(_WITHIN) if _pays_twice(seed, parts)), None)
    assert caught is not None
    assert play(hunt(caught)).violations == []


def _pays_twice(seed: int, parts: Parts) -> bool:
    return any("tasks were made under" in words for words in play(hunt(seed), parts=parts).violations)
