"""A service that nobody reaches is told of soon, and waited for only for a moment; waits that are meant count down."""

from __future__ import annotations

import re
import socket
import subprocess
import termios
from collections.abc import Iterator

import pytest

from kling_batch.api.access import Access
from kling_batch.cli.environment import reader_of
from tests.promises.machine import Machine
from tests.promises.service import DROP

UNREACHED = re.compile(r"cannot connect to 127\.0\.0\.1:\d+: .+; trying again, (\d+) s left")


@pytest.fixture
def nowhere(machine: Machine) -> Iterator[Machine]:
    """Point a machine at a port where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        machine.environment["KLING_BASE_URL"] = f"http://127.0.0.1:{held.getsockname()[1]}"
        yield machine.write("a")


def first_told(process: subprocess.Popen[str]) -> re.Match[str]:
    """Wait until it is said that nobody can be reached."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := UNREACHED.search(line):
            return found
    raise AssertionError("it ended without a word")


@pytest.mark.parametrize("options", [(), ("--verbose",), ("--log-format", "json")], ids=["plain", "verbose", "json"])
def test_a_run_without_network_says_so(nowhere: Machine, options: tuple[str, ...]) -> None:
    """After three seconds: whom it cannot reach, why, and how long it still tries."""
    with nowhere.started("--yes", *options) as process:
        if options == ("--log-format", "json"):
            assert process.stderr is not None
            assert any('"event": "Unanswered"' in line for line in process.stderr)
        else:
            assert 20 <= int(first_told(process)[1]) <= 27


def test_a_run_without_network_ends_soon(nowhere: Machine) -> None:
    """And resumes when it is run again; nothing was written that keeps it from that."""
    ended = nowhere.run("--yes", "--patience", "1")
    assert (ended.status, "could not be read for 1 s: cannot connect to" in ended.said) == (6, True), ended.said
    del nowhere.environment["KLING_BASE_URL"]
    assert nowhere.run("--yes").done


def test_a_run_that_has_only_to_wait_for_a_task_says_so(machine: Machine) -> None:
    """Where nothing is to be looked for, polling is what fails."""
    machine.service.generation_s = 30.0
    machine.write("a").killed_at(lambda service: service.watched)
    machine.service.meddle = lambda _: DROP
    with machine.started("--yes") as process:
        assert process.stderr is not None
        assert any("; trying again, 2" in line for line in process.stderr)


@pytest.mark.parametrize("command", ["account", "tasks"])
def test_a_question_has_a_bound_of_its_own(nowhere: Machine, command: str) -> None:
    """It says as soon why it waits, and its advice names no option that it lacks."""
    process = subprocess.Popen(
        [*nowhere.command("plan")[:3], command],
        cwd=nowhere.folder, env=nowhere.variables(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert int(first_told(process)[1]) <= 17
        process.kill()
    service, _ = Access.of({"KLING_API_KEY": "none"}).service()
    assert "--patience" not in (reader_of(service).gave_up("no answer").hint or "")


def test_the_first_look_counts_down(machine: Machine) -> None:
    """On a terminal the line says every second when it looks again, and the reason stands above."""
    machine.environment["TERM"] = "xterm"
    machine.write("a")
    with machine.terminal("--yes", "--settle-time", "5") as terminal:
        termios.tcsetwinsize(terminal.screen, (24, 100))
        assert terminal.shows(re.compile(r"looking through the account for 1 take .*twice, 5 s apart"))
        first = terminal.shows(re.compile(r"looks again in (\d) s"))
        second = terminal.shows(re.compile(r"looks again in ([123]) s"))
    assert first is not None
    assert second is not None
