"""The main job over real HTTP: manifest in, verified sounds and a report out. The sandbox's books are the truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from kling_batch.cli import main
from kling_batch.sandbox.faults import Call, Rule
from kling_batch.sandbox.settings import Behaviour

TAKES = 7


def test_a_run_brings_every_file_home(tavern: Any, serve: Any) -> None:
    """Every take of the manifest ends as verified files, and the report says so."""
    serve()
    assert tavern.run() == 0
    assert len(tavern.sounds()) == TAKES * 2
    assert "steps/wet-stone/step-wet-stone-02.mp3" in tavern.sounds()
    assert tavern.report()["summary"]["succeeded"] == TAKES
    assert main(["verify", str(tavern.manifest)]) == 0


def test_a_second_run_sends_nothing(tavern: Any, serve: Any) -> None:
    """What is done is not asked for again: not even a read."""
    server = serve()
    tavern.run()
    before = dict(server.world.ledger.requests)
    assert tavern.run() == 0
    assert dict(server.world.ledger.requests) == before
    assert {take["origin"] for take in tavern.report()["takes"]} == {"kept"}


def test_a_finished_batch_needs_no_keys(tavern: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is to be asked, nobody has to say who asks."""
    serve()
    tavern.run()
    monkeypatch.delenv("KLING_SECRET_KEY")
    assert tavern.run() == 0


@pytest.mark.parametrize(("asked", "allowed"), [("2", 50), ("5", 3), ("auto", 2), ("auto", 50)])
def test_tasks_in_flight_stay_within_both_limits(tavern: Any, serve: Any, asked: str, allowed: int) -> None:
    """Neither what was asked for nor what the account allows is exceeded, by the sandbox's count."""
    server = serve(concurrency=allowed)
    assert tavern.run("--concurrency", asked) == 0
    assert server.world.ledger.in_flight_max <= min(allowed, int(asked) if asked != "auto" else allowed)
    assert len(server.world.ledger.tasks) == TAKES


LENGTHS = """
version: 1
project: tavern
jobs:
  - {id: short, prompt: A knock, duration: 3.0}
  - {id: long, prompt: A storm, duration: 10.0}
  - {id: middle, prompt: A song, duration: 6.0}
"""


def test_takes_are_sent_in_the_manifests_order(tavern: Any, serve: Any) -> None:
    """What stands first matters first: a deadline or a budget leaves out the last."""
    server = serve(concurrency=1)
    tavern.manifest.write_text(LENGTHS, encoding="utf-8")
    tavern.run("--concurrency", "1", "--max-units", "0.50")
    made = {take["external_task_id"]: take["job_id"] for take in tavern.report()["takes"]}
    assert [made[task.external_id] for task in server.world.ledger.tasks] == ["short", "long"]


def test_the_report_tells_how_the_limit_was_found(tavern: Any, serve: Any) -> None:
    """From the beginning of auto over the account's refusal; also where the report is written again."""
    serve(concurrency=2, seconds=0.5)
    assert tavern.run() == 0
    limits = tavern.report()["limits"]
    assert (limits[0]["limit"], limits[0]["reason"]) == (4, "the beginning of auto")
    assert {"at", "limit", "reason"} == set(limits[1])
    assert any(point["limit"] <= 2 and "1303" in point["reason"] for point in limits)
    assert main(["report", str(tavern.manifest)]) == 0
    assert tavern.report()["limits"] == limits


def test_in_process_and_over_http_the_report_is_the_same(tavern: Any, serve: Any) -> None:
    """The sandbox inside the process and behind sockets are one service, but for times and ids, and the word for it."""
    serve()
    tavern.run("--out", "http", "--concurrency", "4")
    alike = ("--concurrency", "4", "--poll-interval", "0.05")
    assert main(["run", str(tavern.manifest), "--sandbox", "--out", "inside", *alike]) == 0
    over_http, inside = (_timeless(tavern.report(tavern.folder / name)) for name in ("http", "inside"))
    assert (over_http.pop("sandbox"), inside.pop("sandbox")) == (False, True)
    assert over_http == inside


def _timeless(report: dict[str, Any]) -> dict[str, Any]:
    report["started_at"] = report["finished_at"] = None
    report["summary"]["seconds"] = report["summary"]["api_requests"] = None
    for point in report["limits"]:
        point["at"] = None
    for take in report["takes"]:
        take["task_id"] = take["submitted_at"] = take["finished_at"] = None
        for file in take["files"]:
            file["sha256"] = file["bytes"] = file["duration"] = None
    return report


@pytest.mark.parametrize("effect", ["cut", "corrupt", "wrong-type", "wrong-format"])
def test_a_bad_file_never_gets_its_final_name(tavern: Any, serve: Any, rule: Callable[..., Rule], effect: str) -> None:
    """A truncated, damaged or foreign file is refused; the take is named as paid and undelivered."""
    server = serve(rules=(rule(effect),))
    assert tavern.run("--deadline", "20", "--select", "door:1") in {1, 6}
    assert "door-01.wav" not in tavern.sounds()
    [take] = tavern.report()["takes"]
    assert "Paid for and not delivered" in take["error"]["message"]
    assert take["task_id"] in take["error"]["message"]
    assert len(server.world.ledger.tasks) == 1


def test_a_sound_that_comes_short_twice_is_taken_with_a_warning(
    tavern: Any, serve: Any, rule: Callable[..., Rule]
) -> None:
    """It is what the service made, as far as anybody can tell; the report says so."""
    serve(rules=(rule("wrong-length"),))
    assert tavern.run("--select", "door:1") == 0
    [take] = tavern.report()["takes"]
    assert [warning[:23] for warning in take["warnings"]] == ["door-01.wav: it lasts 1", "door-01.mp3: it lasts 1"]


def test_a_paid_sound_is_fetched_later_without_paying(tavern: Any, serve: Any, rule: Callable[..., Rule]) -> None:
    """What could not be fetched in one run, twice in each format, is fetched in the next, from the same task."""
    server = serve(rules=(rule("wrong-type", limit=4),))
    assert tavern.run("--select", "door:1") == 1
    assert tavern.run("--select", "door:1") == 0
    assert tavern.sounds()[:2] == ["door-01.mp3", "door-01.wav"]
    assert len(server.world.ledger.tasks) == 1


def test_lost_answers_are_not_paid_twice(
    tavern: Any, serve: Any, rule: Callable[..., Rule], created: Callable[..., list[int]]
) -> None:
    """Where a task was made and its answer lost, the task is found and not made again."""
    rules = (rule("lost-after", on=Call.CREATE, every=2), rule("error-after", on=Call.CREATE, every=3))
    server = serve(rules=rules, behaviour=Behaviour(duplicate_id="accept"))
    assert tavern.run() == 0
    assert created(server.world.ledger) == [1] * TAKES


def test_calls_lost_before_they_were_read_are_sent_again(
    tavern: Any, serve: Any, rule: Callable[..., Rule], created: Callable[..., list[int]]
) -> None:
    """Where no trace is found for the settle time, the call is sent again under the same id."""
    server = serve(rules=(rule("lost-before", on=Call.CREATE, nth=frozenset({1, 3})),))
    assert tavern.run() == 0
    assert created(server.world.ledger) == [1] * TAKES


def test_a_held_unclear_take_is_unknown(tavern: Any, serve: Any, rule: Callable[..., Rule]) -> None:
    """With --hold-unclear nothing is sent again; the report has it as unknown, and the exit status is 6."""
    server = serve(rules=(rule("lost-before", on=Call.CREATE, nth=frozenset({1})),))
    assert tavern.run("--hold-unclear") == 6
    assert tavern.report()["summary"]["unknown"] == 1
    assert len(server.world.ledger.tasks) == TAKES - 1


def test_a_bare_machine_finds_what_the_account_has(tavern: Any, serve: Any, created: Callable[..., list[int]]) -> None:
    """Without journal, lock and store, with nothing but the manifest, nothing is paid for again."""
    server = serve()
    tavern.run("--no-store")
    shutil.rmtree(tavern.out)
    (tavern.folder / "tavern.yaml.lock").unlink()
    assert tavern.run("--no-store") == 0
    assert created(server.world.ledger) == [1] * TAKES
    assert {take["origin"] for take in tavern.report()["takes"]} == {"resumed"}


def test_without_consent_nothing_is_sent(tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Off a terminal, spending needs a flag; the message names the amount and the flag."""
    server = serve()
    assert main(["run", str(tavern.manifest)]) == 4
    said = capsys.readouterr().err
    assert "1.75 units" in said
    assert "--yes" in said
    assert sum(server.world.ledger.requests.values()) == 0


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1004, 1100, 1101, 1102, 1103, 1304])
def test_the_account_stops_the_run(
    tavern: Any, serve: Any, rule: Callable[..., Rule], capsys: pytest.CaptureFixture[str], code: int
) -> None:
    """A code that only a person can mend ends the run at once with 5; the rest stays pending."""
    server = serve(rules=(rule("refuse", code, on=Call.CREATE, from_nth=3),))
    assert tavern.run("--concurrency", "1") == 5
    assert tavern.report()["summary"]["pending"] >= TAKES - 3
    assert len(server.world.ledger.tasks) == 2
    assert f"refused with {code}" in capsys.readouterr().err


def test_a_refused_prompt_fails_and_the_others_go_on(tavern: Any, serve: Any, rule: Callable[..., Rule]) -> None:
    """A refusal by policy is final for its take, with the service's code, and costs nothing."""
    server = serve(rules=(rule("refuse", 1301, on=Call.CREATE, match="Old oak"),))
    assert tavern.run() == 1
    report = tavern.report()
    assert report["summary"]["failed"] == 3
    assert {take["error"]["code"] for take in report["takes"] if take["error"]} == {1301}
    posts = sum(server.world.ledger.posts.values())
    assert tavern.run() == 1
    assert sum(server.world.ledger.posts.values()) == posts


def test_a_passing_failure_is_tried_again_under_a_new_id(tavern: Any, serve: Any, rule: Callable[..., Rule]) -> None:
    """A task that failed for a passing reason gets a new attempt; its sound costs once."""
    fails = tuple(rule("task-fails", match=words, nth=frozenset({1})) for words in ("on oak", "on wet stone"))
    server = serve(rules=fails)
    assert tavern.run() == 0
    assert len(server.world.ledger.tasks) == TAKES + 2
    assert len(server.world.ledger.charges) == TAKES
    assert max(take["attempts"] for take in tavern.report()["takes"]) == 2


def test_risk_control_is_final(tavern: Any, serve: Any, rule: Callable[..., Rule]) -> None:
    """A failure by risk control is not tried again."""
    fails = rule("task-fails", "Failure to pass the risk control system", match="Old oak")
    server = serve(rules=(fails,))
    assert tavern.run() == 1
    assert len(server.world.ledger.tasks) == TAKES


def test_the_deadline_ends_a_run_that_can_be_resumed(
    tavern: Any, serve: Any, created: Callable[..., list[int]]
) -> None:
    """At the deadline the run saves and ends with 6; the next one collects what was made."""
    server = serve(seconds=1.5)
    assert tavern.run("--deadline", "0.8") == 6
    assert tavern.report()["summary"]["pending"] == TAKES
    assert tavern.run() == 0
    assert created(server.world.ledger) == [1] * TAKES


def test_no_secret_reaches_any_output(tavern: Any, serve: Any, rule: Callable[..., Rule], capfd: Any) -> None:
    """Neither secret nor token is in what is shown or written, and the file host never sees the token."""
    server = serve(rules=(rule("error-after", on=Call.CREATE, every=2), rule("garbage-before", on=Call.LIST, every=3)))
    tavern.run("--verbose")
    shown = "".join(capfd.readouterr())
    written = b"".join(file.read_bytes() for file in tavern.folder.rglob("*") if file.is_file())
    assert "sandbox-secret-key" not in shown
    assert "eyJ" not in shown
    assert b"sandbox-secret-key" not in written
    assert b"eyJ" not in written
    assert server.world.ledger.token_leaks == 0


def test_status_tells_where_a_run_stands(tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The journal answers for the takes, also as JSON."""
    serve()
    tavern.run("--select", "door")
    capsys.readouterr()
    assert main(["status", str(tavern.manifest), "--format", "json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["running"] is False
    assert (status["summary"]["succeeded"], status["summary"]["pending"]) == (3, 4)


def test_report_writes_the_reports_again(tavern: Any, serve: Any) -> None:
    """From journal and lock alone the report has the same takes, files and sums."""
    serve()
    tavern.run()
    first = tavern.report()
    (tavern.out / "report.json").unlink()
    assert main(["report", str(tavern.manifest)]) == 0
    second = tavern.report()
    assert second["takes"] == first["takes"]


def test_verify_names_what_is_not_as_locked(tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing, a modified and an extra file are named, and the exit status is 3; what was rejected is no extra."""
    serve()
    tavern.run()
    (tavern.out / "door-01.wav").unlink()
    with (tavern.out / "door-02.wav").open("ab") as file:
        file.write(b"more")
    shutil.copy(tavern.out / "door-03.wav", tavern.out / "stray.wav")
    (tavern.out / "rejected").mkdir()
    shutil.copy(tavern.out / "door-03.wav", tavern.out / "rejected" / "door-03.0123456789ab.wav")
    capsys.readouterr()
    assert main(["verify", str(tavern.manifest)]) == 3
    said = capsys.readouterr().out
    for words in ("missing: door-01.wav", "modified: door-02.wav", "extra: stray.wav"):
        assert words in said
    assert "rejected" not in said


def test_account_and_tasks_are_read_from_the_service(
    tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The packs and the tasks are what the service says they are."""
    serve()
    tavern.run()
    capsys.readouterr()
    assert main(["account"]) == 0
    assert "units left" in capsys.readouterr().out
    assert main(["tasks", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["tasks"]) == TAKES


def test_the_sandbox_is_kept_apart(tavern: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What the sandbox made has folder and lock of its own, and counts for nothing in a real plan."""
    assert main(["run", str(tavern.manifest), "--sandbox", "--poll-interval", "0.1"]) == 0
    assert (tavern.folder / "tavern.yaml.sandbox.lock").is_file()
    assert not tavern.out.exists()
    capsys.readouterr()
    main(["plan", str(tavern.manifest), "--format", "json"])
    assert json.loads(capsys.readouterr().out)["summary"]["generate"] == TAKES


def test_a_store_that_cannot_be_used_stops_nothing(tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The store holds copies: without it the sounds still get to their place, and the user is told."""
    serve()
    (tavern.folder / "store").write_text("a file where the folder should be")
    assert tavern.run("--store", "store") == 0
    assert len(tavern.sounds()) == TAKES * 2
    assert "Nothing more is kept in the store" in capsys.readouterr().err


def test_a_sandbox_that_is_gone_leaves_nothing_behind(tavern: Any) -> None:
    """What an earlier sandbox made and nobody kept is made anew: there is nobody to fetch it from."""
    sandbox = ["run", str(tavern.manifest), "--sandbox", "--no-store", "--poll-interval", "0.1", "--select", "door:1"]
    assert main(sandbox) == 0
    shutil.rmtree(tavern.folder / "out" / "tavern.sandbox")
    assert main(sandbox) == 0
    (tavern.folder / "out" / "tavern.sandbox" / "door-01.wav").unlink()
    assert main(sandbox) == 0
    assert (tavern.folder / "out" / "tavern.sandbox" / "door-01.wav").is_file()
