"""Machines of a team with a bucket: who works, who waits, and what they know of each other's work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kling_batch.errors import DiskUnusable
from kling_batch.records import lease as leases
from kling_batch.records.lease import Lease
from kling_batch.records.object_store import ObjectDocuments, Tag
from kling_batch.service.auth import Keys
from tests.promises.machine import Machine
from tests.promises.service import KEY, LOSE, Call, Service

LIFE_S = 0.6
"""How long a lease lasts where a test waits for its end."""

Machines = Callable[[], Machine]


def account(service: Service) -> str:
    return Keys(api_key=KEY).fingerprint(service.url)


@pytest.fixture
def held(documents: ObjectDocuments, service: Service) -> Iterator[Lease]:
    """Have somebody hold the lease of the set, who is alive until the test's end."""
    lease = Lease(documents, account(service), "set")
    lease.take(wait_s=0, tell=lambda _: None)
    yield lease
    lease.end(None)


@pytest.fixture
def dead(documents: ObjectDocuments, service: Service, monkeypatch: pytest.MonkeyPatch) -> Lease:
    """Have somebody hold the lease who was killed, by a clock of their own; a lease is short."""
    monkeypatch.setattr(leases, "LIFE_S", LIFE_S)
    lease = Lease(documents, account(service), "set", clock=lambda: 10.0**9)
    assert lease._try() is None
    return lease


def object_of(documents: ObjectDocuments, service: Service) -> Any:
    """Read the lease past the program."""
    return json.loads(documents.read(f"leases/{account(service)}/set.json").data)


def test_a_run_holds_the_lease_and_ends_it(
    machines: Machines, service: Service, store: str, documents: ObjectDocuments
) -> None:
    """While it runs, the object names it; afterwards the object says that nobody works."""
    seen: list[Any] = []
    service.meddle = lambda call: seen.append(object_of(documents, service)) if call.kind == "create" else None
    done = machines().run("--yes", "--store", store)
    assert done.done, done.said
    assert seen[0]["ended"] is False
    assert seen[0]["host"]
    assert object_of(documents, service)["ended"] is True


def test_a_second_run_says_who_works(machines: Machines, service: Service, store: str, held: Lease) -> None:
    """It ends with exit status 6 before anything, and sends nothing. A sandbox of its own disturbs nobody."""
    machine = machines()
    done = machine.run("--yes", "--store", store)
    assert done.status == 6
    assert machine.run("--sandbox", "--store", store, out="played").status == 0
    assert str(held.look()) in done.said
    assert service.tasks == []


def test_who_waits_goes_on_when_the_other_ends(
    machines: Machines, store: str, held: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--wait` queues, and says for whom."""
    monkeypatch.setattr(leases, "_LOOKS", 600)
    said: list[str] = []

    def tell(*lines: str, **_: bool) -> None:
        held.end(None)
        said.extend(lines)

    waited_for = str(held.look())
    monkeypatch.setattr("kling_batch.cli.execute.say", tell)
    assert machines().run("--yes", "--store", store, "--wait", "30").done
    assert waited_for in said[0]


@pytest.mark.usefixtures("dead")
def test_a_dead_run_is_succeeded(machines: Machines, store: str) -> None:
    """Who waits long enough takes over from a holder that was killed, whatever the clocks of both say."""
    assert machines().run("--yes", "--store", store).status == 6
    assert machines().run("--yes", "--store", store, "--wait", "30").done


def test_the_lease_names_calls_until_the_lock_does(documents: ObjectDocuments, service: Service, held: Lease) -> None:
    """It stays small, however much is spoken."""
    for call in ("kb-a", "kb-b"):
        held.note(call)
    held.forget({"kb-a"})
    held.renew()
    assert object_of(documents, service)["calls"].keys() == {"kb-b"}


@pytest.mark.parametrize("ends", ["killed", "unlocked", "in good order"])
def test_speech_that_was_lost_elsewhere_is_not_spoken_again(
    machines: Machines, service: Service, store: str, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """Nobody can be asked for it, so the lease tells of it to every machine, until the lock does."""
    monkeypatch.setattr(leases, "LIFE_S", LIFE_S)
    words = ("--yes", "--store", store, "--wait", "30", "--concurrency", "1")
    service.meddle = lambda call: LOSE if call.kind == "create" and call.n > 1 else None
    with pytest.MonkeyPatch.context() as death:
        if ends != "in good order":
            death.setattr(Lease, "end", lambda lease, *_: lease._end.set())
        assert machines().speak("one", "two").run(*words).status == 6
    service.meddle = lambda _: None
    if ends == "unlocked":
        assert machines().speak("one", "two").ask("unlock", "set.json", "--store", store, "--yes").status == 0
    for _ in range(2):
        ended = machines().speak("one", "two").run(*words)
        assert (ended.status, sorted(ended.statuses)) == (6, ["succeeded", "unknown"]), ended.said
    assert service.paid_once(2)
    assert machines().speak("one", "two").run(*words, "--unproven").done
    assert machines().speak("one", "two").run(*words).done
    assert len(service.tasks) == 3


def test_unlock_removes_the_lease_of_one_that_is_gone(machines: Machines, store: str, dead: Lease) -> None:
    """It says who held it, and needs consent."""
    machine, holder = machines(), str(dead.look())
    asked = machine.ask("unlock", "set.json", "--store", store)
    assert (asked.status, holder in asked.out) == (6, True)
    assert machine.ask("unlock", "set.json", "--store", store, "--yes").status == 0
    assert "No run" in machine.ask("unlock", "set.json", "--store", store, "--yes").said
    assert machine.run("--yes", "--store", store).done


def test_a_run_that_was_taken_over_sends_nothing_more(
    machines: Machines, service: Service, store: str, documents: ObjectDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds its place taken right before it would pay, says by whom, and ends with exit status 6."""
    monkeypatch.setattr(leases, "LIFE_S", LIFE_S)
    mine = Lease(documents, account(service), "set")

    def take_over(call: Call) -> None:
        if call.kind == "list" and (holder := mine.look()).pid and not holder.ended:
            mine._me = replace(mine._me, pid=0, who="a thief")
            monkeypatch.setattr(mine.claim, "is_free", lambda *_: True)
            mine._try()

    service.meddle = take_over
    done = machines().run("--yes", "--store", store)
    assert done.status == 6
    assert "a thief" in done.said
    assert service.tasks == []
    assert set(done.statuses) == {"pending"}


@pytest.mark.parametrize("passing", [True, False])
def test_a_lease_that_cannot_be_renewed(
    machines: Machines, service: Service, store: str, monkeypatch: pytest.MonkeyPatch, passing: bool
) -> None:
    """Trouble of the storage that passes is waited out; where it lasts, nothing is sent while the lease may be over."""
    monkeypatch.setattr(leases, "LIFE_S", LIFE_S)
    real, looked, failed = ObjectDocuments.write, [0], [0]
    service.meddle = lambda call: looked.__setitem__(0, looked[0] + (call.kind == "list"))

    def write(self: ObjectDocuments, name: str, data: bytes, *, after: Tag | None) -> Tag | None:
        if looked[0] and name.startswith("leases/") and not (passing and failed[0] > 2):
            failed[0] += 1
            raise DiskUnusable("the storage is away")
        return real(self, name, data, after=after)

    monkeypatch.setattr(ObjectDocuments, "write", write)
    done = machines().run("--yes", "--store", store)
    assert failed[0] > 2
    if passing:
        assert done.done
        assert service.paid_once(2)
    else:
        assert (done.status, service.tasks) == (6, [])
        assert "could not be renewed" in done.said
        assert set(done.statuses) == {"pending"}


def test_storage_that_ignores_conditions_is_refused(
    machines: Machines, service: Service, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would let two runs in."""
    real = ObjectDocuments.write

    def careless(self: ObjectDocuments, name: str, data: bytes, **_: Tag | None) -> Tag | None:
        return real(self, name, data, after=self.read(name).tag)

    monkeypatch.setattr(ObjectDocuments, "write", careless)
    done = machines().run("--yes", "--store", store)
    assert done.status == 2
    assert "If-Match" in done.said
    assert service.tasks == []


def test_a_bucket_that_is_gone_stops_a_run_before_it_pays(machines: Machines, service: Service) -> None:
    """Where nobody can say whether another run works, nothing is sent."""
    done = machines().run("--yes", "--store", "s3://no-such-bucket-of-ours/sounds")
    assert done.status == 6
    assert "no such bucket" in done.said
    assert service.tasks == []


def test_the_lock_goes_along(machines: Machines, service: Service, store: str) -> None:
    """A bare machine takes lock and sounds from the bucket: it asks nothing, pays nothing and waits for nothing."""
    assert machines().run("--yes", "--store", store).done
    paid, asked = len(service.tasks), len(service.calls)
    other = machines()
    bare = other.ask("restore", "set.json", "--store", store)
    assert bare.status == 3
    assert "kling-batch lock pull brings it" in bare.said
    assert other.ask("lock", "pull", "set.json", "--store", store).status == 0
    assert other.run("--store", store).done
    assert (len(service.tasks), len(service.calls)) == (paid, asked)
    third = machines()
    assert third.run("--yes", "--store", store).done
    assert len(service.tasks) == paid


def test_a_run_goes_on_where_the_teams_lock_cannot_be_written(
    machines: Machines, service: Service, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is brought there later; what is paid for is in the machine's lock, in the journal and in the store."""
    real = ObjectDocuments.write

    def write(self: ObjectDocuments, name: str, data: bytes, *, after: Tag | None) -> Tag | None:
        if name.startswith("state/"):
            raise DiskUnusable("the storage is away")
        return real(self, name, data, after=after)

    monkeypatch.setattr(ObjectDocuments, "write", write)
    done = machines().run("--yes", "--store", store)
    assert done.done
    assert service.paid_once(2)
    assert "The team's lock is not up to date: the storage is away" in done.said


def test_what_was_locked_elsewhere_is_pushed(machines: Machines, store: str) -> None:
    """Two machines lock different takes; after both have pushed, each has both."""
    one, two = machines().write("creak"), machines().write("rain")
    for machine in (one, two):
        assert machine.run("--yes", "--no-store").done
        assert machine.ask("lock", "push", "set.json", "--store", store, "--out", "sounds").status == 0
    assert one.ask("lock", "pull", "set.json", "--store", store, "--out", "sounds").status == 0
    for machine in (one, two):
        takes = json.loads((machine.folder / "set.json.lock").read_text())["takes"]
        assert {take["job_id"] for take in takes if isinstance(take, dict)} == {"creak", "rain"}


@pytest.mark.parametrize(("data", "repair"), [(b'{"lock_version": 2}', "Install"), (b"", "remove that object")])
def test_a_teams_lock_that_cannot_be_read(
    machines: Machines, store: str, documents: ObjectDocuments, data: bytes, repair: str
) -> None:
    """One that is broken may be removed; one of a newer version is right, and its reader has to be renewed."""
    documents.write("state/set.lock", data, after=None)
    done = machines().ask("lock", "pull", "set.json", "--store", store, "--out", "sounds")
    assert done.status == 2
    assert repair in done.said.partition("lock:1: ")[2].partition("\n")[2]


def test_a_journal_that_the_lease_names_looks_once(machines: Machines, store: str) -> None:
    """It is known to have worked last, also where nothing on its machine says so; once another worked, it is not."""
    machine, options = machines(), ("--settle-time", "0.2", "--store", store, "--yes")

    def looks_twice(*jobs: str) -> bool:
        for mark in (machine.home / "state").rglob("journal-*.json"):
            mark.unlink()
        done = machine.write(*jobs).run(*options)
        assert done.done
        return "twice" in done.said

    assert looks_twice("creak")
    assert not looks_twice("creak", "rain")
    assert machines().write("snow").run(*options).done
    assert looks_twice("creak", "rain", "wind")


def test_machines_without_a_bucket_know_nothing_of_leases(machines: Machines, tmp_path: Path) -> None:
    """A run with a folder for its store does not even import what talks to object storage."""
    machine = machines()
    command = f"""
import sys
from kling_batch.cli import main
status = main({machine.command("run", "--yes", "--store", str(tmp_path / "store"))[3:]!r})
sys.exit(status or "obstore" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", command], cwd=machine.folder, env=machine.variables(), check=True)
