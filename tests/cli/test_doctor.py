"""`kling-batch doctor`: over real HTTP with a sandbox, and its verdicts as tables."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kling_batch.cli import checks, main
from kling_batch.cli.checks import BEIJING, Check, State
from kling_batch.cli.commands.doctor import disk
from kling_batch.errors import ExitStatus
from kling_batch.manifest import load
from kling_batch.sandbox.faults import Call, Effect, Rule
from kling_batch.sandbox.settings import SANDBOX_ACCESS_KEY, SANDBOX_API_KEY, SANDBOX_SECRET_KEY
from kling_batch.service.client import DEFAULT_BASE_URL
from kling_batch.service.codes import reaction
from kling_batch.service.outcomes import Refused

MANIFEST = "version: 1\nproject: p\njobs:\n  - {id: a, prompt: A bell, takes: 3}\n"
Doctor = Callable[..., tuple[int, dict[str, dict[str, Any]]]]


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Call the doctor in an empty folder; gives the exit status and its checks by name."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
        status = main(["doctor", *arguments, "--format", "json"])
        told = capsys.readouterr()
        for secret in (SANDBOX_ACCESS_KEY, SANDBOX_SECRET_KEY, SANDBOX_API_KEY, "a-wrong-key"):
            assert secret not in told.out + told.err
        found = json.loads(told.out)
        assert found["exit_status"] == status
        assert found["fine"] is (status == 0)
        return status, {row["check"]: row for row in found["checks"]}

    return call


def refusing(code: int) -> tuple[Rule, ...]:
    return (Rule(on=frozenset({Call.ACCOUNT}), effect=Effect(name="refuse", value=code)),)


def test_a_sound_machine_is_fine(doctor: Doctor, serve: Any, tmp_path: Path) -> None:
    """Every check passes, by one free call, and nothing is left on the disk."""
    server = serve()
    status, found = doctor()
    assert status == 0
    assert {row["state"] for row in found.values()} == {"ok"}
    assert set(found) >= {"program", "sound", "disk", "store", "access", "address", "service", "clock"}
    assert dict(server.world.ledger.requests) == {"account": 1}
    assert list(tmp_path.iterdir()) == []


def test_the_answer_says_what_is_left(doctor: Doctor, serve: Any) -> None:
    """The key is accepted, and the account can pay."""
    serve()
    assert doctor()[1]["service"]["message"] == "the key is accepted; 1 resource pack, 5000 units left"


def test_a_person_reads_lines(serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A check a line, the conclusion last."""
    serve()
    assert main(["doctor"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("ok       program   kling-batch ")
    assert told.err == "Everything is fine.\n"


def test_missing_keys_are_a_matter_of_configuration(doctor: Doctor) -> None:
    """Exit status 2, with the names of the variables, and no call to anybody."""
    status, found = doctor()
    assert status == 2
    assert "KLING_API_KEY" in found["access"]["message"]
    assert "service" not in found


def test_a_wrong_key_may_be_one_of_another_region(doctor: Doctor, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """1002 says either: exit status 5, and what to do about both."""
    serve()
    monkeypatch.setenv("KLING_API_KEY", "a-wrong-key")
    status, found = doctor()
    assert status == 5
    assert "1002" in found["service"]["message"]
    assert (
        f"set KLING_BASE_URL to the region where it was made: {DEFAULT_BASE_URL} or {BEIJING}."
        in found["service"]["hint"]
    )


def test_a_beijing_key_is_pointed_to_singapore_and_back() -> None:
    """The other region than the one that was asked."""
    refused = Refused(code=1002, reaction=reaction(1002, 401), message="api key not found")
    assert f"made: {DEFAULT_BASE_URL}." in str(checks.service(refused, BEIJING).hint)
    assert f"made: {BEIJING}." in str(checks.service(refused, DEFAULT_BASE_URL).hint)


@pytest.mark.parametrize(("code", "status"), [(1101, 5), (1103, 5), (1304, 5), (1202, 6), (1302, 0)])
def test_what_the_service_refuses_decides(doctor: Doctor, serve: Any, code: int, status: int) -> None:
    """An account that needs a person ends with 5, a call that is not known with 6; a busy service is a warning."""
    serve(rules=refusing(code))
    ended, found = doctor()
    assert ended == status
    assert str(code) in found["service"]["message"]
    assert found["service"]["hint"]


def test_a_service_that_is_not_there_ends_with_6(doctor: Doctor, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network, proxy or address: all are named."""
    serve()
    monkeypatch.setenv("KLING_BASE_URL", "http://127.0.0.1:9")
    status, found = doctor()
    assert status == 6
    assert "KLING_BASE_URL" in found["service"]["hint"]
    assert "clock" not in found


@pytest.mark.parametrize(("ahead_s", "state"), [(60.0, "warning"), (-300.0, "warning"), (-2.0, "ok"), (2.0, "ok")])
def test_a_clock_is_compared_with_the_services(doctor: Doctor, serve: Any, ahead_s: float, state: str) -> None:
    """By the `Date` of an answer; the run itself corrects its tokens, so that this is a warning and exit status 0."""
    serve(now=lambda: time.time() - ahead_s)
    status, found = doctor()
    assert (status, found["clock"]["state"]) == (0, state)
    assert ("ahead of" in found["clock"]["message"]) is (ahead_s > 0)


@pytest.mark.parametrize(
    ("ahead_s", "state", "words"),
    [
        (0.4, State.OK, "within a second"),
        (5.0, State.OK, "5 s ahead of"),
        (5.6, State.WARNING, "(1003)"),
        (-60.0, State.OK, "60 s behind"),
        (-61.0, State.WARNING, "(1004)"),
        (None, State.WARNING, "did not say"),
    ],
)
def test_a_token_bears_five_seconds_ahead(ahead_s: float | None, state: State, words: str) -> None:
    """What the service allows, to the second."""
    check = checks.clock(ahead_s)
    assert check.state is state
    assert words in check.message


def test_a_manifest_is_looked_at(doctor: Doctor, serve: Any, tmp_path: Path) -> None:
    """Its takes, its output folder, and the room that its sounds need."""
    serve()
    (tmp_path / "m.yaml").write_text(MANIFEST)
    status, found = doctor("m.yaml")
    assert status == 0
    assert found["manifest"]["message"] == "m.yaml: 1 job, 3 takes"
    assert found["disk"]["message"].startswith("out/p: ")
    assert "3 takes may need 5 MB" in found["room"]["message"]


@pytest.mark.parametrize("text", [None, "version: 1\nproject: p\njobs: []\n"])
def test_a_manifest_that_is_none_ends_with_2(doctor: Doctor, serve: Any, tmp_path: Path, text: str | None) -> None:
    """Missing, or with problems that `validate` shows."""
    serve()
    if text is not None:
        (tmp_path / "m.yaml").write_text(text)
    status, found = doctor("m.yaml")
    assert status == 2
    assert found["manifest"]["state"] == "problem"


def test_a_folder_that_cannot_be_written_ends_with_6(doctor: Doctor, serve: Any, tmp_path: Path) -> None:
    """With the reason, before a run finds out."""
    serve()
    (tmp_path / "file").touch()
    status, found = doctor("--out", "file/out")
    assert status == 6
    assert "a file stands where a folder is needed" in found["disk"]["message"]


def test_a_network_disk_ends_with_6(tmp_path: Path) -> None:
    """A journal is not safe there."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text("1 1 8:1 / / rw - ext4 x rw\n2 1 8:1 / /team rw - nfs4 x rw\n")
    (check,) = disk(Path("/team/out"), None, mounts)
    assert (check.state, check.exit_status) == (State.PROBLEM, ExitStatus.NOT_FINISHED)
    assert "nfs4" in check.message


def test_a_store_that_cannot_be_written_is_a_warning(doctor: Doctor, serve: Any, tmp_path: Path) -> None:
    """A run goes on without it."""
    serve()
    (tmp_path / "file").touch()
    status, found = doctor("--store", "file/store")
    assert (status, found["store"]["state"]) == (0, "warning")
    assert "a file stands where a folder is needed" in found["store"]["message"]


def test_a_store_that_is_none_ends_with_2(doctor: Doctor, serve: Any) -> None:
    """A run would refuse it, too."""
    serve()
    status, found = doctor("--store", "ftp://somewhere/x")
    assert (status, found["store"]["state"]) == (2, "problem")


@pytest.mark.parametrize(
    ("free", "state"), [(99e6, State.PROBLEM), (500e6, State.WARNING), (2e9, State.OK), (1e12, State.OK)]
)
def test_room_on_the_disk(free: float, state: State) -> None:
    """Below a gigabyte it is tight, below a tenth of it nothing is begun."""
    assert checks.room(free, None).state is state


def test_room_for_a_large_manifest(tmp_path: Path) -> None:
    """2 GB are enough for three bells, and not for a thousand of ten seconds with copies."""
    (tmp_path / "m.yaml").write_text(MANIFEST.replace("takes: 3", "takes: 1000, duration: 10.0"))
    assert checks.room(2e9, load(tmp_path / "m.yaml")).state is State.WARNING
    assert checks.room(4e9, load(tmp_path / "m.yaml")).state is State.OK


@pytest.mark.parametrize(
    ("url", "state", "words"),
    [
        (DEFAULT_BASE_URL, State.OK, "outside mainland China"),
        (BEIJING, State.OK, "in mainland China"),
        ("https://api.klingai.com", State.WARNING, "old address"),
        ("http://localhost:8000", State.OK, "none of the known regions"),
    ],
)
def test_the_region_is_named(url: str, state: State, words: str) -> None:
    """Keys belong to one."""
    check = checks.address(url)
    assert check.state is state
    assert words in check.message


def test_a_decoder_without_mp3_is_a_warning() -> None:
    """Only files of that format cannot be verified."""
    assert checks.sound("1.0.31", frozenset({"wav"})).state is State.WARNING
    assert checks.sound("1.2.2", frozenset({"wav", "mp3"})).state is State.OK


@pytest.mark.parametrize(("statuses", "ends"), [((), 0), ((6,), 6), ((6, 5), 5), ((5, 2, 6), 2)])
def test_what_has_to_be_mended_first_decides(statuses: tuple[int, ...], ends: int) -> None:
    """The configuration before the account, the account before service and disk; warnings do not count."""
    found = [Check(name="x", state=State.PROBLEM, message="m", exit_status=ExitStatus(status)) for status in statuses]
    warning = Check(name="y", state=State.WARNING, message="m")
    assert checks.exit_status([warning, *found]) == ends
