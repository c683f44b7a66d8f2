"""A take's name on the service moves with what is asked for, and with nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_batch.identity import external_task_id
from kling_batch.manifest import load
from kling_batch.model import Job, Source, Take

Change = Callable[[Take], Take]

JOB = Job(
    project="p",
    id="a",
    kind="text-to-audio",
    request={"prompt": "x", "duration": 5.0},
    formats=("wav",),
    takes=3,
    source=Source(path="m.yaml", line=1),
)
TAKE = Take(job=JOB, number=1, edition=1, stem="a-01")


def _job(**changes: Any) -> Change:
    return lambda take: replace(take, job=replace(take.job, **changes))


MOVES: dict[str, Change] = {
    "project": _job(project="q"),
    "job id": _job(id="b"),
    "kind": _job(kind="other"),
    "prompt": _job(request={"prompt": "y", "duration": 5.0}),
    "duration": _job(request={"prompt": "x", "duration": 5.1}),
    "edition": lambda take: replace(take, edition=2),
    "take": lambda take: replace(take, number=2),
}
STAYS: dict[str, Change] = {
    "takes": _job(takes=9),
    "formats": _job(formats=("mp3",)),
    "file": _job(file="x/{id}"),
    "tags": _job(tags=("t",)),
    "recipe and checks": _job(finish={"channels": 1, "formats": ["wav"]}, check={"silent": {"then": "fail"}}),
    "meta": _job(meta={"a": "b"}),
    "source": _job(source=Source(path="elsewhere.csv", line=99)),
    "path": lambda take: replace(take, stem="elsewhere"),
    "order of the request": _job(request={"duration": 5.0, "prompt": "x"}),
}


@pytest.mark.parametrize("what", MOVES)
def test_what_is_asked_for_moves_the_id(what: str) -> None:
    """Another request, edition, take or name is another task."""
    assert external_task_id(MOVES[what](TAKE)) != external_task_id(TAKE)


@pytest.mark.parametrize("what", STAYS)
def test_what_is_only_noted_leaves_the_id(what: str) -> None:
    """Files, formats, tags, notes and places can change without paying again."""
    assert external_task_id(STAYS[what](TAKE)) == external_task_id(TAKE)


def test_another_attempt_is_another_task() -> None:
    """A task that failed is tried again under a name of its own."""
    assert len({external_task_id(TAKE, attempt) for attempt in range(1, 6)}) == 5


@pytest.mark.parametrize(
    ("take", "attempt", "expected"),
    [
        (TAKE, 1, "kb-mndfk4nkzrureu55in34sg5wvmt25jj4"),
        (TAKE, 2, "kb-l3g3lvou4lqdfbbem5kaentpoztez3om"),
        (replace(TAKE, number=3, edition=7), 1, "kb-dnzqqzqr3bvm5qwincnx5tzagr5rcv2q"),
        (
            _job(project="tavern", id="door", request={"prompt": "Tür 😀", "duration": 3.3})(TAKE),
            1,
            "kb-6oyzm7cnszkayvvwmikk7dympghpzaaf",
        ),
    ],
)
def test_ids_never_change_between_versions(take: Take, attempt: int, expected: str) -> None:
    """A name that moved with a new version of this program would make every sound be paid for again."""
    assert external_task_id(take, attempt) == expected


words = st.text(alphabet=st.characters(codec="utf-8", categories=["L", "N", "P", "Z", "S"]), min_size=1, max_size=40)
jobs = st.lists(
    st.fixed_dictionaries(
        {"prompt": words.filter(lambda text: bool(text.strip())), "duration": st.sampled_from([3, 5.0, 9.9])},
        optional={"takes": st.integers(1, 4), "edition": st.integers(1, 3)},
    ),
    min_size=1,
    max_size=6,
)
noise = st.fixed_dictionaries(
    {},
    optional={
        "formats": st.sampled_from([["wav"], ["mp3"], ["mp3", "wav"]]),
        "tags": st.lists(st.sampled_from(["a", "b", "c"]), unique=True),
        "meta": st.dictionaries(st.sampled_from(["m", "n"]), st.sampled_from(["1", "2"])),
        "file": st.sampled_from(["x/{id}-{take}", "{take}/{format}/{id}"]),
        "finish": st.sampled_from(["off", {"loudness": -18}]),
        "check": st.sampled_from([{"silent": "fail"}, {"quiet": {"below": -40}}]),
    },
)


def _ids(entries: list[dict[str, Any]], **top: Any) -> dict[tuple[str, int], str]:
    """Load a manifest of these jobs in a folder of its own."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.json"
        path.write_text(json.dumps({"version": 1, "project": "p", "jobs": entries, **top}), encoding="utf-8")
        return {(take.job.id, take.number): external_task_id(take) for take in load(path).takes}


@given(jobs, noise, st.randoms(use_true_random=False), st.integers(1, 1000))
def test_order_company_and_notes_leave_every_id(
    entries: list[dict[str, Any]], notes: dict[str, Any], random: Any, concurrency: int
) -> None:
    """Rows moved, inserted or doubled, files renamed, tags and notes and limits changed: nothing is paid again."""
    named = [{"id": f"j{number}", **entry} for number, entry in enumerate(entries)]
    before = _ids(named)
    changed = [{**entry, **notes} for entry in named] + [{**named[0], "id": "double"}, {"id": "new", "prompt": "new"}]
    random.shuffle(changed)
    after = _ids(changed, limits={"concurrency": concurrency})
    assert before.items() <= after.items()
    assert len(set(after.values())) == len(after)


@given(words, words, st.integers(1, 1000), st.integers(1, 1_000_000), st.integers(1, 100))
def test_an_id_is_always_of_the_safe_form(project: str, prompt: str, number: int, edition: int, attempt: int) -> None:
    """Letters, digits and `-`, 64 at most, never all digits, whatever it is made of."""
    job = replace(JOB, project=project, request={"prompt": prompt, "duration": 3.0})
    made = external_task_id(Take(job=job, number=number, edition=edition, stem="s"), attempt)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", made)
    assert not made.isdigit()
