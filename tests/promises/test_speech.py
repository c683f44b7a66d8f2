"""What is spoken is named in the answer to its call alone: whatever that says, nothing of it is lost or paid twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.promises.machine import Machine
from tests.promises.service import LOSE, Service, refuse

Row = dict[str, Any]


def renamed(row: Row) -> Row:
    """Name the file as sounds have it."""
    (audio,) = row["task_result"]["audios"]
    return {**row, "task_result": {"audios": [{"id": audio["id"], "url_mp3": audio["url"]}]}}


@pytest.mark.parametrize(
    "said",
    [
        lambda row: {**row, "task_id": ""},
        lambda row: {**row, "task_status": "processing"},
        lambda row: {**row, "task_status": "SUCCESS"},
        lambda row: {**row, "task_info": {"external_task_id": "a name of its own"}},
        lambda row: [row],
        renamed,
    ],
    ids=["no id", "not ended", "an unknown word", "a name", "a list", "other fields"],
)
def test_an_answer_that_names_the_file_is_taken(
    machine: Machine, service: Service, said: Callable[[Row], object]
) -> None:
    """The documentation has one form of it, and it is not to be had again."""
    service.spoken = said
    ended = machine.speak("one", "two").run("--yes")
    assert ended.done, ended.said
    assert service.paid_once(2)


def test_one_that_has_not_ended_holds_nothing_up(machine: Machine, service: Service) -> None:
    """No query for it is documented: where there is none, it alone is unknown, in every run, and not sent again."""
    first: list[str] = []

    def unended(row: Row) -> Row:
        first.append(row["task_id"])
        return row if row["task_id"] != first[0] else {**row, "task_status": "submitted", "task_result": {}}

    service.spoken = unended
    machine.speak("one", "two", "three")
    for _ in range(2):
        ended = machine.run("--yes")
        assert (ended.status, sorted(ended.statuses)) == (6, ["succeeded", "succeeded", "unknown"])
        assert any(first[0] in str(take["error"]) for take in ended.takes.values())
    assert service.paid_once(3)


def test_another_key_of_the_account_is_no_reason_to_lose_it(machine: Machine, service: Service) -> None:
    """No account shows what was spoken: whose the folder is is left to a person, and what is paid for is fetched."""
    service.meddle = lambda call: refuse(503, 5001) if call.kind == "file" else None
    assert machine.speak("one").run("--yes", "--patience", "1").status == 6
    service.meddle = lambda _: None
    other = replace(machine, environment={"KLING_API_KEY": "a-newer-key-of-the-account"})
    asked = other.run("--yes")
    assert (asked.status, "--rebind" in asked.said) == (2, True), asked.said
    assert other.run("--yes", "--rebind").done
    assert service.paid_once(1)


def test_a_folder_that_is_gone_does_not_have_it_spoken_again(machine: Machine, service: Service) -> None:
    """Nobody can be asked for it: that it was sent stands beside the account as well, until the lock tells of it."""
    service.meddle = lambda call: LOSE if call.kind == "create" and call.n > 1 else None
    assert machine.speak("one", "two").run("--yes", "--concurrency", "1").status == 6
    service.meddle = lambda _: None
    shutil.rmtree(machine.out)
    ended = machine.run("--yes")
    assert (ended.status, sorted(ended.statuses)) == (6, ["succeeded", "unknown"]), ended.said
    assert service.paid_once(2)
    shutil.rmtree(machine.out)
    assert machine.run("--yes", "--unproven").done
    assert len(service.tasks) == 3
    assert not any(json.loads(file.read_text()) for file in machine.home.rglob("accounts/*/calls-*.json"))
