"""Who gets colour."""

from __future__ import annotations

import io

import pytest

from kling_batch.cli.output import Tone, Toned, say, wanted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "terminal", "file"),
    [
        ({}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"CLICOLOR": "0"}, False, False),
        ({"CLICOLOR": "1"}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_the_environment_and_the_stream_decide(environment: dict[str, str], terminal: bool, file: bool) -> None:
    """Whoever wants none gets none; whoever asks for it gets it anywhere; else a terminal does."""
    assert wanted(Terminal(), environment) is terminal
    assert wanted(io.StringIO(), environment) is file


def test_colour_is_taken_out_where_none_is_wanted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words stay the same."""
    say([Toned("gone", Tone.WRONG)])
    monkeypatch.setenv("FORCE_COLOR", "1")
    say([Toned("gone", Tone.WRONG)], err=True)
    assert capsys.readouterr() == ("gone\n", "\x1b[31mgone\x1b[0m\n")
