"""A proof is worth what it catches: the program is broken on purpose, and has to be caught."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos import broken, scenes
from tests.chaos.broken import FORGETS_INTENTS, RESENDS_AT_ONCE, TRUSTS_THE_ORDER, Broken
from tests.chaos.history import History
from tests.chaos.play import play
from tests.chaos.process import Parts
from tests.chaos.scenes import hunt

_WITHIN = 60
_FEW = 12


@pytest.mark.parametrize(
    ("parts", "first"),
    [
        pytest.param(RESENDS_AT_ONCE, 0, id="resends at once"),
        pytest.param(FORGETS_INTENTS, 20, id="forgets the intent"),
    ],
)
def test_a_program_that_pays_twice_is_caught(parts: Parts, first: int) -> None:
    """Within 60 seeds the broken program makes two tasks under one name; on that seed the sound one does not.

    The hunt begins near a seed that has shown it.
    """
    seeds = (*range(first, _WITHIN), *range(first))
    caught = next((seed for seed in seeds if _pays_twice(seed, parts)), None)
    assert caught is not None
    assert play(hunt(caught)).violations == []


def _pays_twice(seed: int, parts: Parts) -> bool:
    return any("tasks were made under" in words for words in play(hunt(seed), parts=parts).violations)


@pytest.mark.parametrize(
    ("program", "scene"),
    [
        pytest.param(broken.NO_SECOND_PLAN, scenes.late_consent, id="no second plan under the hold"),
        pytest.param(broken.SILENCE_UNHEARD, scenes.nothing_heard, id="silence believed unheard"),
        pytest.param(broken.NO_CONTINUITY, scenes.two_machines, id="continuity not asked for"),
        pytest.param(broken.LIST_PRICE, scenes.dear, id="list price reserved"),
        pytest.param(broken.SLOT_FREED, scenes.forgetful, id="slot freed at unknown"),
        pytest.param(broken.LOCK_FROM_MEMORY, scenes.colleague, id="lock written without merging"),
        pytest.param(broken.SPEECH_SENT_AGAIN, scenes.spoken, id="lost speech sent again"),
        pytest.param(broken.SPEECH_FORGOTTEN, scenes.spoken, id="lost speech not named"),
        pytest.param(broken.SPEECH_AT_LIST_PRICE, scenes.spoken, id="lost speech said to cost the list price"),
        pytest.param(broken.NO_RIGHTS, scenes.unlicensed, id="a voice cloned without rights"),
        pytest.param(broken.KINDS_IN_ANY_TURN, scenes.left_in_flight, id="slots of another kind forgotten"),
        pytest.param(broken.SOUND_REFUSED, scenes.careless, id="a whole sound refused"),
    ],
)
def test_a_program_without_one_of_its_promises_is_caught(program: Broken, scene: Callable[[int], History]) -> None:
    """Within a few histories the broken program is seen to break a promise; on that one the sound program does not."""
    with program.applied():
        caught = next((seed for seed in range(_FEW) if play(scene(seed)).violations), None)
    assert caught is not None
    assert play(scene(caught)).violations == []


def test_a_program_that_trusts_the_lists_order_is_caught() -> None:
    """Where only the list shows external ids, the first page is not all of it: such a program never comes to an end."""
    takes = len(scenes.listed(0).manifest.takes)
    assert play(scenes.listed(0), parts=TRUSTS_THE_ORDER).delivered < takes
    sound = play(scenes.listed(0))
    assert (sound.violations, sound.delivered) == ([], takes)
