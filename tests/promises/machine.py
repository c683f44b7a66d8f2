"""A machine with a home of its own, on which a person starts the program from a shell or from a terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from kling_batch.cli import main
from tests.promises.service import KEY, Service

CHECKOUT = Path(__file__).parents[2]
OUT = "sounds"
_PROGRAM = (sys.executable, "-m", "kling_batch")
_LONGEST_S = 70.0
_NOTHING = re.compile(r"(?!)")
_STOPPED = re.compile(r"stopped: (\d+)")
_BACKGROUND = """
set -m
stty tostop
"$@" &
wait %1
echo "stopped: $!"
read -r _
fg %1
"""
"""Prints the id of the job that was stopped, waits for a line, and ends as the job does."""
_QUESTION = re.compile(r"\[y/n\]|\?\s*$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a program ended, what it said, and its report."""

    status: int
    out: str
    said: str
    report: Mapping[str, Any]

    @property
    def takes(self) -> dict[str, Mapping[str, Any]]:
        """The report's takes, as `job:number`."""
        return {f"{take['job_id']}:{take['take']}": take for take in self.report.get("takes", [])}

    @property
    def statuses(self) -> list[str]:
        """The status of each take, in the report's order."""
        return [take["status"] for take in self.takes.values()]

    @property
    def done(self) -> bool:
        """Whether everything was made: by the exit status and by the report."""
        return self.status == 0 and set(self.statuses) == {"succeeded"}


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@contextmanager
def _ended_within(seconds: float) -> Iterator[None]:
    """Fail where it takes longer: nobody could kill what runs in this process."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("The program did not end."))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A home folder, with a copy of the manifest and an output folder."""

    home: Path
    service: Service
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the manifest is, and where the program is started."""
        return self.home / "work"

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.folder / OUT

    def write(self, *jobs: str, **fields: Any) -> Machine:
        """Write a manifest of these jobs, each with the same further fields; `limits` stands above them."""
        limits = fields.pop("limits", {})
        described = [{"id": job, "prompt": f"A sound called {job}", "duration": 3.0, **fields} for job in jobs]
        return self._written(described, limits)

    def speak(self, *jobs: str) -> Machine:
        """Write a manifest of jobs that are spoken."""
        voice = {"kind": "text-to-speech", "voice_id": "oversea_male1", "voice_language": "en"}
        return self._written([{"id": job, "text": f"Hello {job}", **voice} for job in jobs], {})

    def _written(self, described: list[dict[str, Any]], limits: dict[str, Any]) -> Machine:
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest = {"version": 1, "project": "set", "limits": limits, "jobs": described}
        (self.folder / "set.json").write_text(json.dumps(manifest), encoding="utf-8")
        return self

    def command(self, verb: str, *options: str, manifest: str = "set.json", out: str = OUT) -> list[str]:
        """Word a command with the quick settings of these tests."""
        quick = [] if verb in {"plan", "restore"} else ["--settle-time", "1", "--poll-interval", "0.05"]
        return [*_PROGRAM, verb, manifest, "--out", out, *quick, *options]

    def variables(self) -> dict[str, str]:
        """The environment of this machine's shell; the program is the one of PYTHONPATH, else of this checkout."""
        home = self.home
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(CHECKOUT)])),
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
            "KLING_API_KEY": KEY,
            "KLING_BASE_URL": self.service.url,
            **self.environment,
        }

    @contextmanager
    def started(self, *options: str, verb: str = "run", **where: str) -> Iterator[subprocess.Popen[str]]:
        """Have a program run beside the test; what is left of it is killed."""
        said = subprocess.PIPE
        with subprocess.Popen(
            self.command(verb, *options, **where),
            cwd=self.folder, env=self.variables(), stdin=subprocess.DEVNULL, stdout=said, stderr=said, text=True,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()

    def run(self, *options: str, verb: str = "run", timeout_s: float = _LONGEST_S, **where: str) -> Ended:
        """Call the command line, where nobody can be asked, and see it to its end.

        That is done in this process, as most of the time of a process is its start.
        """
        return self._called(self.command(verb, *options, **where), timeout_s=timeout_s, out=where.get("out", OUT))

    def process(self, *options: str, verb: str = "run", **where: str) -> Ended:
        """Do the same with a process of its own."""
        with self.started(*options, verb=verb, **where) as process:
            return self.ended(process, out=where.get("out", OUT))

    def ended(self, process: subprocess.Popen[str], *, timeout_s: float = _LONGEST_S, out: str = OUT) -> Ended:
        """See a program to its end."""
        printed, said = process.communicate(timeout=timeout_s)
        return Ended(status=process.returncode, out=printed, said=said, report=self.report(out))

    def ask(self, verb: str, *options: str) -> Ended:
        """Ask the service something that needs no manifest."""
        return self._called([*_PROGRAM, verb, *options])

    def _called(self, command: list[str], *, timeout_s: float = _LONGEST_S, out: str = OUT) -> Ended:
        printed, said = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2))
        with (
            redirect_stdout(printed), redirect_stderr(said), chdir(self.folder),
            patch.dict(os.environ, self.variables(), clear=True), _ended_within(timeout_s),
        ):  # fmt: skip
            status = main(command[len(_PROGRAM) :])
        return Ended(status=status, out=_text(printed), said=_text(said), report=self.report(out))

    def killed_at(self, condition: Callable[[Service], bool], *options: str) -> None:
        """Run, and pull the plug as soon as the service's books fulfil a condition."""
        with self.started("--yes", *options) as process:
            self.service.wait_for(condition)
            process.kill()
            process.communicate()

    @contextmanager
    def terminal(self, *options: str) -> Iterator[Terminal]:
        """Have a person run the program on a terminal, who has not answered yet."""
        ours, theirs = pty.openpty()
        try:
            process = subprocess.Popen(
                self.command("run", *options),
                cwd=self.folder, env=self.variables(), stdin=theirs, stdout=theirs, stderr=theirs,
            )  # fmt: skip
        finally:
            os.close(theirs)
        try:
            yield Terminal(machine=self, process=process, screen=ours)
        finally:
            process.kill()
            process.wait()
            os.close(ours)

    @contextmanager
    def background(self, *options: str) -> Iterator[Terminal]:
        """Have the program run in the background of a terminal that stops it when it first writes there."""
        ours, theirs = pty.openpty()
        try:
            shell = subprocess.Popen(
                ["setsid", "--ctty", "bash", "-c", _BACKGROUND, "bash", *self.command("run", *options)],
                cwd=self.folder, env=self.variables(), stdin=theirs, stdout=theirs, stderr=theirs,
            )  # fmt: skip
        finally:
            os.close(theirs)
        terminal = Terminal(machine=self, process=shell, screen=ours)
        job = 0
        try:
            stopped = terminal.shows(_STOPPED)
            assert stopped, terminal.shown
            job = int(stopped[1])
            yield terminal
        finally:
            if job and shell.poll() is None:
                os.killpg(job, signal.SIGKILL)
            shell.kill()
            shell.wait()
            os.close(ours)

    def report(self, out: str = OUT) -> Mapping[str, Any]:
        """Read the last report; empty where there is none."""
        path = self.folder / out / "report.json"
        read: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return read


@dataclass(kw_only=True)
class Terminal:
    """A program on a terminal."""

    machine: Machine
    process: subprocess.Popen[bytes]
    screen: int
    shown: str = ""

    def question(self) -> bool:
        """Wait for a question; False where the program has ended without one."""
        return self.shows(_QUESTION) is not None

    def shows(self, words: re.Pattern[str], *, timeout_s: float = _LONGEST_S) -> re.Match[str] | None:
        """Wait for words that were not shown before; None where the program has ended without them."""
        seen, due = len(self.shown), time.monotonic() + timeout_s
        while text := self._read(due - time.monotonic()):
            self.shown += text
            if found := words.search(self.shown, seen):
                return found
        return None

    def foreground(self, *, timeout_s: float) -> Ended:
        """Let a program that was stopped in the background go on, and see it end."""
        os.write(self.screen, b"\n")
        self.shows(_NOTHING, timeout_s=timeout_s)
        return self._ended()

    def answer(self, *answers: str) -> Ended:
        """Answer this question and those that follow, the last answer again and again, and see the program end."""
        for word in self._repeated(answers):
            os.write(self.screen, f"{word}\n".encode())
            if not self.question():
                break
        return self._ended()

    def _ended(self) -> Ended:
        return Ended(status=self.process.wait(), out="", said=self.shown, report=self.machine.report())

    @staticmethod
    def _repeated(answers: Sequence[str]) -> Iterator[str]:
        yield from answers
        while True:
            yield answers[-1]

    def _read(self, timeout_s: float) -> str:
        """Read what is shown next; nothing where the program has ended.

        Raises:
            TimeoutError: Nothing was shown for so long.
        """
        if not select.select([self.screen], [], [], max(0.0, timeout_s))[0]:
            raise TimeoutError(f"The program neither ended nor went on: {self.shown}")
        try:
            return os.read(self.screen, 65536).decode(errors="replace")
        except OSError:  # the other end is closed
            return ""
