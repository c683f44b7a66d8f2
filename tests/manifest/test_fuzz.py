"""Whatever stands in a file, reading it ends in a manifest or in an explanation."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kling_batch.errors import ManifestInvalid, UsageError
from kling_batch.manifest import load
from kling_batch.model import Manifest

NAMES = ["m.yaml", "m.json", "m.jsonl", "m.csv"]
PIECES = [
    "version: 1\n", "project: p\n", "jobs:\n", "  - ", "id: a\n", "    prompt: x\n", "    takes: ",
    "matrix: {n: [1, ", "{n}", "- ", "? ", ": ", "&a ", "*a", "<<: ", "!!int ", "!x ", "---\n", "|\n", ">-\n",
    "'", '"', "[", "]", "{", "}", ",", ";", "\t", "\n", "\r\n", "#", "%YAML 9\n", "id,prompt,duration\n", "a,x,5.0\n",
    '"version":1', '"project":"p"', '"jobs":[', '{"id":"a","prompt":"x"}', "null", "true", ".nan", "1e999", "-0",
    "9" * 30, "\\ud800", "\\u0000", "\x00", "\ufeff", "\u2028", "\x85", "é", "😀", "from: m.csv", "../",
]  # fmt: skip


def _load(name: str, raw: bytes) -> None:
    """Load, and see that there is something to do, or something said about what is wrong and where."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(raw)
        outcome = _outcome(path)
    if isinstance(outcome, ManifestInvalid):
        assert outcome.problems
        assert all(problem.line >= 1 and problem.column >= 1 for problem in outcome.problems)
    else:
        assert outcome.hint if isinstance(outcome, UsageError) else outcome.takes


def _outcome(path: Path) -> Manifest | UsageError:
    try:
        return load(path)
    except UsageError as error:
        return error


@pytest.mark.parametrize("name", NAMES)
@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_any_bytes_are_read_or_explained(name: str, raw: bytes) -> None:
    """No file makes a traceback."""
    _load(name, raw)


@pytest.mark.parametrize("name", NAMES)
@given(st.lists(st.sampled_from(PIECES), max_size=25))
@example(["id,prompt\n", '"', "\n"])
@example(["[", "9" * 30])
@settings(max_examples=100)
def test_any_text_of_the_language_is_read_or_explained(name: str, pieces: list[str]) -> None:
    """Nor does text that is nearly right."""
    _load(name, "".join(pieces).encode())


FIELDS = ["id", "prompt", "from", "columns", "matrix", "meta", "file", "takes", "n"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("name", ["m.yaml", "m.json"])
@given(ANYTHING)
@settings(max_examples=100)
def test_any_value_in_place_of_a_job_is_read_or_explained(name: str, value: object) -> None:
    """Well-formed nonsense is refused where it stands."""
    text = json.dumps({"version": 1, "project": "p", "jobs": [value]})
    _load(name, text.encode())
