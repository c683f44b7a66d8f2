"""What a person sees: the program on a real pseudo-terminal, against a sandbox on a real socket."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import click
import pytest

from kling_batch.sandbox.faults import Call, Rule

SGR = re.compile(r"\x1b\[[0-9;]*m")
TAKES = 7


@dataclass(kw_only=True)
class Screen:
    """A program on a terminal of its own, and all that it wrote there."""

    process: subprocess.Popen[bytes]
    terminal: int
    text: str = field(default="")

    def read_until(self, word: str) -> None:
        """Read what is written until a word comes."""
        while word not in self.text:
            assert self._read(), f"it ended without {word!r}:\n{self.text}"

    def read_all(self) -> int:
        """Read to the end, and give the exit status."""
        while self._read():
            pass
        return self.process.wait(timeout=30)

    def _read(self) -> bool:
        try:
            piece = os.read(self.terminal, 65536)
        except OSError:  # Linux says so when the last writer is gone
            piece = b""
        self.text += piece.decode()
        return bool(piece)

    @property
    def lines(self) -> list[str]:
        """Everything that stood on a line at some time, without colours."""
        return [line for line in re.split(r"[\r\n]+", click.unstyle(self.text)) if line.strip()]

    @property
    def bars(self) -> list[str]:
        """Every state of the bar."""
        return [line for line in self.lines if " done, " in line and "%" in line]


Start = Callable[..., Screen]


@pytest.fixture
def on_terminal(tavern: Any, request: pytest.FixtureRequest) -> Start:
    """Start the program on a terminal of some width."""

    def start(*words: str, columns: int = 80, **environment: str) -> Screen:
        ours, theirs = os.openpty()
        request.addfinalizer(lambda: os.close(ours))
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        command = [sys.executable, "-m", "kling_batch", *words]
        process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=tavern.folder,
            env={**os.environ, "TERM": "xterm", **environment},
            start_new_session=True,
        )
        os.close(theirs)
        return Screen(process=process, terminal=ours)

    return start


@pytest.mark.parametrize(
    ("options", "environment", "opened"),
    [((), {"CI": ""}, True), (("--no-open",), {"CI": ""}, False), ((), {"CI": "true"}, False)],
)
def test_the_demo_opens_its_page(
    on_terminal: Start, tavern: Any, options: tuple[str, ...], environment: dict[str, str], opened: bool
) -> None:
    """In the user's browser, unless it is told not to, or runs in CI; a manifest that is there is used as it is."""
    demo, browser = tavern.folder / "show", tavern.folder / "browser"
    demo.mkdir()
    (demo / "fireworks.yaml").write_text("version: 1\nproject: fireworks\njobs:\n  - {id: bang, prompt: A bang}\n")
    browser.write_text('#!/bin/sh\necho "$1" > opened\n')
    browser.chmod(0o755)
    screen = on_terminal("demo", "show", *options, BROWSER=str(browser), **environment)
    assert screen.read_all() == 0
    assert "sandbox: nothing spent" in screen.text
    page = demo / "out" / "fireworks.sandbox" / "report.html"
    told = tavern.folder / "opened"
    assert (told.read_text() if told.exists() else "") == (f"{page.as_uri()}\n" if opened else "")
    assert page.is_file()


RUN = ("run", "tavern.yaml", "--yes", "--settle-time", "0.2", "--poll-interval", "0.05")


def test_the_bar_says_where_the_run_stands(serve: Any, on_terminal: Start) -> None:
    """Done, in flight, downloading, waiting, units, time left and pace, from the first second to the last."""
    serve(seconds=1.5)
    screen = on_terminal(*RUN, "--concurrency", "4", columns=120)
    assert screen.read_all() == 0
    form = (
        r" *\d+%\|.*\| \d/7 done,(?: looks again in \d+ s,)? \d in flight, \d downloading, \d waiting, \d\.\d\d units"
    )
    assert [bar for bar in screen.bars if not re.match(form, bar)] == []
    assert any("4 in flight, 0 downloading, 3 waiting" in bar for bar in screen.bars)
    assert any(re.search(r"units, \d\d:\d\d left, *[\d.]+(take/s|s/take)$", bar.rstrip()) for bar in screen.bars)
    assert screen.bars[-1].startswith("100%")
    assert "7/7 done" in screen.bars[-1]


@pytest.mark.parametrize("columns", [120, 40, 12])
def test_the_bar_stays_on_its_line(serve: Any, on_terminal: Start, columns: int) -> None:
    """What does not fit is left out."""
    serve()
    screen = on_terminal(*RUN, columns=columns)
    assert screen.read_all() == 0
    drawn = [line for line in screen.lines if re.match(r" *\d+%", line)]
    assert drawn
    assert all(len(line) <= columns for line in drawn)


def test_takes_that_were_done_before_are_counted(tavern: Any, serve: Any, on_terminal: Start) -> None:
    """A run that resumes begins where the last one ended."""
    serve()
    tavern.run("--select", "door")
    screen = on_terminal(*RUN)
    assert screen.read_all() == 0
    assert "3/7 done" in screen.bars[0]
    assert "7/7 done" in screen.bars[-1]


def test_failures_are_told_at_the_end_with_what_to_do(
    serve: Any, on_terminal: Start, rule: Callable[..., Rule]
) -> None:
    """Those of one kind together, in red where colour is wanted, and in the same words without."""
    serve(rules=(rule("refuse", 1301, on=Call.CREATE, match="door"),))
    screen = on_terminal(*RUN)
    assert screen.read_all() == 1
    assert any("3 failed" in bar for bar in screen.bars)
    assert "\x1b[31m3 failed" in screen.text
    wrong = next(
        number for number, line in enumerate(screen.lines) if line.startswith("door:1, door:2, door:3: failed")
    )
    assert "1301" in screen.lines[wrong]
    assert screen.lines[wrong + 1].startswith("  Reword")


def test_no_colour_where_none_is_wanted(serve: Any, on_terminal: Start, rule: Callable[..., Rule]) -> None:
    """`NO_COLOR` takes every colour away, of the bar, of the plan and of errors."""
    serve(rules=(rule("refuse", 1301, on=Call.CREATE, match="door"),))
    for words in (RUN, ("plan", "tavern.yaml"), ("run", "nowhere.yaml")):
        assert SGR.search(_all(on_terminal(*words)))
        assert not SGR.search(_all(on_terminal(*words, NO_COLOR="1")))


def _all(screen: Screen) -> str:
    screen.read_all()
    return screen.text


def test_a_dumb_terminal_gets_lines(serve: Any, on_terminal: Start) -> None:
    """No bar, nothing drawn over, no colour."""
    serve()
    text = _all(on_terminal(*RUN, TERM="dumb"))
    assert "%" not in text
    assert "\x1b" not in text
    assert "\r" not in text.replace("\r\n", "\n")


def test_off_a_terminal_there_is_nothing_but_text(tavern: Any, serve: Any, rule: Callable[..., Rule]) -> None:
    """No bar, no escape code, no carriage return, in whatever goes to a file or a log; colour only when asked for."""
    serve(rules=(rule("refuse", 1301, on=Call.CREATE, match="door"),))
    for words in (RUN, ("plan", "tavern.yaml")):
        command = [sys.executable, "-m", "kling_batch", *words]
        plain = subprocess.run(command, cwd=tavern.folder, capture_output=True, check=False)
        assert not re.search(rb"[\x1b\r]", plain.stdout + plain.stderr)
        asked = {**os.environ, "FORCE_COLOR": "1"}
        coloured = subprocess.run(command, cwd=tavern.folder, capture_output=True, check=False, env=asked)
        assert b"\x1b[" in coloured.stdout + coloured.stderr


def test_an_interruption_stands_on_a_line_of_its_own(serve: Any, on_terminal: Start) -> None:
    """It does not tear the bar, which is left whole."""
    serve(seconds=3.0)
    screen = on_terminal(*RUN)
    screen.read_until("7 in flight")
    screen.process.send_signal(signal.SIGINT)
    assert screen.read_all() == 130
    assert "Stopping: saving what is known. Once more stops at once." in [line.strip() for line in screen.lines]
    assert "Interrupted." in screen.lines


def test_a_warning_stands_above_the_bar(tavern: Any, serve: Any, on_terminal: Start) -> None:
    """It is a line of its own, and the bar goes on below it."""
    serve(seconds=0.5)
    (tavern.folder / "blocked").write_text("a file in the way of a store")
    screen = on_terminal(*RUN, "--store", "blocked", columns=120)
    assert screen.read_all() == 0
    warned = next(n for n, line in enumerate(screen.lines) if line.startswith("Nothing more is kept in the store: "))
    assert any(bar in screen.lines[warned + 1 :] for bar in screen.bars)
    assert all(bar.startswith("  0%") is (" 0/7 done" in bar) for bar in screen.bars)
