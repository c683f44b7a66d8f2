"""Every file in `bad/` breaks a rule; beside it stands what is said about it, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from kling_batch.errors import ManifestInvalid
from kling_batch.manifest import load

BAD = Path(__file__).parent / "bad"
FILES = sorted(path.name for path in BAD.iterdir() if path.is_file() and path.suffix != ".expected")


@pytest.mark.parametrize("name", FILES)
def test_a_bad_manifest_is_refused_with_every_problem_at_its_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is reported is exactly what is expected: file, line, column and words, all problems, in order."""
    monkeypatch.chdir(BAD)
    with pytest.raises(ManifestInvalid) as caught:
        load(Path(name))
    assert caught.value.message + "\n" == Path(f"{name}.expected").read_text(encoding="utf-8")


def test_every_bad_manifest_has_its_expectation_and_no_expectation_is_alone() -> None:
    """A file without an expectation, or one without its file, tests nothing."""
    expected = {path.name.removesuffix(".expected") for path in BAD.glob("*.expected")}
    assert expected == set(FILES)
    assert len(FILES) > 50


def test_no_key_is_ever_shown() -> None:
    """What looks like a key is named and never printed."""
    shown = "".join(path.read_text(encoding="utf-8") for path in BAD.glob("keys-*.expected"))
    assert "KLING_API_KEY" in shown
    assert "not-to-be-shown" not in shown
