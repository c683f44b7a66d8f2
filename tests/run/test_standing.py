"""A finished set that stands as it stood is recognised without planning, and by nothing less than all of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from kling_batch.cli import main
from kling_batch.records.journal import Journal
from kling_batch.records.looking import read_snapshot, read_standing
from kling_batch.sandbox.faults import Call

WATCHED = """
import json, sys
from kling_batch.cli import main
status = main(json.loads(sys.argv[1]))
print(json.dumps({"status": int(status), "planned": "httpx" in sys.modules}))
"""


@pytest.fixture
def again(tavern: Any) -> Callable[..., dict[str, Any]]:
    """Run once more, in a process of its own; tells the exit status, and whether a plan had to be made."""

    def run(*options: str) -> dict[str, Any]:
        arguments = ["run", str(tavern.manifest), "--yes", "--settle-time", "0.2", "--poll-interval", "0.05", *options]
        words = [sys.executable, "-c", WATCHED, json.dumps(arguments)]
        said = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tavern.folder)
        told: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
        return told

    return run


def _edit_lock(tavern: Any) -> None:
    lock = tavern.folder / "tavern.yaml.lock"
    lock.write_text(lock.read_text().replace('"units": "0.25"', '"units": "0.250"', 1))


def _swap(tavern: Any) -> None:
    """Put other bytes of the same size in a file's place."""
    file = tavern.out / "door-01.wav"
    file.write_bytes(bytes(reversed(file.read_bytes())))


def _retime(tavern: Any) -> None:
    os.utime(tavern.out / "door-01.wav", (1, 1))


CHANGES: dict[str, Callable[[Any], object]] = {
    "a file is gone": lambda tavern: (tavern.out / "door-02.mp3").unlink(),
    "a file holds something else": _swap,
    "a file has another time": _retime,
    "the manifest says something else": lambda tavern: tavern.manifest.write_text(
        tavern.manifest.read_text().replace("tags: [foley]", "tags: [foley, door]")
    ),
    "the lock says something else": _edit_lock,
    "the lock is gone": lambda tavern: (tavern.folder / "tavern.yaml.lock").unlink(),
    "the report is gone": lambda tavern: (tavern.out / "report.json").unlink(),
    "the report is somebody else's": lambda tavern: (tavern.out / "report.json").write_text("{}"),
    "a page is gone": lambda tavern: (tavern.out / "report.md").unlink(),
    "the journal is gone": lambda tavern: shutil.rmtree(tavern.out / ".kling-batch"),
}


def test_nothing_is_planned_where_everything_stands(tavern: Any, serve: Any, again: Callable[..., Any]) -> None:
    """A finished batch costs a look at every file: no plan, no client, no request, no keys."""
    server = serve()
    assert tavern.run() == 0
    first, asked = tavern.report(), server.world.ledger.api_requests
    assert again() == {"status": 0, "planned": False}
    assert again() == {"status": 0, "planned": False}
    assert server.world.ledger.api_requests == asked
    report = tavern.report()
    assert {take["origin"] for take in report["takes"]} == {"kept"}
    assert report["started_at"] > first["finished_at"]
    assert report["summary"] == {**first["summary"], "seconds": report["summary"]["seconds"], "api_requests": 0}
    assert [{**take, "origin": "generated"} for take in report["takes"]] == first["takes"]


def test_it_says_the_same_as_a_run_that_plans(tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Words, events and the report are those of a run that kept every take."""
    serve()
    tavern.run()
    _retime(tavern)
    spoken, reports = [], []
    for _ in range(2):
        capsys.readouterr()
        assert tavern.run("--log-format", "json") == 0
        spoken.append([line for line in capsys.readouterr().err.splitlines() if not line.startswith("{")])
        reports.append(tavern.report())
    assert [line.split(", ")[0] for line in spoken[0]] == [line.split(", ")[0] for line in spoken[1]]
    assert reports[0]["takes"] == reports[1]["takes"]
    assert [*reports[0]] == [*reports[1]]
    run = read_snapshot(tavern.out).last_run
    assert run is not None
    assert (run.id, run.exit_status, run.api_requests) == (3, 0, 0)


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_is_looked_at(tavern: Any, serve: Any, again: Callable[..., Any], change: str) -> None:
    """Whatever is not as it was noted is a reason to plan; afterwards everything is in place again, and stands."""
    serve()
    tavern.run("--store", "store")
    CHANGES[change](tavern)
    assert again("--store", "store") == {"status": 0, "planned": True}
    assert again("--store", "store") == {"status": 0, "planned": False}
    assert {"report.csv", "report.md", "report.html", "junit.xml"} <= {path.name for path in tavern.out.iterdir()}
    assert main(["verify", str(tavern.manifest)]) == 0


def test_a_change_of_a_table_is_looked_at(tavern: Any, serve: Any, again: Callable[..., Any]) -> None:
    """The tables that a manifest names belong to it."""
    serve()
    birds = tavern.folder / "birds.csv"
    birds.write_text("id,prompt\nwren,A wren sings\n")
    tavern.manifest.write_text(tavern.manifest.read_text() + "  - {from: birds.csv}\n")
    assert tavern.run() == 0
    assert not again()["planned"]
    birds.write_text("id,prompt\nwren,A wren sings\nowl,An owl hoots\n")
    assert again() == {"status": 0, "planned": True}
    assert (tavern.out / "owl-01.wav").is_file()


def test_another_selection_is_another_set(tavern: Any, serve: Any, again: Callable[..., Any]) -> None:
    """What a part of the takes left finished says nothing of the others."""
    server = serve()
    assert tavern.run("--select", "door") == 0
    assert not again("--select", "door")["planned"]
    assert again() == {"status": 0, "planned": True}
    assert len(server.world.ledger.tasks) == len(tavern.report()["takes"])


def test_other_options_are_looked_at(tavern: Any, serve: Any, again: Callable[..., Any]) -> None:
    """The page's command to pick has the options of the latest run, also where they lead to the same files."""
    serve()
    assert tavern.run() == 0
    options = ("--lock", f"{tavern.manifest}.lock")
    for expected in (options, ()):
        assert again(*expected)["planned"]
        assert not again(*expected)["planned"]
        page = (tavern.out / "report.html").read_text(encoding="utf-8")
        assert ('"--lock"' in page) == bool(expected)


def test_a_table_of_another_project_is_another_set(tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The same table, folder and lock: the lock is of the other project, and that is said."""
    serve()
    birds = tavern.folder / "birds.csv"
    birds.write_text("id,prompt\nwren,A wren sings\n")
    words = ["run", str(birds), "--yes", "--settle-time", "0.2", "--poll-interval", "0.05", "--out", "out"]
    assert main([*words, "--project", "birds"]) == 0
    capsys.readouterr()
    assert main([*words, "--project", "owls"]) == 2
    assert "this is the lock of project 'birds'" in capsys.readouterr().err


def test_after_a_pick_and_a_report_the_page_stays_right(
    tavern: Any, serve: Any, again: Callable[..., Any], jobs: Callable[[], Any]
) -> None:
    """What these changed is looked at once; then the set stands, with the pick on its page."""
    serve()
    tavern.run()
    assert main(["pick", str(tavern.manifest), "door=2"]) == 0
    assert main(["report", str(tavern.manifest)]) == 0
    assert jobs()["door"][5] == 2
    assert again() == {"status": 0, "planned": True}
    assert again() == {"status": 0, "planned": False}
    assert main(["report", str(tavern.manifest)]) == 0
    assert again() == {"status": 0, "planned": True}
    assert jobs()["door"][5] == 2


def test_a_set_that_stands_needs_no_waveforms(tavern: Any, serve: Any, again: Callable[..., Any]) -> None:
    """Neither where nothing is planned, nor where the plan is to keep every take: the page alone has them."""
    serve()
    tavern.run()
    with closing(Journal(tavern.out, now=1.0, service=None)) as held:
        held._connection.execute("DROP TABLE shapes")
        held._connection.commit()
    assert again() == {"status": 0, "planned": False}
    _retime(tavern)
    assert again() == {"status": 0, "planned": True}


def test_a_picked_copy_belongs_to_the_set(tavern: Any, serve: Any, again: Callable[..., Any]) -> None:
    """One that was deleted comes back."""
    serve()
    tavern.run()
    assert main(["pick", str(tavern.manifest), "door=2"]) == 0
    assert again()["planned"]
    assert not again()["planned"]
    (tavern.out / "door.wav").unlink()
    assert again()["planned"]
    assert (tavern.out / "door.wav").is_file()


def test_an_unfinished_set_does_not_stand(tavern: Any, serve: Any, rule: Callable[..., Any]) -> None:
    """Only where nothing is left to do is there nothing to plan."""
    serve(rules=(rule("refuse", 1301, on=Call.CREATE, limit=1),))
    assert tavern.run() == 1
    assert read_standing(tavern.out) is None
