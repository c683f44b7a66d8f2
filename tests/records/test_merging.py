"""A run's changes and a lock that somebody else wrote to meanwhile, case by case."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from kling_batch.model import FileRecord, TakeKey
from kling_batch.records.lock import Lock, LockEntry
from kling_batch.records.merging import Changes, merge, merge_branches, merge_unasked


def entry(words: str, **facts: Any) -> LockEntry:
    """Make an entry of `door:1 e2 r1 picked`: its take, edition, rerolls, and whether it is picked."""
    name, *said = words.split()
    job_id, _, take = name.partition(":")
    numbers = {word[0]: int(word[1:]) for word in said if word[0] in "er" and word[1:].isdigit()}
    edition = numbers.get("e", 1)
    plain = LockEntry(
        job_id=job_id,
        take=int(take),
        edition=edition,
        attempt=1,
        kind="text-to-audio",
        external_id=f"{name}/{edition}",
        task_id="9",
        units=Decimal("0.25"),
        request={"prompt": "A door"},
        files=(FileRecord(path="x.wav", format="wav", sha256="ab" * 32, bytes=9, duration_s=5.0),),
        picked="picked" in said,
        rerolls=numbers.get("r", 0),
    )
    return replace(plain, **facts)


def lock(*lines: str) -> Lock:
    """Make a lock of `door:1 e2` and such; `retired` at the end of a line says what it says."""
    active = [entry(line) for line in lines if "retired" not in line]
    retired = [entry(line) for line in lines if "retired" in line]
    return Lock(
        project="p",
        entries={one.key: one for one in active},
        retired={one.external_id: one for one in retired},
    )


def lines(merged: Lock) -> set[str]:
    """Say a lock as `lock` takes it."""

    def line(one: LockEntry) -> str:
        words = [str(one.key), f"e{one.edition}", f"r{one.rerolls}" if one.rerolls else ""]
        return " ".join(filter(None, [*words, "picked" if one.picked else ""]))

    active, retired = map(line, merged.entries.values()), map(line, merged.retired.values())
    return {*active, *(f"{words} retired" for words in retired)}


@pytest.mark.parametrize(
    ("planned", "ours", "now", "expected"),
    [
        pytest.param("", "door:1 e1", "", "door:1 e1", id="a new take is added"),
        pytest.param("", "door:1 e1", "rain:1 e1", "door:1 e1, rain:1 e1", id="what others added stays"),
        pytest.param("rain:1 e1", "door:1 e1", "", "door:1 e1", id="what others took away stays away"),
        pytest.param("", "door:1 e1", "door:1 e1 picked", "door:1 e1 picked", id="a pick made meanwhile stays"),
        pytest.param("door:1 e1 picked", "door:1 e2 picked", "door:1 e1", "door:1 e2, door:1 e1 retired",
                     id="a pick taken back meanwhile stays so"),
        pytest.param("door:1 e1", "door:1 e2", "door:1 e1 picked", "door:1 e2 picked, door:1 e1 retired",
                     id="a pick goes on to the edition that takes the place"),
        pytest.param("", "door:1 e1", "door:1 e1 r1", "door:1 e1 r1", id="a reroll meanwhile is left to the next run"),
        pytest.param("door:1 e1 r1", "door:1 e2 r1", "door:1 e1 r2", "door:1 e2 r2, door:1 e1 r2 retired",
                     id="a second reroll meanwhile is left to the next run"),
        pytest.param("door:1 e1", "door:1 e2", "door:1 e1", "door:1 e2, door:1 e1 retired",
                     id="what gives way is retired"),
        pytest.param("door:1 e2", "door:1 e1", "door:1 e2", "door:1 e1, door:1 e2 retired",
                     id="an edition lowered by the manifest takes the place"),
        pytest.param("door:1 e2, door:1 e1 retired", "door:1 e1", "door:1 e2, door:1 e1 retired",
                     "door:1 e1, door:1 e2 retired", id="what is asked for again is retired no more"),
        pytest.param("door:1 e1", "door:1 e2", "door:1 e3 r1", "door:1 e3 r1, door:1 e2 r1 retired",
                     id="a later edition locked meanwhile stays, and ours is kept"),
        pytest.param("", "door:1 e2", "door:1 e1", "door:1 e2, door:1 e1 retired",
                     id="an earlier edition locked meanwhile gives way"),
        pytest.param("door:1 e1 r1", "door:1 e2 r1", "door:1 e1", "door:1 e2 r1, door:1 e1 retired",
                     id="an older lock put back does not undo a reroll"),
        pytest.param("", "door:1 e2 r1", "door:1 e2 r1 picked retired", "door:1 e2 r1 picked",
                     id="what was retired comes back with its pick"),
    ],
)  # fmt: skip
def test_a_finished_take_is_merged(planned: str, ours: str, now: str, expected: str) -> None:
    """What the run finished stands, people's choices are the file's, and nothing paid is forgotten."""
    finished = entry(ours)
    changes = Changes(base=lock(*_each(planned)), finished={finished.key: finished})
    assert lines(merge(lock(*_each(now)), changes)) == set(_each(expected))


def test_merging_twice_is_merging_once() -> None:
    """A run writes all that it changed at every write."""
    finished = entry("door:1 e2")
    changes = Changes(base=lock("door:1 e1"), finished={finished.key: finished})
    once = merge(lock("door:1 e1", "rain:1 e1"), changes)
    assert merge(once, changes) == once


def test_what_the_run_finished_is_what_the_file_says_of_the_sound() -> None:
    """Of one sound, files and price are those of who finished it last."""
    ours = entry("door:1 e1", units=Decimal("0.50"))
    merged = merge(lock("door:1 e1 picked"), Changes(base=lock(), finished={ours.key: ours}))
    assert merged.entries == {ours.key: replace(ours, picked=True)}


def test_a_rejected_sound_that_another_took_the_place_of_is_kept() -> None:
    """Every roll is paid for; where the lock was written in between, it is the same."""
    again = entry("door:1 e2 r1")
    changes = Changes(base=lock(), finished={again.key: again}, rejected={"door:1/1": entry("door:1 e1")})
    assert lines(merge(lock(), changes)) == lines(merge(lock("door:1 e1"), changes)) == {
        "door:1 e2 r1", "door:1 e1 retired"
    }  # fmt: skip


@pytest.mark.parametrize("finisher", ["mine", "other"])
def test_two_branches_of_which_one_finished_a_sound_are_one(finisher: str) -> None:
    """What the other says of it stays."""
    base, said = lock("door:1 e1"), lock("door:1 e1 picked")
    done = lock("door:1 e1")
    one = entry("door:1 e1", recipe={"finish": {"loudness": -18}}, finished=base.entries[TakeKey("door", 1)].files)
    done = replace(done, entries={one.key: one})
    ours, theirs = (done, said) if finisher == "mine" else (said, done)
    merged = merge_branches(base, ours, theirs)
    assert merged.lock.entries == {one.key: replace(one, picked=True)}
    assert not merged.both


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("door:1 e1 picked, rain:1 e1", "door:1 e1 picked retired, rain:1 e1"),
        ("door:1 e2", "door:1 e2"),
        ("rain:1 e1", "rain:1 e1"),
    ],
)
def test_what_is_dropped_is_retired_with_what_was_said_of_it(now: str, expected: str) -> None:
    """Unless somebody else locked it anew, or took it away."""
    changes = Changes(base=lock("door:1 e1"), dropped={TakeKey("door", 1)})
    assert lines(merge(lock(*_each(now)), changes)) == set(_each(expected))


@pytest.mark.parametrize("now", ["door:1 e1 r1 picked", "door:1 e1 r1 picked retired"])
def test_a_renamed_job_takes_its_sound_along(now: str) -> None:
    """The sound stands once, under its new name, with what people said of it last."""
    ours = entry("gate:1 e1", external_id="door:1/1", moved_from="door")
    merged = merge(lock(now), Changes(base=lock("door:1 e1"), finished={ours.key: ours}))
    assert lines(merged) == {"gate:1 e1 r1 picked"}


def test_what_is_lost_is_forgotten_only_where_it_is_retired() -> None:
    """A take that is asked for stays, whatever became of its bytes."""
    changes = Changes(base=lock(), lost=frozenset({"door:1/1", "door:1/2", "rain:1/1"}))
    merged = merge(lock("door:1 e1 retired", "door:1 e2 retired", "rain:1 e1", "wind:1 e1 retired"), changes)
    assert lines(merged) == {"rain:1 e1", "wind:1 e1 retired"}


def _each(text: str) -> list[str]:
    return text.split(", ") if text else []


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        pytest.param("", "door:1 e1", "rain:1 e1", "door:1 e1, rain:1 e1", id="what each added"),
        pytest.param("door:1 e1", "door:1 e3", "door:1 e2", "door:1 e3, door:1 e2 retired",
                     id="the later edition is ours"),
        pytest.param("door:1 e1", "door:1 e2", "door:1 e3", "door:1 e3, door:1 e2 retired",
                     id="the later edition is theirs"),
        pytest.param("door:1 e1 picked", "door:1 e1", "door:1 e1 picked", "door:1 e1", id="a pick taken back"),
        pytest.param("door:1 e1", "door:1 e1 retired", "door:1 e1", "door:1 e1 retired", id="what was retired"),
        pytest.param("door:1 e1, rain:1 e1", "door:1 e1, rain:1 e1", "door:1 e1", "door:1 e1, rain:1 e1 retired",
                     id="what an older lock put back forgot is kept"),
        pytest.param("", "door:1 e1, rain:1 e1 retired", "rain:1 e1", "door:1 e1, rain:1 e1",
                     id="where nobody knows what came first, what is asked for counts"),
    ],
)  # fmt: skip
def test_two_machines_are_merged_and_nothing_is_forgotten(base: str, ours: str, theirs: str, expected: str) -> None:
    """Nobody is asked: the later edition of a take stays, and the other is retired."""
    sides = [lock(*filter(None, side.split(", "))) for side in (base, ours, theirs)]
    merged = merge_unasked(*sides)
    assert lines(merged) == set(expected.split(", "))
    known = {one.external_id for one in merged.everything()}
    assert known >= {one.external_id for side in sides[1:] for one in side.everything()}
