"""What GitHub reads of a run, parsed back by its own rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from kling_batch.model import RunResult, Source, Status, TakeError, TakeResult
from kling_batch.report import markdown, summary
from kling_batch.report.github import (
    MOST_OF_A_LEVEL,
    Note,
    command,
    notes_of,
    output_lines,
    outputs_of,
    summary_text,
    within_limit,
)
from tests import actions

MakeTake = Callable[..., TakeResult]
MakeRun = Callable[..., RunResult]


def annotated(result: RunResult) -> list[actions.Command]:
    """What GitHub understands of a run's annotations."""
    return actions.commands("\n".join(command(note) for note in within_limit(notes_of(result))))


def note(level: Literal["error", "warning"], message: str) -> Note:
    return Note(level=level, message=message)


def test_the_worst_comes_first(run: RunResult) -> None:
    """Failed, then unknown, then one warning for all that is pending; nothing for what succeeded."""
    found = annotated(run)
    assert [(each.name, each.properties["title"]) for each in found] == [
        ("error", "gunfight:1 failed"),
        ("error", "storm:1 unknown"),
        ("warning", "1 take pending"),
    ]


def test_an_annotation_leads_to_its_job_and_says_what_to_do(run: RunResult) -> None:
    """File and line of the job in its manifest, the reason with its code, and the repair."""
    first = annotated(run)[0]
    assert (first.properties["file"], first.properties["line"]) == ("tavern.yaml", "7")
    assert first.message == "The prompt was refused by content policy (code 1301) Change the prompt."


def test_the_warning_names_what_is_pending_and_why_the_run_stopped(run: RunResult) -> None:
    """One warning for a thousand takes says as much as a thousand."""
    last = annotated(run)[-1]
    assert last.message.startswith("The deadline of 30 s passed. Pending: bell:1. Run the same command again")


def test_a_run_that_is_done_annotates_nothing(make_run: MakeRun, make_take: MakeTake) -> None:
    """Nobody is needed."""
    assert annotated(make_run(make_take())) == []


def test_a_sound_to_listen_to_is_a_warning_at_its_job(make_run: MakeRun, make_take: MakeTake) -> None:
    """Nothing failed, and somebody may want to know."""
    [note] = notes_of(make_run(make_take(warnings=("a.wav: it lasts 4.20 s",))))
    assert (note.level, note.message) == ("warning", "a.wav: it lasts 4.20 s")
    assert note.source is not None
    assert note.source.line == 7


def test_hostile_words_stay_words(hostile_run: RunResult) -> None:
    """Whatever a service or a manifest says, GitHub reads our commands and no others."""
    lines = [command(each) for each in notes_of(hostile_run)]
    found = actions.commands("\n".join(lines))
    assert len(found) == len(lines)
    assert {each.name for each in found} == {"error", "warning"}
    assert found[0].message == "<script>window.pwned = 1</script> <script>window.pwned = 1</script>"


@pytest.mark.parametrize(
    "words",
    ["100% sure", "a\r\n::add-mask::x", "%0A::error::x", "%25", "a,b=c::d", "##[add-mask]x", "::stop-commands::x"],
)
def test_every_text_comes_back_as_it_was(words: str) -> None:
    """Percent signs, line ends, colons and commas, in message, title and path."""
    source = Source(path=words, line=3, column=9)
    (found,) = actions.commands(command(Note(level="error", message=words, source=source)))
    assert (found.message, found.properties) == (words, {"file": words, "line": "3", "col": "9"})


def test_a_title_is_one_line() -> None:
    """Whatever names it."""
    (found,) = actions.commands(command(Note(level="error", message="m", title="a\nb,c:d")))
    assert found.properties == {"title": "a b,c:d"}


def test_no_more_than_github_shows(make_run: MakeRun, make_take: MakeTake) -> None:
    """Of 25 failed takes the first nine are named, and the tenth error says how many more there are."""
    error = TakeError(code=1301, message="refused")
    takes = [make_take(number=n, status=Status.FAILED, origin=None, files=(), error=error) for n in range(1, 26)]
    found = annotated(make_run(*takes))
    assert [each.properties["title"] for each in found[:2]] == ["door-creak:1 failed", "door-creak:2 failed"]
    assert len(found) == MOST_OF_A_LEVEL
    assert found[-1].message.startswith("16 more errors are not shown here")


def test_each_level_has_its_own_limit() -> None:
    """Ten of each are not one too many."""
    errors = [note("error", str(number)) for number in range(10)]
    warnings = [note("warning", str(number)) for number in range(11)]
    kept = within_limit([*warnings, *errors])
    assert kept[:10] == errors
    assert len(kept) == 20
    assert kept[-1].title == "2 more warnings"


def test_outputs_are_parsed_by_their_names(run: RunResult) -> None:
    """What a later step may ask for."""
    assert actions.outputs(output_lines(outputs_of(summary(run), run.exit_status, Path("out/tavern")))) == {
        "status": "not-finished",
        "exit-status": "6",
        "takes": "5",
        "succeeded": "2",
        "failed": "1",
        "pending": "1",
        "unknown": "1",
        "units": "0.75",
        "units-this-run": "0.00",
        "report": "out/tavern/report.html",
        "out": "out/tavern",
    }


@pytest.mark.parametrize("value", ["a\nb=c", "a\nEOF\nb<<c\n", "a\r\nb", "\n", "a=b<<c", ""])
def test_an_output_of_several_lines_comes_back(value: str) -> None:
    """No value can end early, or set another output."""
    assert actions.outputs(output_lines({"out": value, "takes": "1"})) == {"out": value, "takes": "1"}


def test_a_summary_that_fits_is_left_alone() -> None:
    """To the byte."""
    assert summary_text("ä\n", 3) == "ä\n"


def test_a_summary_is_cut_at_the_end_of_a_line() -> None:
    """Within its bytes, never inside a character, and it says that it was cut."""
    text = "".join(f"| {number} | ä€𝄞 |\n" for number in range(100))
    for room in (400, 401, 402, 403):
        cut = summary_text(text, room)
        assert len(cut.encode()) <= room
        assert "The summary ends here" in cut
        whole = cut.partition("\n…")[0]
        assert text.startswith(whole)


def test_a_summary_without_room_is_empty() -> None:
    """Half a sentence helps nobody."""
    assert summary_text("a" * 50, 40) == ""


def test_the_report_of_a_large_run_fits(make_run: MakeRun, make_take: MakeTake) -> None:
    """The Markdown page itself stays under the limit, so that it is hardly ever cut."""
    job: dict[str, Any] = {"request": {"prompt": "|" * 200, "duration": 5.0}}
    error = TakeError(code=1301, message="|" * 500, hint="|" * 500)
    takes = [make_take(number=n, job=job, status=Status.FAILED, files=(), error=error) for n in range(1, 1001)]
    text = "".join(markdown.pieces(make_run(*takes)))
    assert summary_text(text, 1024 * 1024) == text
