"""Sets that come back the same: restored, frozen, locked and verified, over real HTTP or without any."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_batch.api import session
from kling_batch.cli import main
from kling_batch.cli.commands import restore
from kling_batch.sandbox.faults import Call, Rule, Scenario
from kling_batch.sandbox.settings import Behaviour, ListOrder

TAKES = 7
SERVICE = ("KLING_BASE_URL", "KLING_ACCESS_KEY", "KLING_SECRET_KEY")


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.suffix in {".wav", ".mp3"} and ".kling-batch" not in file.parts
    }


@pytest.fixture
def away(tavern: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, bytes]]:
    """Lose the sounds and the journal, and the keys and the service with them. Gives the sounds that were there."""

    def leave(*, store: str | None = None) -> dict[str, bytes]:
        before = _bytes(tavern.out)
        shutil.rmtree(tavern.out)
        if store:
            shutil.rmtree(tavern.folder / store)
        for name in SERVICE:
            monkeypatch.delenv(name, raising=False)
        return before

    return leave


@pytest.mark.parametrize("command", [["restore"], ["run", "--frozen"], ["run", "--frozen", "--yes"]])
def test_a_set_comes_back_byte_for_byte_from_lock_and_store(
    tavern: Any, serve: Any, away: Any, command: list[str]
) -> None:
    """A machine with manifest, lock and store alone needs no keys and no network, and what it gets is verified."""
    server = serve()
    tavern.run("--store", "store")
    before, requests = away(), sum(server.world.ledger.requests.values())
    lock = (tavern.folder / "tavern.yaml.lock").read_bytes()
    assert main([command[0], str(tavern.manifest), *command[1:], "--store", "store"]) == 0
    assert _bytes(tavern.out) == before
    assert len(before) == TAKES * 2
    assert main(["verify", str(tavern.manifest)]) == 0
    assert (tavern.folder / "tavern.yaml.lock").read_bytes() == lock
    assert sum(server.world.ledger.requests.values()) == requests


def test_nobody_is_asked_for_what_the_store_has(tavern: Any, serve: Any) -> None:
    """Keys that are set change nothing about it, and the page tells of what came back."""
    server = serve()
    tavern.run("--store", "store")
    before, requests = _bytes(tavern.out), sum(server.world.ledger.requests.values())
    shutil.rmtree(tavern.out)
    assert main(["restore", str(tavern.manifest), "--store", "store"]) == 0
    assert _bytes(tavern.out) == before
    assert sum(server.world.ledger.requests.values()) == requests
    assert tavern.report()["summary"]["succeeded"] == TAKES
    assert "door-01.wav" in (tavern.out / "report.html").read_text()


def test_what_the_store_has_not_is_fetched_from_the_service(tavern: Any, serve: Any) -> None:
    """With keys a restore gets the rest from the tasks that are paid for, and sends nothing new."""
    server = serve()
    tavern.run("--no-store")
    before = _bytes(tavern.out)
    shutil.rmtree(tavern.out)
    posts = sum(server.world.ledger.posts.values())
    assert main(["restore", str(tavern.manifest), "--no-store"]) == 0
    assert _bytes(tavern.out) == before
    assert sum(server.world.ledger.posts.values()) == posts


@pytest.mark.parametrize("order", ["newest", "oldest", "random", "shuffled"])
def test_one_look_at_the_list_finds_every_sound_to_fetch(tavern: Any, serve: Any, order: ListOrder) -> None:
    """There are no queries one by one for what the list shows."""
    server = serve(behaviour=Behaviour(list_order=order))
    tavern.run("--no-store")
    before = _bytes(tavern.out)
    shutil.rmtree(tavern.out)
    asked = Counter(server.world.ledger.requests)
    assert main(["restore", str(tavern.manifest), "--no-store"]) == 0
    assert _bytes(tavern.out) == before
    asked_again = Counter(server.world.ledger.requests) - asked
    assert asked_again == {"list": 1, "download": TAKES * 2}


@pytest.mark.parametrize("selected", ["door:1", "*"])
def test_what_the_list_does_not_show_is_asked_for_by_name(tavern: Any, serve: Any, selected: str) -> None:
    """A list that tells no ids of ours is read once, and for one take not at all."""
    server = serve(behaviour=Behaviour(external_ids_shown="never"))
    tavern.run("--no-store", "--select", selected)
    before = _bytes(tavern.out)
    shutil.rmtree(tavern.out)
    asked = Counter(server.world.ledger.requests)
    assert main(["restore", str(tavern.manifest), "--no-store", "--select", selected]) == 0
    assert _bytes(tavern.out) == before
    takes = len(before) // 2
    asked_again = Counter(server.world.ledger.requests) - asked
    assert asked_again == Counter({"query": takes, "download": takes * 2, "list": takes > 1})


@pytest.mark.parametrize(
    "fault", [("error-before", 5000), ("refuse", 1302), ("refuse", 1203), ("garbage-before", "html")]
)
def test_a_list_that_cannot_be_read_keeps_no_sound_away(
    tavern: Any, serve: Any, rule: Callable[..., Rule], fault: tuple[str, Any]
) -> None:
    """Each task is then asked for by name, and nobody's patience is spent on the list."""
    server = serve()
    tavern.run("--no-store")
    before = _bytes(tavern.out)
    shutil.rmtree(tavern.out)
    server.world.apply(Scenario(rules=(rule(*fault, on=Call.LIST),)))
    asked = Counter(server.world.ledger.requests)
    assert main(["restore", str(tavern.manifest), "--no-store", "--patience", "5"]) == 0
    assert _bytes(tavern.out) == before
    assert (Counter(server.world.ledger.requests) - asked)["list"] == 1


@pytest.mark.parametrize(("charged", "locked"), [("0.30000000000000004", "0.3"), ("-0.0", "0"), ("12.50", "12.5")])
def test_whatever_is_charged_the_lock_can_be_read_again(tavern: Any, serve: Any, charged: str, locked: str) -> None:
    """A service may calculate in floating point."""
    serve(behaviour=Behaviour(units=Decimal(charged)))
    assert tavern.run("--no-store") == 0
    lock = json.loads((tavern.folder / "tavern.yaml.lock").read_text())
    assert {take["units"] for take in lock["takes"] if "units" in take} == {locked}
    assert main(["plan", str(tavern.manifest)]) == 0


def test_urls_of_the_list_that_have_expired_are_asked_for_anew(
    tavern: Any, serve: Any, rule: Callable[..., Rule]
) -> None:
    """The list shows a sound, the file host refuses its URL, and a query gives a fresh one."""
    server = serve(rules=(rule("expire", on=Call.DOWNLOAD, from_nth=TAKES * 2 + 1, limit=1),))
    tavern.run("--no-store")
    before, asked = _bytes(tavern.out), server.world.ledger.requests["query"]
    shutil.rmtree(tavern.out)
    assert main(["restore", str(tavern.manifest), "--no-store"]) == 0
    assert _bytes(tavern.out) == before
    assert server.world.ledger.requests["query"] - asked == 1


def test_what_cannot_be_had_is_listed_with_prompt_and_price(
    tavern: Any, serve: Any, away: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without store and keys nothing comes back: each take is named, with what it would cost to make it anew."""
    serve()
    tavern.run("--store", "store")
    away(store="store")
    capsys.readouterr()
    assert main(["restore", str(tavern.manifest), "--store", "store"]) == 3
    said = capsys.readouterr()
    assert said.out.count("lost: ") == TAKES
    assert 'lost: door:1: "Old oak door creaks open", 3.0 s' in said.out
    assert "Anew: 0.25 units" in said.out
    assert "KLING_API_KEY" in said.out
    assert "1.75 units" in said.err


def test_a_task_that_the_service_has_forgotten_is_lost(
    tavern: Any, serve: Any, rule: Callable[..., Rule], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is gone everywhere is drift, as data too."""
    own = session.options_for
    monkeypatch.setattr(restore, "options_for", lambda *given: replace(own(*given), settle_time_s=0.2))
    serve(rules=(rule("refuse", 1203, on=Call.QUERY, from_nth=1),))
    tavern.run("--no-store", "--select", "door:1")
    shutil.rmtree(tavern.out)
    capsys.readouterr()
    options = ["--no-store", "--select", "door:1", "--format", "json"]
    assert main(["restore", str(tavern.manifest), *options]) == 3
    [lost] = json.loads(capsys.readouterr().out)["lost"]
    assert (lost["job_id"], lost["take"], lost["units"]) == ("door", 1, "0.25")


def test_restore_makes_nothing(tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A take that was never made is listed, and not made."""
    server = serve()
    tavern.run("--select", "door")
    capsys.readouterr()
    assert main(["restore", str(tavern.manifest)]) == 3
    assert capsys.readouterr().out.count("lost: step-") == 4
    assert len(server.world.ledger.tasks) == 3


def test_a_frozen_run_names_every_take_that_it_cannot_give(
    tavern: Any, serve: Any, away: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the store lacks a file, the run ends with drift and asks nobody."""
    serve()
    tavern.run("--store", "store", "--select", "door")
    tavern.run("--no-store")
    away()
    assert main(["run", str(tavern.manifest), "--frozen", "--store", "store"]) == 3
    said = capsys.readouterr().err
    assert "Lock, disk and store do not give 4 takes" in said
    assert len(_bytes(tavern.out)) == 6
    assert tavern.report()["exit_status"] == 3


@pytest.mark.parametrize("option", ["--frozen", "--locked"])
def test_a_changed_prompt_is_drift_before_anything(
    tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """Locked and frozen runs end with 3 and name take and field; nothing is sent or written, whatever is agreed to."""
    server = serve()
    tavern.run()
    tavern.manifest.write_text(tavern.manifest.read_text().replace("Old oak door", "Iron door"))
    requests, lock = dict(server.world.ledger.requests), (tavern.folder / "tavern.yaml.lock").read_bytes()
    assert tavern.run(option) == 3
    said = capsys.readouterr().err
    assert 'door:1: changed: prompt: "Old oak door creaks open" -> "Iron door creaks open"' in said
    assert dict(server.world.ledger.requests) == requests
    assert (tavern.folder / "tavern.yaml.lock").read_bytes() == lock


def test_a_locked_run_fetches_what_is_paid_for(tavern: Any, serve: Any) -> None:
    """What costs nothing is no drift: files come back from the service, and no call is paid."""
    server = serve()
    tavern.run("--no-store")
    shutil.rmtree(tavern.out)
    assert tavern.run("--locked", "--no-store") == 0
    assert len(server.world.ledger.tasks) == TAKES
    assert {take["origin"] for take in tavern.report()["takes"]} == {"resumed"}


def test_an_unsettled_answer_is_drift_for_a_locked_run(tavern: Any, serve: Any, rule: Callable[..., Rule]) -> None:
    """A lost answer may have to be sent again, which may be paid."""
    serve(rules=(rule("lost-before", on=Call.CREATE, from_nth=1),))
    assert tavern.run("--hold-unclear", "--select", "door:1") == 6
    assert tavern.run("--locked", "--select", "door:1") == 3


def test_locked_and_frozen_exclude_each_other(tavern: Any) -> None:
    """Two answers to one question are a usage error."""
    assert tavern.run("--locked", "--frozen") == 2


def test_a_frozen_run_restores_a_renamed_file_from_the_disk(tavern: Any, serve: Any) -> None:
    """Where a sound stood before is as good as a store."""
    serve()
    tavern.run("--no-store")
    tavern.manifest.write_text(tavern.manifest.read_text().replace("steps/{surface}/", "feet/"))
    assert main(["run", str(tavern.manifest), "--frozen", "--no-store"]) == 0
    assert "feet/step-oak-01.wav" in tavern.sounds()


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_while_a_renamed_file_comes_back_is_explained(
    tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with any other file; then it resumes."""
    serve()
    tavern.run("--no-store")
    tavern.manifest.write_text(tavern.manifest.read_text().replace("steps/{surface}/", "feet/"))
    capsys.readouterr()
    with monkeypatch.context() as full:
        full.setattr("shutil.copyfile", _no_space)
        assert main(["run", str(tavern.manifest), "--frozen", "--no-store"]) == 6
    said = capsys.readouterr().err
    assert "the disk is full" in said
    assert "it resumes" in said
    assert main(["run", str(tavern.manifest), "--frozen", "--no-store"]) == 0
    assert "feet/step-oak-01.wav" in tavern.sounds()


def test_a_modified_file_is_put_back_and_kept(tavern: Any, serve: Any) -> None:
    """Restore puts the locked bytes back; what stood there is not lost."""
    serve()
    tavern.run("--store", "store")
    (tavern.out / "door-01.wav").write_bytes(b"edited by hand")
    assert main(["restore", str(tavern.manifest), "--store", "store"]) == 0
    assert main(["verify", str(tavern.manifest)]) == 0
    [kept] = (tavern.out / ".kling-batch" / "replaced").iterdir()
    assert kept.read_bytes() == b"edited by hand"


@pytest.mark.parametrize("quick", [True, False])
def test_verify_names_missing_modified_and_extra(
    tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str], quick: bool
) -> None:
    """Each flaw is named. A quick look compares names and sizes, and only a full one sees changed bytes."""
    serve()
    tavern.run()
    (tavern.out / "door-01.wav").unlink()
    with (tavern.out / "door-02.wav").open("r+b") as file:
        file.seek(-9, 2)
        file.write(b"different")
    shutil.copy(tavern.out / "door-03.wav", tavern.out / "stray.wav")
    capsys.readouterr()
    assert main(["verify", str(tavern.manifest), *(["--quick"] if quick else [])]) == 3
    said = capsys.readouterr().out
    assert "missing: door-01.wav" in said
    assert "extra: stray.wav" in said
    assert ("modified: door-02.wav" in said) is not quick


def test_a_conflicted_lock_is_refused_by_its_line(tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """No command goes on with a lock in which a merge left a conflict; the line is named."""
    serve()
    tavern.run()
    lock = tavern.folder / "tavern.yaml.lock"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([*lines[:20], "<<<<<<< HEAD", *lines[20:21], "=======", ">>>>>>> other", *lines[21:]]))
    for command in ("plan", "run", "verify", "restore"):
        assert main([command, str(tavern.manifest)]) == 2
        assert "tavern.yaml.lock:21: a merge left a conflict here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("expression", "takes"),
    [
        ("door", 3),
        ("step-*", 4),
        ("*:1", 3),
        ("tag:foley", 3),
        ("tag:foley,*:2", 1),
        ("status:succeeded,step-oak", 2),
        ("status:pending", 0),
        ("changed", 0),
    ],
)
def test_every_command_selects_alike(
    tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str], expression: str, takes: int
) -> None:
    """Plan, verify, restore and report take the same expressions; one that selects nothing says what there is."""
    serve()
    tavern.run("--store", "store")
    capsys.readouterr()
    for command in (["plan"], ["verify"], ["restore", "--store", "store"], ["report"]):
        status = main([command[0], str(tavern.manifest), *command[1:], "--select", expression])
        said = capsys.readouterr()
        assert status == (0 if takes else 2)
        if not takes:
            assert "There are the ids door, step-oak, step-wet-stone, the tags foley" in said.err
            assert "the statuses succeeded" in said.err
    if takes:
        assert len(tavern.report()["takes"]) == takes


def test_status_failed_and_changed_are_selected(tavern: Any, serve: Any, rule: Callable[..., Rule]) -> None:
    """What failed, and what is asked for otherwise than it is locked, can be worked on alone."""
    server = serve(rules=(rule("refuse", 1301, on=Call.CREATE, match="on oak"),))
    tavern.run()
    assert main(["report", str(tavern.manifest), "--select", "status:failed"]) == 0
    assert {take["job_id"] for take in tavern.report()["takes"]} == {"step-oak"}
    tavern.manifest.write_text(tavern.manifest.read_text().replace("Old oak door", "Iron door"))
    posts = sum(server.world.ledger.posts.values())
    assert tavern.run("--select", "changed,tag:foley") == 0
    assert sum(server.world.ledger.posts.values()) == posts + 3
