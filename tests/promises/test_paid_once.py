"""No sound is paid for twice: not by two programs in one folder, nor by an older journal, nor by a list that is silent.

Each rule is also held to where the list shows recent tasks alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.promises.machine import Machine
from tests.promises.service import DROP, LOSE, Call, Say, Service

Machines = Callable[[], Machine]
FOUR = ("a", "b", "c", "d")
SIX = ("a", "b", "c", "d", "e", "f")
EARLIER = "earlier"
"""A job of a run before: the journal has worked, and has looked through the account."""


@pytest.fixture(params=["the whole list", "recent tasks alone"])
def account(service: Service, request: pytest.FixtureRequest) -> Service:
    """Serve an account whose list is whole, or shows the newest task and no other."""
    if request.param == "recent tasks alone":
        service.listed = lambda tasks: tasks[:1]
    return service


def has_tasks(count: int) -> Callable[[Service], bool]:
    """Tell whether so many tasks were made."""
    return lambda service: len(service.tasks) >= count


def loses_every_answer(call: Call) -> Say | None:
    """Do what a create asks for, and tell nobody."""
    return LOSE if call.kind == "create" else None


def worked_before(machine: Machine, *options: str) -> Machine:
    """Give a machine a journal, by a run over one take that was paid for or found."""
    ended = machine.write(EARLIER).run("--yes", *options)
    assert ended.done, ended.said
    return machine


def test_what_another_run_sent_while_a_question_waited_is_not_sent_again(account: Service, machine: Machine) -> None:
    """What is carried out was planned under the hold, and not when the question was asked."""
    patient = ("--settle-time", "2")
    worked_before(machine, *patient).write(EARLIER, "a", "b", "c")
    with machine.terminal(*patient) as terminal:
        assert terminal.question()
        account.meddle = loses_every_answer
        account.hidden = lambda task, _: task.number > 1
        machine.killed_at(has_tasks(2), "--concurrency", "2", *patient)
        account.meddle = lambda _: None
        account.hide_until_looked_for(after=1)
        ended = terminal.answer("y")
    assert ended.done, ended.said
    assert account.paid_once(4)


@pytest.mark.parametrize("loses", ["its log", "a day's work"])
def test_an_older_copy_of_a_journal_is_not_believed(account: Service, machine: Machine, loses: str) -> None:
    """A journal whose write-ahead log is gone, or that was put back from a backup, has not seen what was sent since."""
    worked_before(machine).write(EARLIER, *FOUR)
    journal, backup = machine.out / ".kling-batch", machine.home / "backup"
    shutil.copytree(journal, backup)
    account.generation_s = 2.0
    machine.killed_at(has_tasks(5))
    account.hide_until_looked_for(after=1)
    if loses == "its log":
        forget_log(journal)
    else:
        shutil.rmtree(journal)
        shutil.copytree(backup, journal)
    ended = machine.run("--yes")
    assert ended.done, ended.said
    assert account.paid_once(5)


def forget_log(folder: Path) -> None:
    """Delete the write-ahead log of every database."""
    for path in [*folder.glob("*-wal"), *folder.glob("*-shm")]:
        path.unlink()


def test_a_journal_does_not_vouch_for_another_machine(account: Service, machines: Machines) -> None:
    """A second machine, whose journal has worked before, looks for what the first one sent a moment ago."""
    first, second = worked_before(machines()), worked_before(machines())
    assert account.paid_once(1)
    account.generation_s = 2.0
    first.write(EARLIER, *FOUR).killed_at(has_tasks(5))
    account.hide_until_looked_for(after=1)
    ended = second.write(EARLIER, *FOUR).run("--yes")
    assert ended.done, ended.said
    assert account.paid_once(5)


def scoped(service: Service) -> None:
    """Show another key's tasks in the list: none."""
    service.listed = lambda _: []


def cut(service: Service) -> None:
    """Show 200 rows in the list, whatever is asked for."""
    service.listed = lambda tasks: tasks[:200]
    service.add_strangers(200)


def capped(service: Service) -> None:
    """Show pages of 100 rows at most."""
    service.page_cap = 100
    service.add_strangers(100)


def unnamed_while_unfinished(service: Service) -> None:
    """Leave `task_info` empty in the list while a task is not finished."""
    service.add_strangers(5)
    service.list_names = "finished"


def recent_alone(service: Service) -> None:
    """Show a window of the newest tasks, in which there are only others'."""
    service.listed = lambda tasks: tasks[:5]
    service.add_strangers(5)


LISTS = [scoped, cut, capped, unnamed_while_unfinished, recent_alone]


@pytest.mark.parametrize("limit", LISTS, ids=lambda limit: limit.__name__)
def test_a_list_that_was_not_heard_is_not_believed(
    service: Service, machines: Machines, limit: Callable[[Service], None]
) -> None:
    """On a bare machine, the silence of a list that does not show what is there is no absence."""
    service.generation_s = 3.0 if limit is unnamed_while_unfinished else 0.5
    machines().write(*SIX).killed_at(has_tasks(4), "--concurrency", "4")
    limit(service)
    strangers = len(service.tasks) - sum(task.prompt != "theirs" for task in service.tasks)
    ended = machines().write(*SIX).run("--yes")
    assert ended.done, ended.said
    assert service.paid_once(strangers + 6)


def nothing_is_heard(service: Service) -> None:
    """Tell and find external ids nowhere."""
    service.tells_names = service.finds_names = False


def test_an_unclear_post_is_not_sent_again_where_nothing_shows_external_ids(service: Service, machine: Machine) -> None:
    """Where no source can be heard, what is perhaps paid for stays unknown."""
    nothing_is_heard(service)
    service.meddle = loses_every_answer
    ended = machine.write("a", "b", "c").run("--yes", "--deadline", "10")
    assert set(service.names.values()) == {1}
    assert ended.status == 6, ended.said
    assert ended.takes["a:1"]["status"] == "unknown"


def test_a_bare_machine_stops_after_its_canary_where_nothing_is_heard(service: Service, machine: Machine) -> None:
    """What another machine sent cannot be known there, so that a run sends one task, stops and says why."""
    nothing_is_heard(service)
    ended = machine.write("a", "b", "c").run("--yes")
    assert ended.status == 6
    assert "--unproven" in ended.said
    assert ended.statuses.count("pending") >= 2
    assert service.paid_once(1)


def test_a_run_that_is_told_to_goes_on_unproven(service: Service, machine: Machine) -> None:
    """With `--unproven` everything is sent all the same, once each."""
    nothing_is_heard(service)
    ended = machine.write("a", "b", "c").run("--yes", "--unproven")
    assert ended.done, ended.said
    assert service.paid_once(3)


def test_an_unclear_post_stays_unknown_in_an_unproven_run(service: Service, machine: Machine) -> None:
    """Who goes on unproven risks what others sent, and not what this run lost itself."""
    nothing_is_heard(service)
    service.meddle = lambda call: LOSE if (call.kind, call.n) == ("create", 2) else None
    ended = machine.write("a", "b", "c").run("--yes", "--unproven")
    again = machine.run("--yes", "--unproven", "--deadline", "10")
    assert ended.status == again.status == 6
    assert sorted(again.statuses) == ["succeeded", "succeeded", "unknown"]
    assert service.paid_once(3)


def test_a_bare_machine_that_is_killed_after_its_canary_has_proven_nothing(
    service: Service, machines: Machines
) -> None:
    """Run again at once, it knows no more than before of what another machine sent, and sends nothing of it."""
    nothing_is_heard(service)
    assert machines().write(*FOUR).run("--yes", "--unproven").done
    bare = machines().write(*FOUR)
    bare.killed_at(has_tasks(5))
    bare.run("--yes", "--settle-time", "20", "--deadline", "2")
    assert len(service.tasks) == 5


def test_a_scan_that_was_cut_short_is_not_taken_for_a_whole_one(service: Service, machine: Machine) -> None:
    """What stands on a page that nobody has read is not absent."""
    service.finds_names = False
    service.generation_s = 3.0
    service.meddle = loses_every_answer
    machine.write("a", "b").killed_at(has_tasks(1), "--select", "a")
    service.add_strangers(600)
    service.meddle, service.slow_query_s = (lambda _: None), 0.3
    ended = machine.run("--yes", "--deadline", "30")
    assert ended.status in {0, 6}, ended.said
    assert max(service.names.values()) == 1
    assert ended.takes["a:1"]["task_id"] in {None, service.tasks[0].task_id}


def test_another_task_is_not_taken_for_ours(service: Service, machine: Machine) -> None:
    """An unknown external id that is answered with some task which tells no external id is still unknown."""
    service.add_strangers(1)
    stranger = service.tasks[0]
    service.list_names = "none"
    service.unknown = lambda _: service.unnamed(stranger)
    ended = machine.write("a", "b", "c").run("--yes", "--deadline", "15")
    assert stranger.task_id not in {take["task_id"] for take in ended.takes.values()}
    assert ended.status in {0, 6}, ended.said
    assert ended.status != 0 or service.paid_once(4)
    assert max(service.names.values()) == 1


def test_tasks_that_end_at_once_do_not_hold_a_bare_machine_up_for_a_minute(service: Service, machine: Machine) -> None:
    """Nobody sees such a task run; how long another machine's may still run goes by the settle time that was given."""
    service.generation_s = 0.0
    ended = machine.write(*FOUR).run("--yes", "--settle-time", "0.5", "--deadline", "30")
    assert ended.done, ended.said
    assert service.paid_once(4)


def test_how_long_a_lost_one_may_run_is_learned_while_it_is_looked_for(service: Service, machine: Machine) -> None:
    """Where nobody was seen to run, and no time was known when the first answer was lost, it is not an hour."""
    service.generation_s = 0.0
    service.meddle = lambda call: DROP if call.kind == "create" and call.n == 1 else None
    ended = machine.write(*FOUR).run("--yes", "--settle-time", "0.5", "--deadline", "30")
    assert ended.done, ended.said
    assert service.paid_once(4)
