"""The journal's token: what tells the journal that sent last from an older copy of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kling_batch.records.attempts import Stage
from kling_batch.records.snapshot import read_snapshot


def test_every_intent_gets_a_token_that_was_noted_before(open_journal: Any, attempt: Any) -> None:
    """Outside of the journal first, so that a copy from before the intent is never taken for the latest."""
    noted: list[str] = []
    journal = open_journal(threaded=False)
    journal.follow(lambda token, _: noted.append(f"{token} after {journal.token()}"))
    tokens = [journal.token()]
    for number in range(2):
        asyncio.run(journal.save(attempt(f"kb-{number}")))
        tokens.append(journal.token())
    assert noted == [f"{tokens[1]} after None", f"{tokens[2]} after {tokens[1]}"]


def test_what_sends_nothing_leaves_the_token_as_it_is(open_journal: Any, attempt: Any) -> None:
    """A journal that only learned of tasks vouches for as much as before."""
    journal = open_journal(threaded=False)
    journal.follow(lambda *_: None)
    asyncio.run(journal.save(attempt()))
    token = journal.token()
    for stage in set(Stage) - {Stage.INTENT}:
        asyncio.run(journal.save(attempt(stage=stage)))
    assert journal.token() == token


@pytest.mark.parametrize("threaded", [True, False])
def test_intents_that_are_written_together_share_a_token(open_journal: Any, attempt: Any, threaded: bool) -> None:
    """It stands for the state of the journal, and is there again when it is opened."""
    noted: list[str] = []
    journal = open_journal(threaded=threaded)
    journal.follow(lambda token, _: noted.append(token))
    asyncio.run(journal.save_all([(attempt(f"kb-{number}"), ()) for number in range(50)]))
    journal.close()
    assert [open_journal().token()] == noted


def test_a_crash_between_note_and_commit_proves_nothing(open_journal: Any, attempt: Any, crash: Any) -> None:
    """The journal has not seen what the note stands for, and does not pretend to."""
    noted: list[str] = []

    def note(token: str, *_: object) -> None:
        noted.append(token)
        if len(noted) > 1:
            raise crash

    journal = open_journal(threaded=False)
    journal.follow(note)
    asyncio.run(journal.save(attempt("kb-1")))
    with pytest.raises(crash):
        asyncio.run(journal.save(attempt("kb-2")))
    assert list(read_snapshot(journal.folder.parent).attempts) == ["kb-1"]
    assert journal.token() == noted[0] != noted[1]
