"""A lock that others write to while a run goes on, and takes that come and go: nothing locked is lost or paid again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kling_batch import Access, Options, load, run_sync
from kling_batch.cli import main
from kling_batch.events import Event, TakeChanged

TAKES = 7
QUICK = Options(consented=True, settle_time_s=0.2, poll_interval_s=0.05)
STORE = ("--store", "store")


@pytest.fixture
def locked(tavern: Any) -> Callable[[], dict[str, set[str]]]:
    """Read which takes are locked, and what is said of them besides."""

    def read() -> dict[str, set[str]]:
        lines = json.loads((tavern.folder / "tavern.yaml.lock").read_text())["takes"]
        takes = [line for line in lines if isinstance(line, dict)]
        said = {"retired", "picked"}
        return {f"{take['job_id']}:{take['take']} e{take['edition']}": said & take.keys() for take in takes}

    return read


@pytest.fixture
def edit(tavern: Any) -> Callable[[str, str], None]:
    """Change the manifest's text."""

    def change(old: str, new: str) -> None:
        text = tavern.manifest.read_text()
        assert old in text
        tavern.manifest.write_text(text.replace(old, new))

    return change


@pytest.fixture
def interrupted(tavern: Any) -> Callable[[str, Callable[[], object]], None]:
    """Run some takes, and do something as soon as the first of them is on its way."""

    def run(select: str, meanwhile: Callable[[], object]) -> None:
        done: list[object] = []

        def observe(event: Event) -> None:
            if isinstance(event, TakeChanged) and not done:
                done.append(meanwhile())

        access = Access.of(os.environ)
        options = replace(QUICK, select=(select,))
        run_sync(load(tavern.manifest), options, access=access, observe=observe)
        assert done == [0]

    return run


def _run_elsewhere(tavern: Any, select: str) -> int:
    words = ["run", str(tavern.manifest), "--out", "elsewhere", "--select", select, "--yes", "--settle-time", "0.2"]
    return subprocess.run([sys.executable, "-m", "kling_batch", *words], check=False, capture_output=True).returncode


def test_two_runs_on_one_lock_lose_nothing_of_each_other(
    tavern: Any, interrupted: Any, locked: Any, serve: Any
) -> None:
    """Each has an output folder of its own, and both end with what they made in the lock."""
    server = serve()
    interrupted("door", lambda: _run_elsewhere(tavern, "step-*"))
    assert len(locked()) == TAKES
    assert tavern.run("--select", "door") == 0
    assert len(server.world.ledger.tasks) == TAKES


def test_a_lock_that_git_brings_during_a_run_is_kept(tavern: Any, interrupted: Any, locked: Any, serve: Any) -> None:
    """What colleagues committed stays, and what the run makes is added."""
    serve()
    tavern.run("--select", "step-*", "--out", "elsewhere")
    lock = tavern.folder / "tavern.yaml.lock"
    theirs = lock.read_bytes()
    lock.unlink()
    interrupted("door", lambda: lock.write_bytes(theirs) * 0)
    assert len(locked()) == TAKES


def test_a_pick_during_a_run_is_kept_and_keeps_what_the_run_makes(
    tavern: Any, interrupted: Any, locked: Any, serve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The choice is in the lock at once, and the run that holds the folder brings its files at its end."""
    serve()
    tavern.run("--select", "door")
    interrupted("step-*", lambda: main(["pick", str(tavern.manifest), "door=2"]))
    assert "The choice is in the lock; its files come with the end of that run" in capsys.readouterr().err
    assert len(locked()) == TAKES
    assert [take for take, said in locked().items() if said] == ["door:2 e1"]
    assert (tavern.out / "door.wav").read_bytes() == (tavern.out / "door-02.wav").read_bytes()


def test_takes_that_come_back_are_paid_once(tavern: Any, serve: Any, edit: Any, locked: Any) -> None:
    """A row that was cut for one run is restored on a machine that has lock and store alone."""
    server = serve()
    tavern.run(*STORE)
    before = tavern.sounds()
    edit("takes: 3", "takes: 1")
    assert tavern.run(*STORE) == 0
    assert [take for take, said in locked().items() if said == {"retired"}] == ["door:2 e1", "door:3 e1"]
    shutil.rmtree(tavern.out)
    edit("takes: 1", "takes: 3")
    assert tavern.run("--locked", *STORE) == 0
    assert tavern.sounds() == before
    assert not any(locked().values())
    assert len(server.world.ledger.tasks) == TAKES


def test_what_was_said_of_a_take_comes_back_with_it(tavern: Any, serve: Any, edit: Any, locked: Any) -> None:
    """It is rolled as often as it was, and picked."""
    server = serve()
    tavern.run(*STORE)
    main(["reroll", str(tavern.manifest), "door:3", "--yes", "--settle-time", "0.2", *STORE])
    main(["pick", str(tavern.manifest), "door=3"])
    edit("takes: 3", "takes: 1")
    tavern.run(*STORE)
    edit("takes: 1", "takes: 3")
    assert tavern.run("--locked", *STORE) == 0
    assert (locked()["door:3 e2"], locked()["door:3 e1"]) == ({"picked"}, {"retired"})
    assert len(server.world.ledger.tasks) == TAKES + 1


def test_a_pick_is_no_longer_the_choice_of_a_take_that_is_gone(tavern: Any, serve: Any, edit: Any, locked: Any) -> None:
    """A job has one chosen take, also after another that was chosen comes back."""
    serve()
    tavern.run(*STORE)
    main(["pick", str(tavern.manifest), "door=3"])
    edit("takes: 3", "takes: 1")
    tavern.run(*STORE)
    main(["pick", str(tavern.manifest), "door=1"])
    edit("takes: 1", "takes: 3")
    tavern.run(*STORE)
    assert [take for take, said in locked().items() if said] == ["door:1 e1"]


def test_an_edition_that_was_made_once_is_not_paid_again(tavern: Any, serve: Any, edit: Any, locked: Any) -> None:
    """Edition 1, 2, 1 is two sounds, wherever the third run is made."""
    server = serve()
    tavern.run(*STORE)
    first = (tavern.out / "door-01.wav").read_bytes()
    edit("id: door", "id: door\n    edition: 2")
    tavern.run(*STORE)
    assert len(server.world.ledger.tasks) == TAKES + 3
    shutil.rmtree(tavern.out)
    edit("    edition: 2\n", "")
    assert tavern.run("--locked", *STORE) == 0
    assert (tavern.out / "door-01.wav").read_bytes() == first
    assert all((said == {"retired"}) == take.endswith("e2") for take, said in locked().items())
    assert len(server.world.ledger.tasks) == TAKES + 3


def test_a_reroll_goes_past_what_is_retired(tavern: Any, serve: Any, edit: Any, locked: Any) -> None:
    """It is a fresh sound, not one that an edition had before."""
    server = serve()
    tavern.run(*STORE)
    edit("id: door", "id: door\n    edition: 2")
    tavern.run(*STORE)
    edit("    edition: 2\n", "")
    tavern.run(*STORE)
    main(["reroll", str(tavern.manifest), "door:1", "--yes", "--settle-time", "0.2", *STORE])
    assert not locked()["door:1 e3"]
    assert len(server.world.ledger.tasks) == TAKES + 3 + 1


def test_a_job_that_was_dropped_can_come_back_renamed(tavern: Any, serve: Any, edit: Any, locked: Any) -> None:
    """What is retired is taken over like what is locked."""
    server = serve()
    tavern.run(*STORE)
    whole = tavern.manifest.read_text()
    edit(whole[whole.index("  - id: door") : whole.index('  - id: "step')], "")
    tavern.run(*STORE)
    tavern.manifest.write_text(whole.replace("id: door", "id: gate"))
    assert tavern.run(*STORE) == 0
    assert {take.partition(":")[0] for take in locked()} == {"gate", "step-oak", "step-wet-stone"}
    assert len(server.world.ledger.tasks) == TAKES


def test_what_is_retired_is_forgotten_with_its_bytes(tavern: Any, serve: Any, edit: Any, locked: Any) -> None:
    """A run with the store that has them no more says so in the lock; one without a store does not."""
    serve()
    tavern.run(*STORE)
    edit("takes: 3", "takes: 1")
    tavern.run(*STORE)
    shutil.rmtree(tavern.folder / "store")
    (tavern.out / "door-01.wav").unlink()
    tavern.run("--no-store")
    assert "door:3 e1" in locked()
    (tavern.out / "door-01.wav").unlink()
    tavern.run(*STORE)
    assert "door:3 e1" not in locked()


def test_plan_and_verify_know_nothing_of_what_is_retired(
    tavern: Any, serve: Any, edit: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dropped once, it is not dropped again, and not missed."""
    serve()
    tavern.run(*STORE)
    edit("takes: 3", "takes: 1")
    capsys.readouterr()
    main(["plan", str(tavern.manifest), "--format", "json"])
    (_, dropped) = [take for take in json.loads(capsys.readouterr().out)["takes"] if take["action"] == "drop"]
    assert "keeps it as retired" in dropped["reason"]
    tavern.run(*STORE)
    capsys.readouterr()
    main(["plan", str(tavern.manifest), "--format", "json"])
    assert json.loads(capsys.readouterr().out)["summary"]["drop"] == 0
    for file in tavern.out.glob("door-0[23].*"):
        file.unlink()
    assert main(["verify", str(tavern.manifest)]) == 0
