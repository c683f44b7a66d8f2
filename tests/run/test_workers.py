"""Workers: what is heavy is done by other processes, on this machine or of a cluster, and nothing is lost with them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from distributed.comm import CommClosedError
from jsonschema import Draft7Validator

from kling_batch import Access, Options, load, run_sync
from kling_batch.cli import main
from kling_batch.events import Event, TakeChanged, Warned
from kling_batch.records.lock import Lock, read_lock
from kling_batch.resources import schema
from kling_batch.running import crew_at

JOBS = """
version: 1
project: tavern
defaults: {{duration: 3.0, formats: [wav], finish: {finish}}}
jobs:
  - {{id: door, prompt: Old oak door creaks open, takes: {takes}}}
"""
ROOT = Path(__file__).parents[2]
TAKES = int(os.environ.get("TAKES_OVER_WORKERS", "30"))
"""How many takes go over a cluster that is disturbed; 300 is what `docs/proof.md` tells of."""
QUICK = "{peak: -3, formats: [wav]}"
OTHER = "{peak: -6, formats: [wav, flac]}"


class Library:
    """A set whose recipe is written anew as it goes on."""

    def __init__(self, tavern: Any, serve: Any, takes: int) -> None:
        self.tavern, self.takes = tavern, takes
        self.server = serve()
        self.write(QUICK)

    def write(self, finish: str) -> None:
        self.tavern.manifest.write_text(JOBS.format(finish=finish, takes=self.takes))

    def call(self, *words: str) -> int:
        verb, *options = words
        return int(main([verb, str(self.tavern.manifest), *options]))

    def lock(self) -> Lock:
        return read_lock(Path(f"{self.tavern.manifest}.lock"), project="tavern")

    def workers(self) -> list[str | None]:
        return [take.get("worker") for take in self.tavern.report()["takes"]]

    def is_whole(self) -> bool:
        """Whether each take was paid for once, is locked once, and stands there as it was locked."""
        paid = [charge.external_id for charge in self.server.world.ledger.charges]
        locked = [entry.external_id for entry in self.lock().entries.values()]
        Draft7Validator(schema("report")).validate(self.tavern.report())
        return (
            len(paid) == self.takes and sorted(paid) == sorted(set(paid)) == sorted(locked) and self.call("verify") == 0
        )


@pytest.fixture
def library(tavern: Any, serve: Any) -> Callable[[int], Library]:
    return lambda takes: Library(tavern, serve, takes)


class Cluster:
    """A Dask scheduler and its workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[subprocess.Popen[str]] = []
        self.scheduler, self.address = self._start("scheduler", "--port", "0", until=r"Scheduler at: +(tcp://\S+)")

    def add(self, *options: str) -> subprocess.Popen[str]:
        words = ("--nthreads", "1", "--no-nanny", "--local-directory", str(self._folder))
        worker, _ = self._start("worker", self.address, *words, *options, until="Registered to: +(tcp)")
        return worker

    def _start(self, kind: str, *words: str, until: str) -> tuple[subprocess.Popen[str], str]:
        """Start a process, and read on until it says what it is waited for."""
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--host", "127.0.0.1", "--no-dashboard"]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("KLING_")}
        process = subprocess.Popen(
            [*command, *words],
            stderr=subprocess.PIPE,
            text=True,
            cwd=self._folder,
            env={**environ, "PYTHONPATH": str(ROOT)},
        )
        self.started.append(process)
        said = process.stderr
        assert said is not None
        found = next(found for line in said if (found := re.search(until, line)))
        threading.Thread(target=said.read, daemon=True).start()
        return process, found[1]

    def restart(self) -> None:
        """Kill the scheduler, and start another at its address, which no worker knows."""
        self.scheduler.kill()
        self.scheduler.wait()
        port = self.address.rpartition(":")[2]
        self.scheduler, _ = self._start("scheduler", "--port", port, until=r"Scheduler at: +(tcp://\S+)")

    def stop(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
            if process.stderr is not None:
                with suppress(OSError, ValueError):
                    process.stderr.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    started = Cluster(folder)
    yield started
    started.stop()


def at_the(number: int, act: Callable[[], object], told: list[str]) -> Callable[[Event], None]:
    """Watch a run: keep its warnings, and act when so many takes are given to workers."""
    left = itertools.count(1)

    def observe(event: Event) -> None:
        if isinstance(event, Warned):
            told.append(event.message)
        if isinstance(event, TakeChanged) and event.state == "at-worker" and next(left) == number:
            act()

    return observe


def run(library: Library, workers: str, observe: Callable[[Event], None]) -> int:
    """Do a run in this process, as another program does."""
    options = Options(consented=True, poll_interval_s=0.05, settle_time_s=0.2, workers=workers)
    project = load(library.tavern.manifest)
    store = library.tavern.folder / "store"
    outcome = run_sync(project, options, access=Access.of(os.environ), store=store, observe=observe)
    return int(outcome.result.exit_status)


def test_processes_that_die_and_hang(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes one is killed and one hangs: all is delivered, by workers that know no key."""
    monkeypatch.setattr(crew_at, "PATIENCE_S", 4.0)
    made, knew = library(12), list[bool]()
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    others = children.read_text().split()  # of earlier tests

    def act() -> None:
        killed, hung = multiprocessing.active_children()
        mine = {*children.read_text().split()} - {*others}
        knew.extend(b"KLING_" in Path(f"/proc/{each}/environ").read_bytes() for each in mine)
        os.kill(killed.pid or 0, signal.SIGKILL)
        os.kill(hung.pid or 0, signal.SIGSTOP)

    assert run(made, "2", at_the(5, act, [])) == 0
    assert len(knew) >= 2  # and the process by which Python ends them, unless that was there
    assert not any(knew)
    assert made.is_whole()
    assert set(made.workers()) <= {"process 1", "process 2"}
    assert not multiprocessing.active_children()


def test_a_worker_that_hangs_for_longer_than_a_service_is_waited_for(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked where all is at hand, so that nobody's silence ends the work."""
    made = library(1)
    assert made.call("run", "--yes", "--store", "store", "--poll-interval", "0.05", "--settle-time", "0.2") == 0
    made.write(OTHER)
    monkeypatch.setattr(crew_at, "PATIENCE_S", 2.0)
    monkeypatch.setattr("kling_batch.running.reading._FIRST_PATIENCE_S", 0.5)

    def hang() -> None:
        [process] = multiprocessing.active_children()
        os.kill(process.pid or 0, signal.SIGSTOP)

    assert run(made, "1", at_the(1, hang, [])) == 0
    assert made.is_whole()


def test_a_library_is_finished_again_over_processes(
    library: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another recipe, no keys: the sounds come from the store and go there, and one that is lost is named."""
    made, two = library(4), ("--store", "store", "--workers", "2")
    assert made.call("run", "--yes", "--store", "store", "--poll-interval", "0.05", "--settle-time", "0.2") == 0
    for name in ("KLING_ACCESS_KEY", "KLING_SECRET_KEY"):
        monkeypatch.delenv(name)
    before = made.lock()
    made.write(OTHER)
    assert made.call("finish", *two) == 0
    assert made.is_whole()
    assert set(made.workers()) <= {"process 1", "process 2"}
    entries = made.lock().entries
    for key, entry in entries.items():
        assert entry.files == before.entries[key].files
        assert {file.format for file in entry.finished} == {"wav", "flac"}
    assert made.call("verify", "--deep", *two) == 0
    [lost] = next(iter(entries.values())).files
    [kept] = Path("store").rglob(lost.sha256)
    kept.unlink()
    capsys.readouterr()
    assert made.call("verify", "--deep", *two) == 3
    assert capsys.readouterr().out == "unstored: sources/door-01.wav: the store's copy: it is not there, or damaged\n"
    made.write(QUICK)
    assert made.call("finish", *two) == 3
    assert re.fullmatch(
        "not finished: tavern: door:1: .*neither on this disk nor in the store.*\n", capsys.readouterr().out
    )
    assert [entry.recipe["finish"]["peak"] for entry in made.lock().entries.values()] == [-6, -3, -3, -3]


def test_a_manifest_with_an_error_is_told_of_before_any_is_finished(library: Any) -> None:
    """Hours of work on the first do not end at the last."""
    made = library(1)
    assert made.call("run", "--yes", "--poll-interval", "0.05", "--settle-time", "0.2") == 0
    before = made.lock()
    made.write(OTHER)
    Path("bad.yaml").write_text("version: 1\n")
    assert made.call("finish", "bad.yaml") == 2
    assert made.lock() == before
    assert made.call("finish") == 0
    assert made.lock() != before


def test_a_cluster_whose_workers_die_and_hang(library: Any, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three workers one is killed, one hangs; then the scheduler is started anew, and the run goes on alone."""
    monkeypatch.setattr(crew_at, "PATIENCE_S", 2.0)
    workers = [cluster.add() for _ in range(3)]
    made, told = library(TAKES), list[str]()

    def act() -> None:
        workers[0].kill()
        workers[1].send_signal(signal.SIGSTOP)

    assert run(made, cluster.address, at_the(TAKES // 3, act, told)) == 0
    assert made.is_whole()
    assert {*made.workers()} - {None}
    assert [words for words in told if "is given nothing more" in words]
    told.clear()
    monkeypatch.setattr("kling_batch.running.cluster._COMES_S", 2.0)  # for the one that hangs still
    made.write(OTHER)
    assert run(made, cluster.address, at_the(TAKES // 3, cluster.restart, told)) == 0
    assert made.is_whole()
    [alone] = [words for words in told if "goes on alone" in words]
    assert re.match(f"The cluster at {cluster.address} does nothing more, since it", alone)


def test_a_scheduler_that_hangs(library: Any, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run says so, and does all of it itself."""
    monkeypatch.setattr(crew_at, "PATIENCE_S", 1.0)
    cluster.add()
    made, told = library(6), list[str]()

    def hang() -> None:
        monkeypatch.setattr("kling_batch.running.cluster._CONNECTS_S", 0.5)
        cluster.scheduler.send_signal(signal.SIGSTOP)

    try:
        assert run(made, cluster.address, at_the(1, hang, told)) == 0
    finally:
        cluster.scheduler.send_signal(signal.SIGCONT)
    assert made.is_whole()
    assert [words for words in told if "its scheduler has not answered" in words]


def test_a_worker_of_another_version(library: Any, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """It is given nothing where it joins later, and refused at the start."""
    cluster.add()
    made, told = library(12), list[str]()
    other = ("--preload", "import kling_batch; kling_batch.__version__ = '9.9'")
    assert run(made, cluster.address, at_the(1, lambda: bool(cluster.add(*other)), told)) == 0
    assert made.is_whole()
    assert re.search("Worker .* is given nothing more: it has kling-batch 9.9, and this is ", "\n".join(told))
    made.write(OTHER)
    assert made.call("finish", "--store", "store", "--workers", cluster.address) == 2
    assert "has kling-batch 9.9, and this is" in capsys.readouterr().err


def test_a_cluster_and_a_bucket(
    library: Any,
    cluster: Cluster,
    cloud: dict[str, str],
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Workers take the bucket's keys from their own environment, and all goes by the bucket; without keys, nothing."""
    made, options = library(3), ("--store", f"{bucket}/sounds", "--workers", cluster.address)
    run = ("run", "--yes", "--poll-interval", "0.05", "--settle-time", "0.2", *options)
    for name, value in cloud.items():
        monkeypatch.setenv(name, value)
    cluster.add()
    assert made.call(*run) == 0
    assert all(worker is not None and worker.startswith("tcp://") for worker in made.workers())
    assert made.call("verify", "--deep", *options) == 0
    shutil.rmtree(made.tavern.out)
    assert made.call("restore", *options) == 0
    made.write(OTHER)
    assert made.call("finish", *options) == 0
    assert made.is_whole()
    assert None not in made.workers()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nowhere")
    cluster.add()
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud["AWS_ENDPOINT_URL"])
    capsys.readouterr()
    made.write(QUICK)
    assert made.call("finish", *options) == 2
    assert "store's keys in their own environment" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workers", "0"], "neither a number of processes nor the address"),
        (["--workers", "many"], "neither a number of processes nor the address"),
        (["--workers", "2", "--no-store"], "workers hand sounds over by the store"),
        (["--workers", "2", "--sandbox"], "workers cannot reach a sandbox inside the process"),
        (["--workers", "tcp://127.0.0.1:1", "--store", "store"], "no Dask scheduler answers there"),
        (["--workers", "tls://127.0.0.1:1", "--store", "store"], "tls:// needs certificates"),
    ],
)
def test_workers_that_cannot_be(
    words: list[str], said: str, library: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said before anything is paid for."""
    made = library(1)
    monkeypatch.setattr("kling_batch.running.cluster._CONNECTS_S", 0.5)
    assert made.call("run", "--yes", *words) == 2
    assert said in capsys.readouterr().err
    assert not made.server.world.ledger.charges


def test_an_address_where_something_else_answers(
    library: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes the connection and says nothing is no scheduler, and holds nobody up."""
    made = library(1)
    monkeypatch.setattr("kling_batch.running.cluster._CONNECTS_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        assert made.call("run", "--yes", "--workers", address, "--store", "store") == 2
    assert "no Dask scheduler answers there" in capsys.readouterr().err


def test_a_scheduler_that_goes_while_workers_are_waited_for(
    library: Any, cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said of the cluster, before anything is paid for."""

    async def gone(*_: Any, **__: Any) -> None:
        raise CommClosedError("gone")

    made = library(1)
    monkeypatch.setattr("distributed.Client.wait_for_workers", gone)
    assert made.call("run", "--yes", "--workers", cluster.address, "--store", "store") == 2
    assert "its scheduler has gone" in capsys.readouterr().err
