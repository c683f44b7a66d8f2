"""What was paid for ends up on disk, or is named with how to get it."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Callable

import pytest

from tests.promises import sounds
from tests.promises.machine import Ended, Machine
from tests.promises.service import Call, Say, Service, Task

Machines = Callable[[], Machine]
Sound = Callable[[str], bytes]

STATED = {"rounded": "3.1", "whole": "3", "zero": "0", "nothing": "", "milliseconds": "3000", "words": "three"}
WAVS: dict[str, Sound] = {
    "sizes of zero": lambda name: sounds.streamed(sounds.sound(name), 0),
    "sizes of a stream": lambda name: sounds.streamed(sounds.sound(name), 0xFFFFFFFF),
    "a tag behind the end": lambda name: sounds.tagged(sounds.sound(name)),
    "rf64": lambda name: sounds.sound(name, "rf64"),
    "adpcm": lambda name: sounds.sound(name, subtype="IMA_ADPCM"),
    "longer than asked for": lambda name: sounds.sound(name, seconds=4.2),
}
MP3S: dict[str, Sound] = {
    "a second tag": lambda name: sounds.id3(sounds.sound(name, "mp3"), 2),
    "longer than asked for": lambda name: sounds.sound(name, "mp3", seconds=4.2),
}


def of_prompt(habits: dict[str, Sound]) -> Callable[[Task, str], bytes]:
    """Serve each task the sound of the habit that its prompt names."""
    return lambda task, _: habits[task.prompt.removeprefix("A sound called ")](task.name)


def slug(habit: str) -> str:
    """Make a job's id of a habit's name."""
    return habit.replace(" ", "-")


@pytest.mark.parametrize(("kind", "habits"), [("wav", WAVS), ("mp3", MP3S)], ids=["wav", "mp3"])
def test_a_whole_sound_with_a_careless_header_is_kept(
    service: Service, machine: Machine, kind: str, habits: dict[str, Sound]
) -> None:
    """What the host sent whole is delivered byte by byte, whatever its header says."""
    by_slug = {slug(habit): make for habit, make in habits.items()}
    service.sound = of_prompt(by_slug)
    ended = machine.write(*by_slug, formats=[kind], file="{id}").run("--yes", "--deadline", "30")
    assert {name: take["status"] for name, take in ended.takes.items()} == {f"{job}:1": "succeeded" for job in by_slug}
    assert ended.status == 0, ended.said
    kept = {(machine.out / f"{job}.{kind}").read_bytes() for job in by_slug}
    assert kept == {service.sound(task, kind) for task in service.tasks}
    assert service.paid_once(len(by_slug))


def test_a_stated_length_refuses_no_sound(service: Service, machine: Machine) -> None:
    """Lengths in answers are rounded, empty or in another unit: at most a warning."""
    service.stated = lambda task, _: STATED[task.prompt.removeprefix("A sound called ")]
    service.sound = lambda task, kind: sounds.sound(task.name, kind, seconds=3.041)
    ended = machine.write(*STATED).run("--yes", "--deadline", "30")
    assert ended.done, ended.said
    assert service.paid_once(len(STATED))


def test_the_same_bytes_twice_are_what_the_service_made(service: Service, machine: Machine) -> None:
    """A sound far shorter than asked for is fetched once more, and then accepted with a warning."""
    service.sound = lambda task, kind: sounds.sound(task.name, kind, seconds=1.2)
    ended = machine.write("a").run("--yes", "--deadline", "30")
    assert ended.done, ended.said
    assert service.count("file") >= 2
    assert "warn" in json.dumps(ended.report).lower()
    assert service.paid_once(1)


@pytest.mark.parametrize("kind", ["wav", "mp3"])
def test_what_cannot_be_decoded_is_kept(service: Service, machine: Machine, kind: str) -> None:
    """Nothing paid is deleted: it lies under `rejected`, byte by byte, with its reason in the report."""
    broken = b"no sound that anybody could decode" * 200
    service.sound = lambda *_: broken
    ended = machine.write("a", formats=[kind]).run("--yes", "--deadline", "45")
    kept = [path for path in machine.out.rglob("rejected/**/*") if path.is_file()]
    assert ended.status in {1, 6}, ended.said
    assert broken in [path.read_bytes() for path in kept]
    assert ended.takes["a:1"]["error"]["message"]
    assert service.paid_once(1)


def test_junk_before_the_first_frame_loses_no_sound(service: Service, machine: Machine) -> None:
    """An MP3 that begins with junk is delivered where it can be decoded, and kept where it cannot."""
    served = b"\0" * 300 + sounds.sound("junk", "mp3")
    service.sound = lambda *_: served
    machine.write("a", formats=["mp3"]).run("--yes", "--deadline", "45")
    assert served in [path.read_bytes() for path in machine.out.rglob("*") if path.is_file()]
    assert service.paid_once(1)


def finished(machine: Machine, first: Ended) -> Ended:
    """Run again what was left pending."""
    assert first.status in {0, 6}, first.said
    assert "failed" not in first.statuses
    return first if first.status == 0 else machine.run("--yes")


def test_audios_that_are_shown_late_are_waited_for(service: Service, machine: Machine) -> None:
    """A task that has succeeded without its audios is not given up for a settle time."""
    service.audios_after_s = 1.7
    ended = finished(machine, machine.write("a", "b").run("--yes", "--settle-time", "2", "--deadline", "30"))
    assert ended.done, ended.said
    assert service.paid_once(2)


def test_a_file_that_is_not_there_yet_is_waited_for(service: Service, machine: Machine) -> None:
    """The file host answers 403 or 404 until its cache is filled: that is not for good within a settle time."""

    def meddle(call: Call) -> Say | None:
        young = call.kind == "file" and call.at < service.tasks[-1].ends + 1.7
        return Say(status=403 + call.n % 2) if young else None

    service.meddle = meddle
    ended = finished(machine, machine.write("a", "b").run("--yes", "--settle-time", "2", "--deadline", "30"))
    assert ended.done, ended.said
    assert service.paid_once(2)


def test_two_runs_on_one_lock_keep_each_others_entries(service: Service, machine: Machine) -> None:
    """The lock is read again and merged where it is written."""
    machine.write("a", "b")
    go_on = threading.Event()

    def meddle(call: Call) -> None:
        if call.kind == "file" and call.n == 1:
            go_on.wait(30)

    service.meddle = meddle
    with machine.started("--yes", "--select", "a", "--no-store") as slow:
        service.wait_for(lambda service: service.count("file") == 1)
        quick = machine.run("--yes", "--select", "b", "--no-store", out="other")
        go_on.set()
        ended = machine.ended(slow)
    assert (ended.status, quick.status) == (0, 0), ended.said + quick.said
    plan = machine.run("--no-store", "--format", "json", verb="plan", out="third")
    assert json.loads(plan.out)["summary"]["generate"] == 0
    assert service.paid_once(2)


def test_rows_that_come_back_are_not_paid_again(service: Service, machine: Machine) -> None:
    """A dropped entry is kept as retired while the store has its bytes."""
    table, rows = machine.folder / "rows.csv", ["a,A creak,3.0", "b,A drip,3.0", "c,A gust,3.0"]
    machine.folder.mkdir(parents=True)

    def run(*kept: str) -> Ended:
        table.write_text("\n".join(["id,prompt,duration", *kept]) + "\n", encoding="utf-8")
        return machine.run("--yes", "--deadline", "20", manifest="rows.csv")

    assert run(*rows).done
    assert run(rows[0]).status == 0
    shutil.rmtree(machine.out)
    service.forget_all()
    ended = run(*rows)
    assert ended.done, ended.said
    assert service.paid_once(3)


def test_a_reroll_that_arrives_before_the_hold_is_planned_with(service: Service, machine: Machine) -> None:
    """A run that had nothing to pay when it was planned can reach the service for what it finds under the hold."""
    machine.write("a", "b").run("--yes", "--no-store")
    machine.write("a", "b", tags=["another"])
    service.generation_s = 4.0
    with machine.background("--yes", "--no-store") as stopped:
        reroll = machine.run("a:1", "--yes", "--no-store", "--deadline", "3", verb="reroll")
        ended = stopped.foreground(timeout_s=15)
    assert reroll.status == 6, reroll.said
    assert ended.done, ended.said
    assert max(service.names.values()) == 1


IMPOSSIBLE = {
    "bracket": "http://[::1", "port": "http://127.0.0.1:65536/a.wav", "scheme": "gopher://127.0.0.1/a.wav",
    "host": "http://xn--/a.wav", "none": "no address", "no label": "http://a..b/a.wav",
    "long label": f"http://{'x' * 64}.test/a.wav",
}  # fmt: skip


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_an_impossible_url_stays_with_its_take(service: Service, machine: Machine, kind: str) -> None:
    """One take whose file cannot be asked for leaves the others delivered and the report written.

    The host is what 2599744 dies of; the other addresses guard what it does already.
    """
    service.file_address = lambda task, form: (
        IMPOSSIBLE[kind] if task.prompt.endswith(" bad") else f"{service.files_url}/{task.task_id}.{form}"
    )
    ended = machine.write("a", "bad", "c", "d").run("--yes", "--deadline", "20")
    assert ended.status in {1, 6}, ended.said
    assert [name for name, take in ended.takes.items() if take["status"] == "succeeded"] == ["a:1", "c:1", "d:1"]
    bad = next(task for task in service.tasks if task.prompt.endswith(" bad"))
    assert ended.takes["bad:1"]["task_id"] == bad.task_id
    assert service.paid_once(4)


def test_a_sound_that_was_replaced_is_found_again(service: Service, machine: Machine) -> None:
    """Edition 1, 2 and 1 again: the first sound still lies in the folder, though nobody else has it."""
    machine.write("a").run("--yes", "--no-store")
    path = machine.out / "a-01.wav"
    first = path.read_bytes()
    assert machine.write("a", edition=2).run("--yes", "--no-store").done
    assert path.read_bytes() != first
    service.forget_all()
    ended = machine.write("a", edition=1).run("--yes", "--no-store", "--deadline", "20")
    assert ended.done, ended.said
    assert path.read_bytes() == first
    assert service.paid_once(2)


def test_a_failure_is_known_by_any_of_its_names(service: Service, machine: Machine) -> None:
    """`FAILED`, `cancelled` and `expired` are ends, not tasks that run."""
    words = ("FAILED", "cancelled", "expired")
    service.ending = lambda task: (task.prompt.removeprefix("A sound called "), "no")
    ended = machine.write(*words).run("--yes", "--retries", "0", "--deadline", "12")
    assert ended.status == 1, ended.said
    assert ended.statuses == ["failed"] * 3
    assert service.paid_once(3)


def test_a_machine_that_slept_does_not_lose_patience(service: Service, machine: Machine) -> None:
    """Time that a laptop slept is no time in which nothing moved; the sleep itself is what this test has to last."""
    service.generation_s = 3.5
    with machine.write("a").started("--yes", "--patience", "2") as process:
        service.wait_for(lambda service: service.watched)
        process.send_signal(signal.SIGSTOP)
        threading.Event().wait(2.5)
        process.send_signal(signal.SIGCONT)
        ended = machine.ended(process)
    assert ended.done, ended.said
    assert service.paid_once(1)
