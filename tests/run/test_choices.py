"""What people say of takes: picks, rerolls and renames, kept in the lock, over real HTTP."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kling_batch.cli import main
from kling_batch.model import TakeKey
from kling_batch.records.lock import LockEntry, read_lock
from kling_batch.sandbox.faults import Call, Rule

TAKES = 7


@pytest.fixture
def pick(tavern: Any) -> Callable[..., int]:
    return lambda *words: main(["pick", str(tavern.manifest), *words])


@pytest.fixture
def reroll(tavern: Any) -> Callable[..., int]:
    quick = ("--settle-time", "0.2", "--poll-interval", "0.05")
    return lambda *words: main(["reroll", str(tavern.manifest), *words, *quick])


@pytest.fixture
def edit(tavern: Any) -> Callable[[str, str], None]:
    """Change the manifest's text."""

    def change(old: str, new: str) -> None:
        text = tavern.manifest.read_text()
        assert old in text
        tavern.manifest.write_text(text.replace(old, new))

    return change


@pytest.fixture
def entries(tavern: Any) -> Callable[[], dict[tuple[str, int], dict[str, Any]]]:
    """Read the lock's lines."""

    def read() -> dict[tuple[str, int], dict[str, Any]]:
        takes = json.loads((tavern.folder / "tavern.yaml.lock").read_text())["takes"]
        lines = (take for take in takes if isinstance(take, dict) and "retired" not in take)
        return {(take["job_id"], take["take"]): take for take in lines}

    return read


@pytest.fixture
def locked(tavern: Any) -> Callable[[], Mapping[TakeKey, LockEntry]]:
    """Read the lock."""
    return lambda: read_lock(tavern.folder / "tavern.yaml.lock", project="tavern").entries


# Picks


def test_a_picked_take_also_stands_under_the_plain_name(tavern: Any, serve: Any, pick: Any, entries: Any) -> None:
    """The lock keeps the choice, the files appear at once, and verify expects them."""
    serve()
    tavern.run()
    assert pick("door=2") == 0
    for name in ("wav", "mp3"):
        assert (tavern.out / f"door.{name}").read_bytes() == (tavern.out / f"door-02.{name}").read_bytes()
    assert [key for key, entry in entries().items() if entry.get("picked")] == [("door", 2)]
    assert main(["verify", str(tavern.manifest)]) == 0
    (tavern.out / "door.wav").unlink()
    assert main(["verify", str(tavern.manifest)]) == 3


def test_another_pick_takes_the_place_of_the_first(tavern: Any, serve: Any, pick: Any, entries: Any) -> None:
    """A job has one chosen take; cleared, it has none, and the plain name is gone."""
    serve()
    tavern.run()
    assert pick("door=2", "step-oak=1") == 0
    assert pick("door=3") == 0
    assert (tavern.out / "door.wav").read_bytes() == (tavern.out / "door-03.wav").read_bytes()
    assert [key for key, entry in entries().items() if entry.get("picked")] == [("door", 3), ("step-oak", 1)]
    assert pick("--clear", "door") == 0
    assert "door.wav" not in tavern.sounds()
    assert "step-oak.wav" in tavern.sounds()


def test_run_and_restore_put_picked_files_in_place(tavern: Any, serve: Any, pick: Any) -> None:
    """Lost with everything else, the chosen files come back with everything else."""
    serve()
    tavern.run("--store", "store")
    pick("door=2")
    before = tavern.sounds()
    shutil.rmtree(tavern.out)
    assert main(["restore", str(tavern.manifest), "--store", "store"]) == 0
    assert tavern.sounds() == before
    (tavern.out / "door.mp3").unlink()
    assert tavern.run() == 0
    assert tavern.sounds() == before


def test_picks_are_read_from_a_table(tavern: Any, serve: Any, pick: Any, entries: Any) -> None:
    """The audition page's CSV says what was chosen; other columns do no harm, and bad rows are named."""
    serve()
    tavern.run()
    table = tavern.folder / "picks.csv"
    table.write_text("job_id,take,note\ndoor,3,creakiest\nstep-oak,2,\n")
    assert pick("--from", str(table)) == 0
    assert [key for key, entry in entries().items() if entry.get("picked")] == [("door", 3), ("step-oak", 2)]


def test_notes_are_read_from_a_table(tavern: Any, serve: Any, pick: Any, reroll: Any, locked: Any) -> None:
    """A row without a word under `picked` has a note alone; an empty one takes it back; a fresh sound has none."""
    serve()
    tavern.run()
    table = tavern.folder / "picks.csv"
    table.write_text('job_id,take,picked,note\ndoor,3,yes,"creaky,\nbest"\ndoor,1,,thin\n')
    assert pick("--from", str(table)) == 0
    said = {key: (entry.picked, entry.note) for key, entry in locked().items() if entry.job_id == "door"}
    assert said == {("door", 1): (False, "thin"), ("door", 2): (False, ""), ("door", 3): (True, "creaky, best")}
    table.write_text("job_id,take,picked,note\ndoor,3,,\n")
    assert pick("--from", str(table)) == 0
    assert tavern.run() == 0
    assert reroll("door:1", "--yes") == 0
    assert {entry.note for entry in locked().values()} == {""}
    retired = read_lock(tavern.folder / "tavern.yaml.lock", project="tavern").retired
    assert [entry.note for entry in retired.values()] == ["thin"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("job,take\ndoor,1\n", "picks.csv:1: the columns job_id and take are needed"),
        ("job_id,take\ndoor,1\ndoor,two\n", "picks.csv:3: 'door=two' names no take"),
        ("job_id,take\ndoor,1\ndoor,2\n", "Takes 1 and 2 of door are both chosen"),
        ("", "picks.csv:1: the columns"),
    ],
)
def test_a_table_that_says_nothing_clear_is_refused(
    tavern: Any, serve: Any, pick: Any, capsys: pytest.CaptureFixture[str], table: str, words: str
) -> None:
    """The line is named, and nothing is picked."""
    serve()
    tavern.run("--select", "door")
    path = tavern.folder / "picks.csv"
    path.write_text(table)
    assert pick("--from", str(path)) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (["gate=1"], "There are the jobs door, step-oak, step-wet-stone."),
        (["door=4"], "door has 3 takes: 1 to 3."),
        (["door"], "Write JOB=TAKE, such as door-creak=2."),
        (["step-oak=1"], "it is not made yet"),
        (["door=1", "door=2"], "Takes 1 and 2 of door are both chosen."),
        (["--clear", "door"], "No take of door is picked."),
        ([], "Nothing is chosen."),
    ],
)
def test_a_pick_that_cannot_be_is_refused(
    tavern: Any, serve: Any, pick: Any, capsys: pytest.CaptureFixture[str], choice: list[str], words: str
) -> None:
    """What is wrong is said with what there is; the lock is not touched."""
    serve()
    tavern.run("--select", "door")
    lock = (tavern.folder / "tavern.yaml.lock").read_bytes()
    assert pick(*choice) == 2
    assert words in capsys.readouterr().err
    assert (tavern.folder / "tavern.yaml.lock").read_bytes() == lock


def test_the_plain_name_is_a_template_of_the_manifest(tavern: Any, serve: Any, pick: Any, edit: Any) -> None:
    """`picked` says where the chosen take stands, with the names that `file` may use but for the take."""
    serve()
    edit("defaults: {", 'defaults: {picked: "chosen/{project}-{id}", ')
    tavern.run("--select", "door")
    assert pick("door=1") == 0
    assert "chosen/tavern-door.wav" in tavern.sounds()


def test_a_plain_name_that_is_a_takes_path_is_refused(
    tavern: Any, serve: Any, pick: Any, edit: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job called door-01 has the plain name of take 1 of door: both files cannot be, and the repair is said."""
    serve()
    edit("jobs:", "jobs:\n  - {id: door-01, prompt: Door slams}")
    tavern.run("--select", "door*")
    assert pick("door-01=1") == 2
    assert "its plain name door-01 is the path of a take: give the job another with `picked`" in capsys.readouterr().err


def test_two_branches_that_picked_differently_are_told(
    tavern: Any, serve: Any, pick: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A merge can leave two picks of one job: neither is taken for the right one, and the next pick settles it."""
    serve()
    tavern.run("--select", "door")
    pick("door=1")
    lock = tavern.folder / "tavern.yaml.lock"
    lines = [
        line.replace("]}", '], "picked": true}') if '"take": 2,' in line else line
        for line in lock.read_text().splitlines()
    ]
    lock.write_text("\n".join(lines) + "\n")
    capsys.readouterr()
    assert main(["verify", str(tavern.manifest), "--select", "door"]) == 3
    assert "takes 1 and 2 are both picked" in capsys.readouterr().out
    assert pick("door=2") == 0
    assert main(["verify", str(tavern.manifest), "--select", "door"]) == 0


def test_a_picked_file_that_was_edited_is_never_lost(
    tavern: Any, serve: Any, pick: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pick moves an edited file aside; clearing leaves it where it is, and says so."""
    serve()
    tavern.run("--select", "door")
    pick("door=1")
    (tavern.out / "door.wav").write_bytes(b"edited")
    assert pick("--clear", "door") == 0
    assert "was edited, and stays" in capsys.readouterr().err
    pick("door=2")
    kept = [file.read_bytes() for file in (tavern.out / ".kling-batch" / "replaced").iterdir()]
    assert kept == [b"edited"]


# Rerolls


def test_a_reroll_asks_for_one_take_alone(tavern: Any, serve: Any, reroll: Any, entries: Any) -> None:
    """One call is paid; the other files are not touched, and the old sound is kept."""
    server = serve()
    tavern.run()
    old = (tavern.out / "door-02.wav").read_bytes()
    others = {name: (tavern.out / name).stat() for name in tavern.sounds() if "door-02" not in name}
    assert reroll("door:2", "--yes") == 0
    assert len(server.world.ledger.tasks) == TAKES + 1
    assert (tavern.out / "door-02.wav").read_bytes() != old
    assert {name: (tavern.out / name).stat() for name in others} == others
    assert old in [file.read_bytes() for file in (tavern.out / ".kling-batch" / "replaced").iterdir()]
    assert (entries()["door", 2]["edition"], entries()["door", 2]["rerolls"]) == (2, 1)
    assert main(["verify", str(tavern.manifest)]) == 0


def test_a_rerolled_take_stays_as_it_is(tavern: Any, serve: Any, reroll: Any, pick: Any, entries: Any) -> None:
    """A run keeps it, a further reroll goes on from it, and a pick stays a pick."""
    server = serve()
    tavern.run()
    pick("door:2".replace(":", "="))
    reroll("door:2", "--yes")
    assert tavern.run() == 0
    assert len(server.world.ledger.tasks) == TAKES + 1
    assert reroll("door:2", "step-oak:1", "--max-units", "9") == 0
    assert len(server.world.ledger.tasks) == TAKES + 3
    assert (entries()["door", 2]["edition"], entries()["door", 2]["picked"]) == (3, True)
    assert (tavern.out / "door.wav").read_bytes() == (tavern.out / "door-02.wav").read_bytes()


def test_without_consent_a_reroll_writes_nothing(
    tavern: Any, serve: Any, reroll: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Off a terminal it needs a flag; the amount is named, and the lock is as it was."""
    server = serve()
    tavern.run()
    lock, requests = (tavern.folder / "tavern.yaml.lock").read_bytes(), dict(server.world.ledger.requests)
    assert reroll("door:2") == 4
    assert "0.25 units" in capsys.readouterr().err
    assert (tavern.folder / "tavern.yaml.lock").read_bytes() == lock
    assert dict(server.world.ledger.requests) == requests


def test_a_take_that_is_not_locked_cannot_be_rerolled(
    tavern: Any, serve: Any, reroll: Any, edit: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not made, or not up to date, is made by a run."""
    serve()
    tavern.run("--select", "door")
    assert reroll("step-oak:1", "--yes") == 2
    assert "kling-batch run makes it" in capsys.readouterr().err
    edit("Old oak door", "Iron door")
    assert reroll("door:1", "--yes") == 2
    assert "its job changed" in capsys.readouterr().err


def test_a_run_finishes_a_reroll_that_was_stopped(
    tavern: Any, serve: Any, reroll: Any, rule: Callable[..., Rule], entries: Any
) -> None:
    """Once the lock says so, the fresh sound is what is asked for: by a run of anybody who has the lock."""
    server = serve(rules=(rule("refuse", 1303, on=Call.CREATE, from_nth=TAKES + 1, limit=1),))
    tavern.run()
    assert reroll("door:2", "--yes", "--deadline", "0.3") == 6
    assert (entries()["door", 2]["edition"], entries()["door", 2]["rerolls"]) == (1, 1)
    assert tavern.run() == 0
    assert entries()["door", 2]["edition"] == 2
    assert len(server.world.ledger.tasks) == TAKES + 1


# Renames


def test_a_renamed_job_is_taken_over_without_paying(
    tavern: Any, serve: Any, edit: Any, entries: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan offers it as moved; the run, once agreed to, makes no call, and the lock drops the old name."""
    server = serve()
    tavern.run()
    requests, old = dict(server.world.ledger.requests), (tavern.out / "door-03.mp3").read_bytes()
    edit("id: door", "id: portal")
    capsys.readouterr()
    main(["plan", str(tavern.manifest), "--format", "json"])
    plan = json.loads(capsys.readouterr().out)
    assert (plan["summary"]["moved"], plan["summary"]["drop"], plan["summary"]["units"]) == (3, 0, "0.00")
    assert plan["takes"][0]["reason"].startswith("job renamed: door -> portal")
    assert tavern.run() == 0
    assert dict(server.world.ledger.requests) == requests
    assert (tavern.out / "portal-03.mp3").read_bytes() == old
    assert {key[0] for key in entries()} == {"portal", "step-oak", "step-wet-stone"}
    assert entries()["portal", 1]["moved_from"] == "door"


def test_a_taken_over_sound_is_kept_from_then_on(tavern: Any, serve: Any, edit: Any, entries: Any, reroll: Any) -> None:
    """Under its new name it is restored, renamed once more and rolled again like any other."""
    server = serve()
    tavern.run()
    edit("id: door", "id: portal")
    tavern.run()
    assert tavern.run("--locked") == 0
    shutil.rmtree(tavern.out)
    assert tavern.run("--frozen") == 0
    edit("id: portal", "id: gate")
    assert tavern.run() == 0
    assert entries()["gate", 1]["moved_from"] == "door"
    assert len(server.world.ledger.tasks) == TAKES
    assert reroll("gate:1", "--yes") == 0
    assert "moved_from" not in entries()["gate", 1]
    assert len(server.world.ledger.tasks) == TAKES + 1


def test_off_a_terminal_a_rename_needs_consent(
    tavern: Any, serve: Any, edit: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody may have meant it: without --yes nothing is taken over, and the message says how it is."""
    serve()
    tavern.run()
    edit("id: door", "id: portal")
    assert main(["run", str(tavern.manifest)]) == 4
    assert "--yes takes the 3 of renamed jobs over without paying" in capsys.readouterr().err
    assert "portal-01.wav" not in tavern.sounds()


def test_a_renamed_and_changed_job_is_made_anew(tavern: Any, serve: Any, edit: Any) -> None:
    """Another request is another sound, whatever it is called."""
    server = serve()
    tavern.run()
    edit("id: door\n    prompt: Old", "id: portal\n    prompt: New")
    assert tavern.run() == 0
    assert len(server.world.ledger.tasks) == TAKES + 3


def test_picks_and_rerolls_move_with_the_job(
    tavern: Any, serve: Any, edit: Any, pick: Any, reroll: Any, entries: Any
) -> None:
    """What was said of a take is said of it under its new name."""
    server = serve()
    tavern.run()
    reroll("door:2", "--yes")
    pick("door=2")
    edit("id: door", "id: portal")
    assert tavern.run() == 0
    assert len(server.world.ledger.tasks) == TAKES + 1
    assert entries()["portal", 2]["rerolls"] == 1
    assert (tavern.out / "portal.wav").read_bytes() == (tavern.out / "portal-02.wav").read_bytes()


# Budget


def test_a_budget_holds_across_kills(tavern: Any, serve: Any) -> None:
    """2.00 units at 0.25 a take are 8 sounds, also when the process is killed three times on the way.

    Two are in flight at once and take longer than a kill: each process has sounds left to be killed over.
    """
    server = serve(concurrency=2, seconds=0.6)
    tavern.manifest.write_text(
        "version: 1\nproject: tavern\njobs:\n  - {id: rain, prompt: Rain, takes: 20, duration: 3}\n"
    )
    for takes in (2, 2, 1):
        _run_and_kill(tavern.manifest, tavern.folder, until=takes)
    assert main(["run", str(tavern.manifest), *_BUDGET]) == 4
    assert len(server.world.ledger.charges) == 8
    assert len(server.world.ledger.tasks) == 8
    assert len(tavern.sounds()) == 8


_BUDGET = ("--max-units", "2.00", "--settle-time", "0.3", "--poll-interval", "0.05")


def _run_and_kill(manifest: Path, folder: Path, *, until: int) -> None:
    """Start the program as a process, and kill it as soon as it says that so many takes are in flight."""
    words = [sys.executable, "-m", "kling_batch", "run", str(manifest), *_BUDGET, "--concurrency", "2"]
    words += ["--verbose", "--out", "out/tavern"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = 0
        for line in process.stderr:
            seen += "in-flight" in line
            if seen >= until:
                process.kill()
        process.wait()
    assert process.returncode == -9


def test_reports_tell_what_is_reserved_and_what_is_undelivered(
    tavern: Any, serve: Any, rule: Callable[..., Rule], capsys: pytest.CaptureFixture[str]
) -> None:
    """Money that is on its way, or paid for a file that could not be had, is told beside the sum."""
    serve(rules=(rule("wrong-type"), rule("task-stuck", math.inf, nth=frozenset({2}))))
    assert tavern.run("--select", "door:1", "--select", "door:2", "--deadline", "3", "--concurrency", "1") == 6
    words = "this run 0.50; the set 0.50 units, 0.25 of them paid and not delivered, 0.25 of them reserved"
    assert words in capsys.readouterr().err
    for name in ("report.html", "report.md"):
        assert words in (tavern.out / name).read_text()
    assert main(["status", str(tavern.manifest), "--select", "door:1", "--select", "door:2"]) == 0
    assert words in capsys.readouterr().out


# Consent on a terminal


@pytest.mark.parametrize(("answer", "status", "sounds"), [("y", 0, 3), ("n", 4, 0), ("", 4, 0)])
def test_on_a_terminal_it_asks(tavern: Any, serve: Any, answer: str, status: int, sounds: int) -> None:
    """The plan is shown, and only a yes goes on: to pay, and to take a renamed job over."""
    serve()
    tavern.run("--select", "step-*")
    text, code = _on_a_terminal(["run", str(tavern.manifest), "--settle-time", "0.2"], tavern.folder, answer)
    assert "+ door:1  new" in text
    assert "Spend up to 0.75 units? [y/N]" in text
    assert (code, len([name for name in tavern.sounds() if name.startswith("door-")])) == (status, sounds * 2)


def test_on_a_terminal_it_asks_before_it_takes_a_renamed_job_over(tavern: Any, serve: Any, edit: Any) -> None:
    """It costs nothing, and still nobody may have meant it."""
    serve()
    tavern.run()
    edit("id: door", "id: portal")
    text, code = _on_a_terminal(["run", str(tavern.manifest)], tavern.folder, "y")
    assert "Take 3 renamed over without paying? [y/N]" in text
    assert code == 0
    assert "portal-01.wav" in tavern.sounds()


def _on_a_terminal(words: list[str], folder: Path, answer: str) -> tuple[str, int]:
    """Run the program as a person does who answers its question. Gives what the terminal showed, and the status."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "dumb"}
    program = [sys.executable, "-m", "kling_batch", *words]
    shown, answered = b"", False
    with subprocess.Popen(program, cwd=folder, env=environment, stdin=theirs, stderr=theirs, stdout=theirs) as process:
        os.close(theirs)
        try:
            while piece := os.read(ours, 4096):
                shown += piece
                if b"[y/N]" in shown and not answered:
                    answered = os.write(ours, f"{answer}\n".encode()) > 0
        except OSError:
            # Linux says so when the program has closed its end.
            pass
        process.wait()
    os.close(ours)
    return shown.decode(), process.returncode
