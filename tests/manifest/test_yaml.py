"""What YAML means here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kling_batch.errors import ManifestInvalid
from kling_batch.manifest import load
from kling_batch.model import Manifest

Jobs = Callable[[str], Manifest]


@pytest.mark.parametrize(
    "word", ["no", "yes", "off", "1:30", "017", "2024-01-01", "12", "1.50", "true", "0x1F", "1_000"]
)
def test_a_word_stays_as_it_was_written(jobs: Jobs, word: str) -> None:
    """Text fields take what stands there: YAML 1.1's booleans, dates and sexagesimals do not exist."""
    job = jobs(f"  - {{id: a, prompt: {word}, tags: [{word}], meta: {{name: {word}}}}}").jobs[0]
    assert (job.request["prompt"], job.tags, job.meta) == (word, (word,), {"name": word})


def test_a_number_can_be_an_id(jobs: Jobs) -> None:
    """An unquoted number is as good an id as any."""
    assert [job.id for job in jobs("  - {id: 12, prompt: x}\n  - {id: 007, prompt: x}").jobs] == ["12", "007"]


def test_space_around_a_text_is_dropped(jobs: Jobs) -> None:
    """A block scalar's last line break and a quoted blank are no part of a prompt."""
    manifest = jobs("  - id: ' a '\n    prompt: |\n      Rain\n      falls\n    tags: [' x ']\n")
    assert (manifest.jobs[0].id, manifest.jobs[0].request["prompt"], manifest.jobs[0].tags) == (
        "a",
        "Rain\nfalls",
        ("x",),
    )


def test_anchors_and_merge_keys_work(jobs: Jobs) -> None:
    """`<<` fills in what is not said, from one mapping or several, the first one winning."""
    manifest = jobs(
        "  - &one {id: a, prompt: x, duration: 3.0, takes: 2}\n"
        "  - &two {id: b, prompt: y, edition: 4}\n"
        "  - {<<: *one, id: c}\n"
        "  - {<<: [*two, *one], id: d}"
    )
    c, d = manifest.jobs[2:]
    assert (c.request["prompt"], c.request["duration"], c.takes, c.edition) == ("x", 3.0, 2, 1)
    assert (d.request["prompt"], d.request["duration"], d.takes, d.edition) == ("y", 3.0, 2, 4)


def test_merged_matrices_keep_their_order(jobs: Jobs) -> None:
    """The order of a matrix decides the order of its jobs, also when it was merged."""
    manifest = jobs(
        "  - &base {id: 'a-{x}-{y}', prompt: p, matrix: &m {x: [1, 2], y: [1, 2]}}\n"
        "  - {id: 'b-{x}-{y}', prompt: p, matrix: {<<: *m}}"
    )
    assert [job.id for job in manifest.jobs][4:] == ["b-1-1", "b-1-2", "b-2-1", "b-2-2"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_positions_count_characters_with_any_line_end(
    write: Callable[[str, str], Path], problems: Callable[[Path], list[str]], newline: str
) -> None:
    """An emoji is one column, CRLF one line: what an editor shows."""
    lines = ["# 😀é", "version: 1", "project: p", "jobs:", "  - {prompt: '😀é', id: 'a b'}", ""]
    found = problems(write("m.yaml", newline.join(lines)))
    assert [each.partition(": ")[0] for each in found] == ["5:24"]


def test_a_job_knows_where_it_stands(jobs: Jobs) -> None:
    """Reports lead back to the entry."""
    source = jobs("  - {id: a, prompt: x}\n  - id: b\n    prompt: x").jobs[1].source
    assert (source.line, source.column) == (5, 5)


@pytest.mark.parametrize("text", ["!!str 12", "! 12", "'12'"])
def test_the_string_tag_and_quotes_make_text(jobs: Jobs, text: str) -> None:
    """Tags of YAML's core are allowed, and mean what they say."""
    assert jobs(f"  - {{id: a, prompt: {text}}}").jobs[0].request["prompt"] == "12"


@pytest.mark.parametrize("text", ["!!float 5", "!!int 5", "5", "5.", "5.00", "+5.0", "5e0"])
def test_a_number_may_be_written_in_any_way(jobs: Jobs, text: str) -> None:
    """A duration is normalised to a float with one decimal, so that its spelling does not move an identity."""
    duration = jobs(f"  - {{id: a, prompt: x, duration: {text}}}").jobs[0].request["duration"]
    assert (duration, type(duration)) == (5.0, float)


def test_a_quoted_number_is_no_number(jobs: Jobs) -> None:
    """A number in quotes is text; the message says how to mend it."""
    with pytest.raises(ManifestInvalid, match="write it without quotes"):
        jobs("  - {id: a, prompt: x, duration: '5.0'}")


def test_a_byte_order_mark_at_the_start_is_fine(write: Callable[[str, str], Path]) -> None:
    """Editors on Windows write one."""
    path = write("m.yaml", "\ufeffversion: 1\nproject: p\njobs:\n  - {id: a, prompt: x}\n")
    assert load(path).project == "p"
