"""Guards round every test, and the rule that nothing may be skipped in silence.

A test reaches nothing beyond this machine's loopback, sees no home folder, no key and no setting of the person who
runs it, and leaves the working folder where it was. `tests/guards` tests these guards.
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOME_VARIABLES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
FOREIGN_PREFIXES = ("KLING_", "GITHUB_")
FOREIGN_NAMES = {"NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "CI"}
FOREIGN_SUFFIX = "_PROXY"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ABSENT_DATA = "data absent:"
"""A skip whose reason begins so is allowed everywhere: the data is too large to ship."""


_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")

# How fast a machine is that others use too says nothing about the program.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


class NetworkForbidden(RuntimeError):
    """A test tried to leave this machine. No OSError, which the code under test would take for bad weather."""


def on_this_machine(host: object) -> bool:
    """Whether a host, as the socket module takes it, is the loopback. None and "" mean this machine."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name is None or name == "":
        return True
    if not isinstance(name, str):
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _forbid(host: object) -> None:
    if not on_this_machine(host):
        raise NetworkForbidden(f"A test tried to reach {host!r}. Tests reach the loopback alone: serve it there.")


def _guarded_address(name: str) -> Callable[..., object]:
    """Guard a method of a socket whose last argument is the address."""
    real = getattr(socket.socket, name)

    def guarded(self: socket.socket, *arguments: Any) -> object:
        if self.family in {socket.AF_INET, socket.AF_INET6} and isinstance(arguments[-1], tuple):
            _forbid(arguments[-1][0])
        return cast("object", real(self, *arguments))

    return guarded


def nobodys(host: object) -> bool:
    """Whether no machine can have this name: one of the domains kept free for tests, or no host name at all."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    labels = name.removesuffix(".").split(".")
    possible = ":" in name or all(_LABEL.fullmatch(label) for label in labels)
    return not possible or labels[-1] in {"invalid", "test"}


def _guarded_lookup(name: str) -> Callable[..., object]:
    """Guard a function of the socket module whose first argument is the host.

    A name that nobody can have is not found, as anywhere, but without asking anyone.
    """
    real = getattr(socket, name)

    def guarded(host: object, *arguments: Any, **options: Any) -> object:
        if not on_this_machine(host) and nobodys(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        _forbid(host)
        return cast("object", real(host, *arguments, **options))

    return guarded


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Close the way out, once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        for method in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, method, _guarded_address(method))
        for function in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
            patch.setattr(socket, function, _guarded_lookup(function))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_sniffio() -> Iterator[None]:
    """Say at once that it is not there: httpcore asks with each request, and Python would look through all folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "sniffio", None)
        yield


def _is_foreign(name: str) -> bool:
    return name in FOREIGN_NAMES or name.startswith(FOREIGN_PREFIXES) or name.upper().endswith(FOREIGN_SUFFIX)


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Name a fresh home folder for the session's own fixtures, then one for every test."""
    base = tmp_path_factory.mktemp("homes")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(_homes: Iterator[Path]) -> Iterator[None]:
    """Take away what the environment says of this person: keys, proxies, colours, the CI it runs in."""
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(_is_foreign, list(os.environ)):
            patch.delenv(name)
        _move_in(next(_homes))
        yield


def _move_in(home: Path) -> None:
    home.mkdir()
    for name in HOME_VARIABLES:
        os.environ[name] = str(home if name == "HOME" else home / name.removesuffix("_HOME").lower())


@pytest.fixture(autouse=True)
def _own_home(_homes: Iterator[Path], _clean_environment: None) -> Iterator[None]:
    """Give the test an empty home, and put the environment back whatever the test did to it."""
    before = dict(os.environ)
    _move_in(next(_homes))
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _same_folder() -> Iterator[None]:
    """Hold a test to leaving the working folder as it was; `monkeypatch.chdir` does."""
    folder = Path.cwd()
    yield
    left = Path.cwd()
    if left != folder:
        os.chdir(folder)
        pytest.fail(f"The test left the working folder at {left}. Change it with monkeypatch.chdir.", pytrace=False)


class SkipWatch:
    """Fails a session in which something was skipped, unless the reason is that data is absent."""

    def __init__(self) -> None:
        self.skipped: dict[str, str] = {}

    def _look_at(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not reason.startswith(ABSENT_DATA):
            self.skipped[report.nodeid] = reason

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """See every test, also those of pytest-xdist's workers."""
        self._look_at(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """See every file: one that skips itself has no tests to skip."""
        self._look_at(report)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Turn a good end into a bad one."""
        if self.skipped and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was skipped, and what to do."""
        if not self.skipped:
            return
        terminalreporter.section("skipped, where nothing may be", red=True)
        for test, reason in self.skipped.items():
            terminalreporter.line(f"{test}: {reason}")
        terminalreporter.line(f"Install the missing part, or begin the reason with {ABSENT_DATA!r}.")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that CI switches on."""
    parser.addoption(
        "--no-skips",
        action="store_true",
        default=os.environ.get("CI", "").lower() not in {"", "0", "false"},
        help=f"Fail when anything is skipped for another reason than {ABSENT_DATA!r}. On by itself where CI is set.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch for skips in the process that decides how the session ends."""
    if config.getoption("--no-skips") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipWatch(), "skip-watch")


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Start an S3 endpoint in another process, on a port that it chooses."""
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = next((line for line in process.stderr if "Running on http" in line), None)
        assert said is not None, "moto_server ended before it served"
        reader = threading.Thread(target=deque, args=(process.stderr, 0))  # a full pipe would stop the server
        reader.start()
        yield said.split()[-1]
        process.terminate()
        reader.join()


@pytest.fixture
def cloud(s3: str) -> dict[str, str]:
    """Say where the S3 endpoint is, in the words of the environment."""
    return {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "ada",
        "AWS_SECRET_ACCESS_KEY": "lovelace",
    }


@pytest.fixture
def bucket(s3: str, tmp_path: Path) -> str:
    """Make a bucket of the test's own, and give its URL."""
    name = f"b{hashlib.sha256(bytes(tmp_path)).hexdigest()[:20]}"
    connection = http.client.HTTPConnection(urlsplit(s3).netloc)
    connection.request("PUT", f"/{name}")
    with connection.getresponse() as answer:
        assert answer.status == 200
    connection.close()
    return f"s3://{name}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a module's tests: while it is there, its loop runs, and nothing else can run one."""
    if CHROMIUM is None:
        pytest.skip("chromium not found: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--mute-audio"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


class Crash(BaseException):
    """The machine stops: nothing in the program catches this."""


class CrashAt:
    """A probe that counts effects and stops the machine at the n-th, from 0; None lets all happen."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.effects: list[str] = []

    def __call__(self, effect: str) -> None:
        if len(self.effects) == self.at:
            raise Crash(effect)
        self.effects.append(effect)


@pytest.fixture
def crash_at() -> type[CrashAt]:
    return CrashAt


@pytest.fixture
def crash() -> type[Crash]:
    return Crash
