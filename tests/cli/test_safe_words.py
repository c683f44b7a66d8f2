"""Foreign words on a stream: whatever they are, they stay words."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_batch.cli import main
from kling_batch.cli.output import say, show_error
from kling_batch.errors import KlingBatchError
from kling_batch.report.csv_ import defused
from kling_batch.report.markdown import escaped
from kling_batch.text import json_shown, runner_command, shown
from tests import actions

_PIECES = [
    "::error::x",
    "::stop-commands::t",
    "##[add-mask]x",
    "\n",
    "\r",
    "\x1b[8m",
    "\x9b2J",
    "\u202e",
    "\u2028",
    " ",
]
foreign = st.lists(st.one_of(st.text(), st.characters(), st.sampled_from(_PIECES))).map("".join)
"""Any text, lone surrogates among it, and what is known to be dangerous."""
plain = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])).filter(
    lambda text: not text.lstrip().startswith("::") and "##[" not in text
)
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(foreign)
def test_any_words_are_one_harmless_line(text: str) -> None:
    """No control character, no end of a line, no change of direction, nothing that UTF-8 cannot hold, no command."""
    line = shown(text)
    assert not {unicodedata.category(each) for each in line} & {"Cc", "Cs", "Zl", "Zp"}
    assert not BIDI & set(line)
    assert not line.lstrip().startswith("::")
    assert actions.commands(line) == []
    assert shown(line) == line


@given(plain)
def test_plain_words_are_shown_as_they_are(text: str) -> None:
    """What is harmless stays as it was written."""
    assert shown(text) == text


@given(st.dictionaries(foreign, foreign))
def test_json_for_a_stream_says_the_same_in_ascii(data: dict[str, str]) -> None:
    """It can be read back, any encoding can say it, and no runner takes it for a command."""
    text = json_shown(data, indent=2)
    assert json.loads(text) == data
    assert text.isascii()
    assert all(each.isprintable() or each == "\n" for each in text)
    assert actions.commands(text) == []


@given(st.sampled_from(["error", "warning"]), foreign, foreign)
def test_a_command_of_ours_is_one_command(name: str, title: str, message: str) -> None:
    """Whatever stands in its properties and its message."""
    (found,) = actions.commands(runner_command(name, {"title": title}, message))
    assert found.name == name


@given(foreign)
def test_no_error_speaks_to_the_runner(text: str) -> None:
    """An error that repeats foreign words gives no command, also where it has several lines."""
    with pytest.MonkeyPatch.context() as patch:
        import io

        out = io.StringIO()
        patch.setattr("sys.stderr", out)
        show_error(KlingBatchError(text, hint=text))
        say(text, [text, text], err=True)
        assert actions.commands(out.getvalue()) == []


def test_the_words_of_a_lock_and_a_manifest_stay_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`plan`, which CI runs on a stranger's pull request, says what changed and commands nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.yaml").write_text("version: 1\nproject: p\njobs:\n  - {id: a, prompt: '::error::new'}\n")
    request = {"prompt": "old\n::add-mask::a\r::stop-commands::x\x1b]0;t\x07\x9b\u202e"}
    take: dict[str, Any] = {
        "job_id": "a", "take": 1, "edition": 1, "external_task_id": "x" * 20, "task_id": "1", "units": "0.25",
        "request": request, "files": [],
    }  # fmt: skip
    (tmp_path / "m.yaml.lock").write_text(json.dumps({"version": 1, "project": "p", "takes": [take]}))
    main(["plan", "m.yaml"])
    told = "".join(capsys.readouterr())
    assert actions.commands(told) == []
    assert not set("\x1b\x07\x9b\u202e\r") & set(told)


@pytest.mark.parametrize("scheme", ["javascript", "JavaScript", "data", "vbscript"])
def test_no_scheme_that_runs_something_is_kept_in_markdown(scheme: str) -> None:
    """Its colon is written as an entity."""
    assert f"{scheme}:" not in escaped(f"[x]({scheme}:alert(1))")


@pytest.mark.parametrize("text", ["\u3164=1", "\u2800=1", "\ufe0f=1", "\ufe66SUM(A1)", "\ufe62cmd", "a;\u3164\ufe63"])
def test_no_blank_and_no_small_sign_hides_a_formula(text: str) -> None:
    """A cell that shows itself as one is one."""
    assert "'" in defused(text)
