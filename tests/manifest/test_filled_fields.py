"""A matrix fills every text of a request: addresses, ids and languages as well as words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kling_batch.errors import ManifestInvalid
from kling_batch.manifest import load
from kling_batch.model import Manifest

Jobs = Callable[[str], Manifest]
SPEECH = "  - {id: 'say-{who}', kind: text-to-speech, text: 'I am {who}.', voice_id: '{who}', %s}"


def test_every_text_of_a_request_is_filled(jobs: Jobs) -> None:
    """Which video, what is heard and what is played: also where the pattern of the field knows no braces."""
    manifest = jobs(
        "  - {id: 'a-{n}', kind: video-to-audio, video_url: 'https://example.com/{n}.mp4', matrix: {n: [x, y]},\n"
        "     sound_effect_prompt: 'A {n} {{really}}', bgm_prompt: 'Lute for {meta.of}', meta: {of: 'scene {n}'}}\n"
        "  - {id: 'b-{n}', kind: video-to-audio, video_id: '{n}', matrix: {n: [7, 8]}}\n"
        "  - {id: 'c-{lang}', kind: text-to-speech, text: Hm., voice_id: v, voice_language: '{lang}',\n"
        "     matrix: {lang: [en, zh]}}\n"
    )
    assert manifest.jobs[1].request == {
        "video_url": "https://example.com/y.mp4",
        "sound_effect_prompt": "A y {really}",
        "bgm_prompt": "Lute for scene y",
        "asmr_mode": False,
    }
    assert [job.request["video_id"] for job in manifest.jobs[2:4]] == ["7", "8"]
    assert [job.request["voice_language"] for job in manifest.jobs[4:]] == ["en", "zh"]


def test_a_file_is_chosen_by_the_matrix(jobs: Jobs) -> None:
    """The path is filled in before the file is looked for."""
    with pytest.raises(ManifestInvalid) as caught:
        jobs("  - {id: 'a-{n}', kind: video-to-audio, video: 'clips/{n}.mp4', matrix: {n: [x]}}")
    assert "clips/x.mp4" in str(caught.value.problems[0].message)


def test_what_was_filled_in_is_checked_as_what_was_written(jobs: Jobs) -> None:
    """Once for each value, by the rules of the field."""
    with pytest.raises(ManifestInvalid) as caught:
        jobs(SPEECH % "voice_language: fr, matrix: {who: [a b, c]}")
    assert [problem.message for problem in caught.value.problems] == [
        'the combination who=a b makes `voice_id` "a b"; wanted is a voice\'s id: 1 to 100 characters without spaces',
        'the combination who=a b makes `voice_language` "fr"; wanted is `zh` or `en`',
    ]


def test_a_name_without_values_says_how_to_give_some(jobs: Jobs) -> None:
    """Else `{line}` would be spoken, and paid for."""
    with pytest.raises(ManifestInvalid) as caught:
        jobs("  - {id: 'g-{mood}', kind: text-to-speech, text: 'Hi. {line}', voice_id: v, matrix: {mood: [warm]}}")
    (problem,) = caught.value.problems
    assert problem.message == (
        "`text`: `{line}` stands for nothing (known: mood); give it values in `matrix`, "
        "or write `{{line}}` to have the braces themselves"
    )


@pytest.mark.parametrize("field", ["voice_language: '{lang}'", "voice_language: fr"])
def test_without_a_matrix_a_field_is_what_it_was(jobs: Jobs, field: str) -> None:
    """Nothing could fill it in."""
    with pytest.raises(ManifestInvalid, match="wanted is `zh` or `en`"):
        jobs(f"  - {{id: a, kind: text-to-speech, text: Hm., voice_id: v, {field}}}")


def test_defaults_are_filled_as_well(write: Callable[[str, str], Path]) -> None:
    """A voice for every line, said once."""
    text = (
        "version: 1\nproject: p\ndefaults: {text-to-speech: {voice_id: 'npc_{who}', voice_language: en}}\n"
        "jobs:\n  - {id: 's-{who}', kind: text-to-speech, text: Hm., matrix: {who: [a, b]}}\n"
    )
    assert [job.request["voice_id"] for job in load(write("m.yaml", text)).jobs] == ["npc_a", "npc_b"]
