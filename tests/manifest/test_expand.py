"""From entries to jobs and takes: defaults, matrix, templates, paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_batch.catalog.paths import path_problem
from kling_batch.errors import ManifestInvalid
from kling_batch.manifest import load
from kling_batch.manifest.templates import parse, slug
from kling_batch.model import Manifest

Jobs = Callable[[str], Manifest]


def test_what_nobody_says_is_the_default(jobs: Jobs) -> None:
    """Five seconds of wav, one take, edition 1, named by id and take; concurrency is found out."""
    manifest = jobs("  - {id: a, prompt: x}")
    job = manifest.jobs[0]
    assert (job.request, job.takes, job.edition) == ({"prompt": "x", "duration": 5.0}, 1, 1)
    assert (job.formats, job.tags, job.meta, manifest.takes[0].stem) == (("wav",), (), {}, "a-01")
    assert manifest.concurrency is None


def test_a_job_s_own_words_win_over_defaults(write: Callable[[str, str], Path]) -> None:
    """Notes are merged name by name; everything else is replaced."""
    manifest = load(
        write(
            "m.yaml",
            "version: 1\nproject: p\nlimits: {concurrency: 3}\n"
            "defaults: {duration: 3, takes: 2, tags: [a], meta: {x: 1, y: 1}, formats: [mp3],\n"
            "  file: '{project}/{id}{take}'}\n"
            "jobs:\n  - {id: j, prompt: x, tags: [b], meta: {y: 2}, takes: 1, duration: 9.9}\n  - {id: k, prompt: x}\n",
        )
    )
    j, k = manifest.jobs
    assert (j.request["duration"], j.takes, j.tags, j.meta, j.formats) == (
        9.9,
        1,
        ("b",),
        {"x": "1", "y": "2"},
        ("mp3",),
    )
    assert (k.request["duration"], k.takes, k.tags, k.meta) == (3.0, 2, ("a",), {"x": "1", "y": "1"})
    assert ([take.stem for take in manifest.takes], manifest.concurrency) == (["p/j1", "p/k1", "p/k2"], 3)


def test_a_matrix_is_every_combination_in_order(jobs: Jobs) -> None:
    """Values stand as written in words and as slugs in ids and paths; the last name changes fastest."""
    manifest = jobs(
        "  - id: 'step-{surface}-{shoe}'\n    prompt: '{shoe} on {surface} {{really}}'\n    takes: 2\n"
        "    matrix: {surface: [Oak floor, 'Wet, stone'], shoe: [Bäre feet, 9]}\n"
        "    tags: ['{surface}', all]\n    meta: {what: 'a {shoe}'}\n    file: '{surface}/{meta.what}/{take:03}'\n"
    )
    assert [job.id for job in manifest.jobs] == [
        "step-oak-floor-bare-feet", "step-oak-floor-9", "step-wet-stone-bare-feet", "step-wet-stone-9",
    ]  # fmt: skip
    job = manifest.jobs[0]
    assert (job.request["prompt"], job.tags) == ("Bäre feet on Oak floor {really}", ("Oak floor", "all"))
    assert job.meta == {"what": "a Bäre feet"}
    assert manifest.takes[1].stem == "oak-floor/a-bare-feet/002"


def test_braces_are_words_without_a_matrix(jobs: Jobs) -> None:
    """A prompt is a template only where a matrix gives it something to fill in."""
    job = jobs("  - {id: a, prompt: 'a {curly} sound', tags: ['{x}'], meta: {m: '{y}'}}").jobs[0]
    assert (job.request["prompt"], job.tags, job.meta) == ("a {curly} sound", ("{x}",), {"m": "{y}"})


def test_an_absurd_number_of_takes_is_refused_before_it_is_made(jobs: Jobs) -> None:
    """A million is the most; 10^20 combinations are as quickly refused as a million and one."""
    names = ", ".join(f"n{i}: [{', '.join(map(str, range(10)))}]" for i in range(20))
    with pytest.raises(ManifestInvalid, match=r"100,000,000,000,000,000,000 takes; at most 1,000,000"):
        jobs(f"  - {{id: 'a-{{n0}}', prompt: x, matrix: {{{names}}}}}")


def test_two_paths_that_differ_by_case_or_form_are_one(jobs: Jobs) -> None:
    """What is one file on a Mac or on Windows is one file; the message names both jobs."""
    with pytest.raises(ManifestInvalid, match=r"`b` has the path .* of `a` at"):
        jobs("  - {id: a, prompt: x, file: 'é'}\n  - {id: b, prompt: x, file: 'E\u0301'}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Oak floor", "oak-floor"),
        ("  A__b--C!", "a-b-c"),
        ("Übung ½", "ubung-1-2"),
        ("Straße", "strasse"),
        ("木 x", "木-x"),
        ("?", ""),
    ],
)
def test_a_slug_is_lower_case_without_accents(text: str, expected: str) -> None:
    """Letters and digits stay, everything between is one `-`."""
    assert slug(text) == expected


@given(st.text(max_size=30))
def test_a_slug_is_always_a_safe_part_of_a_path(text: str) -> None:
    """Whatever a value is, its slug leads nowhere else, and is its own slug."""
    made = slug(text)
    assert "/" not in made
    assert made in {"", ".", slug(made)}
    assert not made or path_problem(f"x-{made}") is None


@given(st.text(alphabet="ab{}:0 ", max_size=12))
def test_a_template_fills_its_names_and_nothing_else(text: str) -> None:
    """Doubled braces are braces: text without single ones comes out as it went in."""
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert parse(doubled).render({}) == text


@pytest.mark.parametrize(
    "stem", ["a", "a/b-01", "COM10", "console", "aux-1", "a.b", "木/x", "nul-/x", "communion", "A.wav"]
)
def test_an_ordinary_path_passes(stem: str) -> None:
    """Only what some machine cannot hold is refused."""
    assert path_problem(stem) is None


@pytest.mark.parametrize(
    "stem",
    [
        "", "/a", "a//b", "a/", "..", "a/../b", ".", "a:b", "a\\b", "a.", "a ", "a\n", "x" * 201, "~/a",
        "con", "x/NUL", "Aux.b/x", "lpt1", "con/x", "com¹", ".kling-batch", ".Kling-Batch/x", "a.wav/b",
    ],
)  # fmt: skip
def test_a_path_that_some_machine_cannot_hold_is_refused(stem: str) -> None:
    """The same manifest must make the same files on Linux, macOS and Windows, inside the output folder."""
    assert path_problem(stem)
