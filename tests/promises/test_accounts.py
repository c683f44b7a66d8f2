"""A folder belongs to an account, not to a key: known by its tasks, and taken over by consent alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.promises.machine import Machine
from tests.promises.service import LOSE, Call, Say, Service

Machines = Callable[[], Machine]
TYPO, ROTATED, OTHER = "mistyped-key", "rotated-key", "key-of-another-account"


@pytest.fixture(autouse=True)
def accounts(service: Service) -> None:
    """Have a key that nobody made, a second one of the same account, and one of another."""
    service.accounts = {TYPO: None, OTHER: "another account"}


def with_key(machine: Machine, key: str) -> Machine:
    """Give the same machine with another key in its environment."""
    return replace(machine, environment={"KLING_API_KEY": key})


def loses_every_answer(call: Call) -> Say | None:
    """Do what a create asks for, and tell nobody."""
    return LOSE if call.kind == "create" else None


def has_tasks(count: int) -> Callable[[Service], bool]:
    """Tell whether so many tasks were made."""
    return lambda service: len(service.tasks) >= count


def folder(machine: Machine) -> dict[str, Any]:
    """Ask the doctor whose the output folder is."""
    told = machine.ask("doctor", "--out", str(machine.out), "--format", "json")
    rows: list[dict[str, Any]] = json.loads(told.out)["checks"]
    return next(row for row in rows if row["check"] == "folder")


def test_a_mistyped_key_leaves_the_folder_to_the_right_one(service: Service, machine: Machine) -> None:
    """The account stops the run with what to mend; nothing was made, and so the folder is nobody's."""
    machine.write("a", "b")
    wrong = with_key(machine, TYPO).run("--yes")
    assert (wrong.status, "1002" in wrong.said) == (5, True), wrong.said
    assert folder(machine)["message"].endswith("belongs to no account so far: no task was made in it")
    ended = machine.run("--yes")
    assert ended.done, ended.said
    assert service.paid_once(2)


def test_a_mistyped_key_in_a_folder_with_tasks_is_said_to_be_wrong(service: Service, machine: Machine) -> None:
    """And not the folder to be another's: whose it is is asked for, and the service refuses the key."""
    machine.write("a").run("--yes")
    wrong = with_key(machine.write("a", "b"), TYPO).run("--yes")
    assert (wrong.status, "1002" in wrong.said) == (5, True), wrong.said
    assert machine.run("--yes").done
    assert service.paid_once(2)


@pytest.mark.parametrize("shown", ["by the query", "in the list"])
def test_a_rotated_key_goes_on_in_the_folder(service: Service, machine: Machine, shown: str) -> None:
    """The account is recognised by a task of it, and what the first key left unclear is found under the second."""
    service.finds_names = shown == "by the query"
    service.listed = (lambda _: []) if shown == "by the query" else lambda tasks: tasks
    service.generation_s = 1.0
    machine.write("a").run("--yes")
    service.meddle = loses_every_answer
    machine.write("a", "b", "c").killed_at(has_tasks(2))
    service.meddle = lambda _: None
    rotated = with_key(machine, ROTATED)
    assert "by another key" in folder(rotated)["message"]
    ended = rotated.run("--yes")
    assert ended.done, ended.said
    assert service.paid_once(3)
    assert folder(rotated)["message"].endswith("belongs to the account of these keys")


def test_a_rotated_key_proves_everything_anew(machine: Machine) -> None:
    """What was known of the account under the first key vouches for nothing under the second: it looks twice."""
    machine.write("a").run("--yes")
    machine.write("a", "b")
    ended = with_key(machine, ROTATED).run("--yes", "--verbose")
    assert ended.done, ended.said
    assert "twice, 1 s apart" in ended.said


def test_another_account_is_refused_with_the_ways_on(service: Service, machines: Machines) -> None:
    """Although it has tasks of the same names: somebody made the same set with it. Nothing is sent."""
    first, second = machines(), machines()
    first.write("a").run("--yes")
    with_key(second.write("a"), OTHER).run("--yes")
    other = with_key(first.write("a", "b"), OTHER)
    ended = other.run("--yes")
    assert ended.status == 2, ended.said
    assert "belongs to another service or account" in ended.said
    assert "--rebind" in ended.said
    assert "--out" in ended.said
    assert (folder(other)["state"], len(service.tasks)) == ("problem", 2)


def test_a_folder_is_taken_over_by_consent(service: Service, machine: Machine) -> None:
    """What is in place stays, and from then on the folder is the other account's."""
    machine.write("a").run("--yes")
    other = with_key(machine.write("a", "b"), OTHER)
    ended = other.run("--yes", "--rebind")
    assert ended.done, ended.said
    assert service.paid_once(2)
    assert other.write("a", "b", "c").run("--yes").done
    back = machine.write("a", "b", "c", "d").run("--yes")
    assert (back.status, service.paid_once(3)) == (2, True), back.said


def test_what_the_other_account_may_have_made_is_never_made_again(service: Service, machine: Machine) -> None:
    """Its silence says nothing of a lost answer that was not its own: that take is left unknown, run after run."""
    service.generation_s = 1.0
    machine.write("earlier").run("--yes")
    service.meddle = loses_every_answer
    machine.write("earlier", "lost").killed_at(has_tasks(2))
    service.meddle = lambda _: None
    other = with_key(machine.write("earlier", "lost", "fresh"), OTHER)
    for options in (("--yes", "--rebind"), ("--yes",)):
        ended = other.run(*options)
        assert ended.status == 6, ended.said
        assert [ended.takes[f"{name}:1"]["status"] for name in ("lost", "fresh")] == ["unknown", "succeeded"]
        assert "another account" in ended.takes["lost:1"]["error"]["message"]
        assert "edition" in ended.takes["lost:1"]["error"]["hint"]
    assert service.paid_once(3)
    assert "belongs to another service or account" in machine.run("--yes").said


def test_a_task_of_the_other_account_is_named_and_not_made_again(service: Service, machine: Machine) -> None:
    """It runs where these keys cannot see it."""
    service.generation_s = 30.0
    machine.write("a", "b").killed_at(has_tasks(2))
    service.generation_s = 0.1
    ended = with_key(machine.write("a", "b", "c"), OTHER).run("--yes", "--rebind", "--concurrency", "4")
    assert ended.status == 6, ended.said
    assert sorted(ended.statuses) == ["succeeded", "unknown", "unknown"]
    assert "reserved" not in ended.said
    assert service.paid_once(3)
