"""Streams that are closed, full, narrow or left by their reader: the work goes on, and ends as it would have."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kling_batch.sandbox.faults import Call, Rule

PROGRAM = f"{sys.executable} -m kling_batch"
RUN = f"{PROGRAM} run tavern.yaml --yes --select door --verbose --settle-time 0.2 --poll-interval 0.05"


def shell(tavern: Any, words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Have a shell do it, with the checkout on the path wherever it goes."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        ["bash", "-c", words], cwd=tavern.folder, capture_output=True, text=True, errors="replace", check=False,
        env={**os.environ, "PYTHONPATH": path, **environment}, timeout=50,
    )  # fmt: skip


@pytest.mark.parametrize("streams", [">&- 2>&- <&-", "2>&-", ">&-", ">/dev/full 2>&1", "2> >(exec <&-)", "1</dev/null"])
def test_a_paid_run_ends_as_its_work_does(tavern: Any, serve: Any, streams: str) -> None:
    """Whatever becomes of its streams, everything is delivered and told in the report."""
    serve()
    assert shell(tavern, f"{RUN} {streams}").returncode == 0
    assert tavern.report()["summary"]["succeeded"] == 3


@pytest.mark.parametrize("lines", [0, 2, 9])
def test_a_reader_may_leave_a_paid_run(tavern: Any, serve: Any, lines: int) -> None:
    """It goes on in silence, and its exit status is that of the work."""
    serve()
    ended = shell(tavern, f"{RUN} 2>&1 | head -n {lines}; exit ${{PIPESTATUS[0]}}")
    assert ended.returncode == 0
    assert tavern.report()["exit_status"] == 0


def test_a_log_that_fills_its_disk_stops_no_run(tavern: Any, serve: Any) -> None:
    """Nor does it keep the report away; a limit on the size of files is a disk with room for so little."""
    serve()
    code = "import os, resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    code += (
        "os.ftruncate(2, 1 << 30); os.lseek(2, 0, 2); resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30)); "
    )
    code += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    ended = shell(tavern, f"{sys.executable} -c '{code}' {RUN.removeprefix(sys.executable)} 2>log")
    assert ended.returncode == 0
    assert tavern.report()["summary"]["succeeded"] == 3


@pytest.mark.parametrize(("words", "status"), [("plan tavern.yaml", 6), ("--help", 6), ("schema manifest", 6)])
def test_data_that_is_lost_is_told(tavern: Any, words: str, status: int) -> None:
    """A full disk behind stdout ends with words; nobody takes half a plan for a whole one."""
    ended = shell(tavern, f"{PROGRAM} {words} >/dev/full")
    assert (ended.returncode, ended.stderr.splitlines()[0]) == (
        status,
        "The output cannot be written: No space left on device.",
    )


@pytest.mark.parametrize(
    "words", ["plan tavern.yaml", "--help", "validate tavern.yaml --format json", "schema manifest"]
)
@pytest.mark.parametrize("size", [1, 100])
def test_data_that_nobody_reads_is_no_error(tavern: Any, words: str, size: int) -> None:
    """As with any command in front of `head`."""
    ended = shell(tavern, f"{PROGRAM} {words} | head -c {size} >/dev/null; exit ${{PIPESTATUS[0]}}")
    assert (ended.returncode, ended.stderr.replace("tavern.yaml: 3 jobs, 7 takes: valid\n", "")) == (0, "")


def test_an_encoding_that_cannot_say_it_is_no_error(tavern: Any, serve: Any) -> None:
    """A Windows console says an emoji by its number; JSON says it in ASCII."""
    tavern.manifest.write_text(tavern.manifest.read_text().replace("Old oak", "😀"), encoding="utf-8")
    serve()
    ended = shell(
        tavern, f"{RUN}; {PROGRAM} restore tavern.yaml --select door --out new --no-store", PYTHONIOENCODING="cp1252"
    )
    assert ended.returncode == 0
    ended = shell(tavern, f"rm *.lock; {PROGRAM} restore tavern.yaml --out none", PYTHONIOENCODING="cp1252")
    assert ended.returncode == 3
    assert "\\U0001f600" in ended.stdout


def test_a_hang_up_is_a_termination(tavern: Any, serve: Any) -> None:
    """The terminal is closed, twice said: everything known is saved and reported, 143."""
    serve(seconds=3.0)
    ours, theirs = pty.openpty()
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under `nohup`, which is inherited
    process = subprocess.Popen(
        RUN.split(), cwd=tavern.folder, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    signal.signal(signal.SIGHUP, before)
    os.close(theirs)
    said = b""
    while b"in-flight" not in said:
        said += os.read(ours, 65536)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    os.close(ours)
    assert process.wait(timeout=30) == 143
    assert tavern.report()["exit_status"] == 143


def test_a_hang_up_that_is_ignored_stays_so(tavern: Any, serve: Any) -> None:
    """`nohup` keeps a run alive."""
    serve(seconds=1.0)
    assert shell(tavern, f"trap '' HUP; {RUN} & sleep 0.7; kill -HUP $!; wait $!").returncode == 0


def test_twelve_interruptions_end_with_130_and_no_traceback(tavern: Any, serve: Any, rule: Callable[..., Rule]) -> None:
    """Whoever hammers on Ctrl-C is told what happens, and leaves at once."""
    serve(rules=(rule("delay_s", 60.0, on=Call.CREATE),))
    with subprocess.Popen(RUN.split(), cwd=tavern.folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "submitting" in line:
                break
        for _ in range(12):
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert "Traceback" not in rest


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (f"{PROGRAM} run tavern.yaml --concurrency ²", 2, "neither auto nor a number"),
        (f"{PROGRAM} run tavern.yaml --deadline nan", 2, "'nan' is no number of use"),
        (f"{PROGRAM} run tavern.yaml --deadline inf", 2, "'inf' is no number of use"),
        (f"{PROGRAM} run tavern.yaml --max-units 1e999999", 2, "is not an amount of units"),
        (f"{PROGRAM} pick tavern.yaml j=$(printf '9%.0s' {{1..5000}})", 2, "names no take"),
        (f"COLUMNS=$(printf '9%.0s' {{1..5000}}) {PROGRAM} run --help", 0, ""),
        (f"mkdir g; cd g; rmdir ../g; {PROGRAM} run ../tavern.yaml --sandbox", 2, "The working folder is gone"),
        (f"mkdir g; cd g; rmdir ../g; {PROGRAM} run $OLDPWD/tavern.yaml --sandbox", 2, "The working folder is gone"),
        (f"ulimit -n 8; {PROGRAM} run tavern.yaml --sandbox", 6, "too many files are open"),
    ],
)
def test_what_the_outside_does_has_words_and_a_status(tavern: Any, words: str, status: int, said: str) -> None:
    """Numbers that are none, a folder that is gone, no more files."""
    ended = shell(tavern, words)
    assert (ended.returncode, said in ended.stderr) == (status, True), ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_name_that_is_no_utf_8_is_as_good_as_another(tavern: Any, serve: Any) -> None:
    """Sounds and reports stand in the folder, whatever its bytes."""
    serve()
    assert shell(tavern, f"{RUN} --out $'o\\xff'").returncode == 0
    assert tavern.report(Path(os.fsdecode(os.fsencode(tavern.folder) + b"/o\xff")))["summary"]["succeeded"] == 3


START = "import os, sys, threading\nfrom kling_batch.cli import main\n"


def python(tavern: Any, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Have the program run after something was done to the interpreter."""
    return subprocess.run(
        [sys.executable, "-c", START + code], cwd=tavern.folder, capture_output=True, text=True, check=False,
        env={**os.environ, **environment}, timeout=50,
    )  # fmt: skip


def test_no_more_threads_is_told(tavern: Any) -> None:
    """What the machine does not give is no bug."""
    code = (
        'def no(*_, **__): raise RuntimeError("can\'t start new thread")\n'
        "threading._start_new_thread = no\nsys.exit(main(['run', 'tavern.yaml', '--sandbox']))\n"
    )
    ended = python(tavern, code)
    assert (ended.returncode, ended.stderr.splitlines()[-2]) == (6, "The machine gives no more memory or threads.")


def test_no_home_is_told(tavern: Any) -> None:
    """Neither `HOME` nor an entry in passwd."""
    code = "import pathlib, pwd\nos.environ.pop('HOME')\nos.environ.pop('XDG_CACHE_HOME')\n"
    code += "def no(_): raise KeyError\npwd.getpwuid = no\nsys.exit(main(['plan', 'tavern.yaml']))\n"
    ended = python(tavern, code)
    assert (ended.returncode, ended.stderr.splitlines()[0]) == (
        2,
        "There is no home folder in which to keep the store.",
    )


BUG = (
    "from kling_batch.cli.commands import validate\ndef bug(*_, **__): raise ValueError(os.environ['KLING_API_KEY'])\n"
)
BUG += "validate.load = bug\nsys.exit(main(['validate', 'tavern.yaml']))\n"


def test_a_bug_is_a_line_and_a_log_file_without_the_key(tavern: Any) -> None:
    """In the user's state folder; on the terminal there is no traceback."""
    ended = python(tavern, BUG, KLING_API_KEY="secret-of-mine")
    (log,) = (Path(os.environ["XDG_STATE_HOME"]) / "kling-batch" / "logs").glob("*.log")
    assert ended.returncode == 8
    assert str(log) in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "ValueError: [hidden]" in log.read_text()


def test_a_log_file_that_cannot_be_written_changes_nothing(tavern: Any) -> None:
    """There is the line, and the same exit status."""
    code = "import builtins, tempfile\ndef full(*_, **__): raise OSError(28, 'full')\ntempfile.mkstemp = full\n"
    ended = python(tavern, code + BUG, KLING_API_KEY="secret-of-mine")
    assert ended.returncode == 8
    assert "no log file could be written" in ended.stderr


def test_of_countless_problems_the_first_thousand_are_told(tavern: Any) -> None:
    """The rest is counted."""
    rows = "".join(f"a{number},A bell,99\n" for number in range(60_000))
    (tavern.folder / "bad.csv").write_text("id,prompt,duration\n" + rows)
    ended = shell(tavern, f"{PROGRAM} validate bad.csv")
    assert ended.returncode == 2
    assert len(ended.stdout.splitlines()) == 1000
    assert ended.stderr == "1000 problems, and 59000 more found.\n"
