"""Neither more is spent than was agreed to, nor more in flight than was allowed."""

from __future__ import annotations

import shutil
from decimal import Decimal

import pytest

from tests.promises.machine import Machine
from tests.promises.service import Service

EIGHT = ("a", "b", "c", "d", "e", "f", "g", "h")


@pytest.mark.parametrize(
    ("price", "most", "slots"), [("1.00", "2", "8"), ("0.5", "1.25", "1")], ids=["eight slots", "one slot"]
)
def test_a_first_run_charges_no_more_than_max_units(
    service: Service, machine: Machine, price: str, most: str, slots: str
) -> None:
    """Where a sound costs more than the list says, `--max-units` holds from the first task on."""
    service.price, service.generation_s = Decimal(price), 0.5
    ended = machine.write(*EIGHT[: int(Decimal(most) * 4)]).run("--max-units", most, "--concurrency", slots)
    assert ended.status == 4, ended.said
    assert Decimal(0) < service.charged <= Decimal(most)
    assert max(service.names.values()) == 1


def test_a_later_run_charges_no_more_than_max_units(service: Service, machine: Machine) -> None:
    """A run that knows the account's price reserves it, and not the list price."""
    service.price, service.generation_s = Decimal("1.00"), 0.5
    machine.write("earlier").run("--yes")
    before = service.charged
    ended = machine.write("earlier", *EIGHT).run("--max-units", "2", "--concurrency", "8")
    assert ended.status == 4, ended.said
    assert service.charged - before <= 2
    assert max(service.names.values()) == 1


@pytest.mark.parametrize("options", [(), ("--hold-unclear",)], ids=["settled", "held"])
def test_a_task_that_is_forgotten_keeps_its_slot(service: Service, machine: Machine, options: tuple[str, ...]) -> None:
    """What may be running counts as in flight, however long the service shows it nowhere."""
    service.generation_s = 1.5
    service.hidden = lambda task, age: task.number > 1 and age < 2.0
    ended = machine.write(*EIGHT[:4]).run("--yes", "--concurrency", "2", "--deadline", "5", *options)
    assert ended.status in {0, 6}, ended.said
    service.hidden = lambda _, __: False
    again = machine.run("--yes", "--concurrency", "2", *options)
    assert again.done, again.said
    assert service.most_in_flight <= 2
    assert service.paid_once(4)


def test_a_sound_of_the_sandbox_is_none_of_the_account(service: Service, machine: Machine) -> None:
    """A real run where the sandbox has been before makes its own sounds, or is refused."""
    machine.write("a", "b").run("--sandbox", "--yes")
    ended = machine.run("--yes")
    assert ended.status in {0, 2, 6}, ended.said
    assert ended.status != 0 or service.paid_once(2)


def test_a_plan_that_costs_more_under_the_hold_needs_a_new_consent(service: Service, machine: Machine) -> None:
    """Agreed to is an amount: where a task in flight went out of mind while the question waited, it is asked anew."""
    service.generation_s = 30.0
    machine.write("a", "b").run("--yes", "--select", "a", "--deadline", "2.5")
    with machine.terminal() as terminal:
        assert terminal.question()
        shutil.rmtree(machine.out)
        service.forget_all()
        ended = terminal.answer("y", "n")
    assert ended.status == 4, ended.said
    assert service.paid_once(1)


def test_a_lock_that_went_away_needs_a_new_consent(service: Service, machine: Machine) -> None:
    """Sounds that were locked when the question was asked are not made anew on its answer.

    A guard: 2599744 keeps this rule too, since it plans anew where the lock has changed.
    """
    machine.write("a", "b").run("--yes", "--no-store")
    machine.write("a", "b", "c")
    with machine.terminal("--no-store") as terminal:
        assert terminal.question()
        shutil.rmtree(machine.out)
        (machine.folder / "set.json.lock").unlink()
        service.forget_all()
        ended = terminal.answer("y", "n")
    assert ended.status == 4, ended.said
    assert service.paid_once(2)
