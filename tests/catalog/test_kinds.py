"""Kinds of task are data."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kling_batch.catalog import kind


def test_text_to_audio_is_a_file() -> None:
    """Its path and its list price [S] [T]."""
    audio = kind("text-to-audio")
    assert (audio.path, audio.units) == ("/v1/audio/text-to-audio", Decimal("0.25"))


@pytest.mark.parametrize(
    ("message", "final"),
    [
        ("Failure to pass the risk control system", True),
        ("FAILURE TO PASS THE RISK CONTROL SYSTEM", True),
        ("Image pixel is invalid", True),
        ("Internal error, please contact Kling customer service.", False),
        ("", False),
    ],
)
def test_a_judgement_is_final_and_an_accident_is_not(message: str, final: bool) -> None:
    """The messages are those that were seen; the same words would be judged the same way again."""
    assert kind("text-to-audio").fails_for_good(message) is final


def test_there_is_no_other_kind() -> None:
    """A name without a file is a mistake of the caller."""
    with pytest.raises(KeyError, match="video"):
        kind("video")
