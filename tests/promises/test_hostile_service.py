"""Whatever the service and the way to it do, the program ends in words, shows no key, and is no mess to look at."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from kling_batch.cli import environment
from tests.promises import sounds
from tests.promises.machine import Ended, Machine
from tests.promises.service import KEY, Call, Say, Service, Task, refuse

BOMB = Say(status=200, body=gzip.compress(bytes(64 << 20)), headers={"Content-Encoding": "gzip"})
"""64 MB of zeros in 64 kB."""
ENDLESS = Say(status=200, body=bytes(9 << 20))
"""More than any page of the list needs."""
ECHO = f"api key {KEY} not found, Bearer {KEY}"
DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "spoilt": sounds.spoilt,
    "cut": lambda mp3: mp3[:-700],
    "a hole": lambda mp3: mp3[:4000] + mp3[5000:],
    "junk at its head": lambda mp3: b"junk" * 99 + mp3,
    "a second tag": lambda mp3: sounds.id3(mp3, 2),
}


def written(folder: Path) -> bytes:
    """Give every byte that lies below a folder, names and all."""
    return b"".join(str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*"))


def shows_no_key(machine: Machine, ended: Ended) -> bool:
    """Look through everything that a program wrote and said."""
    return KEY.encode() not in written(machine.home) + ended.out.encode() + ended.said.encode()


@pytest.mark.parametrize("say", [BOMB, ENDLESS], ids=["bomb", "endless"])
@pytest.mark.parametrize("kind", ["create", "query", "list"])
def test_an_answer_without_an_end_is_none(service: Service, machine: Machine, kind: str, say: Say) -> None:
    """It is read up to a bound; a create whose answer it is, is unclear, and looked for."""
    service.meddle = lambda call: say if (call.kind, call.n) == (kind, 1) else None
    ended = machine.write("a", "b").run("--yes", "--deadline", "30")
    assert ended.done, ended.said
    assert service.paid_once(2)


@pytest.mark.parametrize("verb", ["account", "tasks", "voices", "doctor"])
def test_a_bomb_ends_a_question_in_words(
    service: Service, machine: Machine, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The questions that a person asks by hand have the same bound."""
    monkeypatch.setattr(environment, "_PATIENCE_S", 2.0)
    service.meddle = lambda _: BOMB
    machine.write("a")
    ended = machine.ask(verb)
    assert ended.status == 6
    assert "more than" in ended.said + ended.out


def test_damage_to_a_sound_is_told_by_the_program_alone(service: Service, machine: Machine) -> None:
    """The decoder's own remarks would tear the progress bar."""
    service.generation_s = 0.6  # long enough for the first task to be seen while it runs
    jobs = {name.replace(" ", "-"): make for name, make in DAMAGED.items()}
    service.sound = lambda task, kind: jobs[task.prompt.removeprefix("A sound called ")](sounds.sound(task.name, kind))
    with machine.write(*jobs, formats=["mp3"]).terminal("--yes", "--deadline", "30") as terminal:
        assert not terminal.question()
    assert machine.report()["summary"]["succeeded"] == len(jobs), terminal.shown
    assert "mpg123" not in terminal.shown
    assert "Xing" not in terminal.shown


@pytest.mark.parametrize("kind", ["create", "query", "list"])
def test_a_key_that_the_service_repeats_is_shown_nowhere(service: Service, machine: Machine, kind: str) -> None:
    """Neither on the terminal nor in a report, the journal or the lock; the words around it are."""
    service.meddle = lambda call: refuse(400, 1301, ECHO) if call.kind == kind else None
    ended = machine.write("a").run("--yes", "--deadline", "4", "--patience", "2")
    assert ended.status != 8, ended.said
    assert kind == "list" or "not found" in ended.said
    assert shows_no_key(machine, ended)


def test_a_key_in_a_failure_is_shown_nowhere(service: Service, machine: Machine) -> None:
    """What a task says of its end goes into the journal and every report."""
    service.ending = lambda _: ("failed", ECHO)
    ended = machine.write("a").run("--yes", "--retries", "0", "--deadline", "20")
    assert "not found" in ended.takes["a:1"]["error"]["message"]
    assert shows_no_key(machine, ended)


def test_a_key_in_a_files_address_is_shown_and_sent_nowhere(service: Service, machine: Machine) -> None:
    """The address is of no use then; the other take is delivered."""
    service.file_address = lambda task, kind: (
        f"{service.files_url}/{task.task_id}.{kind}" + (f"?token={KEY}" if task.prompt.endswith(" a") else "")
    )
    ended = machine.write("a", "b").run("--yes", "--deadline", "20")
    assert ended.takes["b:1"]["status"] == "succeeded"
    assert not [call for call in service.calls if KEY in call.name]
    assert shows_no_key(machine, ended)


class Echo:
    """A service that repeats what it was asked with in every field of every answer, also as in a URL and in JSON.

    Each task has one of its fields spoilt so; what needs no reading has it in all of them.
    """

    FIELDS = (
        "task_id", "task_status", "task_status_msg", "external_task_id", "created_at", "updated_at",
        "final_unit_deduction", "id", "url_mp3", "url_wav", "duration_mp3", "duration_wav",
    )  # fmt: skip

    def __init__(self, service: Service) -> None:
        self.service = service
        self.tokens: set[str] = set()
        service.row = self.row
        service.meddle = self.meddle
        service.headers = lambda _: {name: f'"{self.words()}"' for name in ("ETag", "X-Request-Id", "Content-Type")}

    def words(self) -> str:
        """Repeat the key or token of the latest call."""
        self.tokens.add(self.service.token)
        return f"{self.service.token} {quote(self.service.token, safe='')}"

    def row(self, task: Task, row: dict[str, Any]) -> dict[str, Any]:
        """Spoil the field that a task is called after, wherever it stands."""
        field = task.prompt.removeprefix("A sound called ").replace("-", "_")
        return dict(self._spoilt({**row, "more": {self.words(): [self.words()]}}, field))

    def _spoilt(self, value: Any, field: str) -> Any:
        match value:
            case dict():
                return {
                    name: f"{inner} {self.words()}" if name == field else self._spoilt(inner, field)
                    for name, inner in value.items()
                }
            case list():
                return [self._spoilt(each, field) for each in value]
            case _:
                return value

    def meddle(self, call: Call) -> Say | None:
        """Refuse some calls, and lead others astray."""
        if call.kind == "file":
            where = f"{self.service.files_url}/{call.name}?{quote(self.words())}"
            strays = {1: Say(status=302, headers={"Location": where}), 2: Say(status=403, body=self.words().encode())}
            return strays.get(call.n)
        if call.total in {18, 24}:
            return refuse(429, 1302, self.words())
        return refuse(503, 5001, self.words()) if call.total in {21, 27} else None


@pytest.fixture(params=["a key", "a token"])
def secrets(request: pytest.FixtureRequest, machine: Machine) -> tuple[str, ...]:
    """Give the machine a static key, or a pair that tokens are signed with; gives what must be shown nowhere."""
    (machine.home / "tmp").mkdir(parents=True)
    machine.environment["TMPDIR"] = str(machine.home / "tmp")
    if request.param == "a key":
        return (KEY,)
    pair = {"KLING_ACCESS_KEY": "access-key-of-the-fake", "KLING_SECRET_KEY": "secret-key-of-the-fake-service-32-bytes"}
    machine.environment.update({"KLING_API_KEY": "", **pair})
    return tuple(pair.values())


def test_what_every_field_of_every_answer_repeats_is_found_nowhere(
    service: Service, machine: Machine, secrets: tuple[str, ...]
) -> None:
    """By a search through every byte that any command wrote or said, of key, secret and token, escaped or not."""
    echo = Echo(service)
    service.generation_s = 0.6
    pack = {"resource_pack_name": secrets[0], "resource_pack_id": secrets[-1], "remaining_quantity": 1}
    service.packs = {"code": 0, "msg": secrets[0], "resource_pack_subscribe_infos": [{**pack, "status": secrets[-1]}]}
    machine.write("whole", *(name.replace("_", "-") for name in Echo.FIELDS))
    options = ("--concurrency", "12", "--retries", "0", "--no-store", "--patience")
    ended = [machine.process("--yes", "--select", "whole", "--verbose", *options, "30")]
    assert ended[0].done, ended[0].said
    ended += [machine.process("--yes", "--verbose", "--log-format", "json", *options, "4")]
    ended += [machine.process("--no-store", "--patience", "4", verb="restore")]
    assert not [each.said for each in ended if each.status == 2]
    ended += [machine.ask(*words.split()) for words in ("account", "tasks --format json", "doctor")]
    assert not [each.said for each in ended if each.status == 8]
    everything = written(machine.home) + "".join(each.out + each.said for each in ended).encode()
    assert service.paid_once(1 + len(Echo.FIELDS))
    found = {form for secret in (*secrets, *echo.tokens) for form in (secret, quote(secret, safe=""))}
    assert [form for form in found if form.encode() in everything] == []


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "what://h", "http://h:x", "http://[", "http://127.0.0.1:9"])
def test_a_proxy_is_no_matter_to_a_service_on_this_machine(service: Service, machine: Machine, proxy: str) -> None:
    """It is for hosts elsewhere, whether it could be used or not."""
    machine.environment["ALL_PROXY"] = proxy
    ended = machine.write("a").run("--yes", "--deadline", "20")
    assert ended.done, ended.said
    assert service.paid_once(1)


@pytest.mark.parametrize("proxy", ["what://user:hush@h", "http://user:hush@h:x", "http://user:hush@["])
def test_a_proxy_that_is_none_is_said_without_its_password(machine: Machine, proxy: str) -> None:
    """Where it is needed, nothing is sent."""
    machine.environment.update({"ALL_PROXY": proxy, "KLING_BASE_URL": "https://api.test"})
    ended = machine.write("a").run("--yes")
    assert ended.status == 2, ended.said
    assert "PROXY" in ended.said
    assert "hush" not in ended.said


@pytest.mark.parametrize("address", ["https://xn--", "https://a..b", f"https://{'x' * 64}.test"])
def test_an_address_that_there_cannot_be_is_said(machine: Machine, address: str) -> None:
    """It is the configuration's fault, and nothing is sent."""
    machine.environment["KLING_BASE_URL"] = address
    ended = machine.write("a").run("--yes")
    assert ended.status == 2, ended.said
    assert "KLING_BASE_URL" in ended.said
