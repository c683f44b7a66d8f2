"""Nothing fails for good that nobody understands, and what fails together is one lesson."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from tests.promises.machine import Machine
from tests.promises.service import DROP, LOSE, Call, Say, Service, refuse

SIX = ("a", "b", "c", "d", "e", "f")
EIGHT = (*SIX, "g", "h")
GATEWAY = [429, 403, 408, 401, 404]
"""What a gateway says in passing, as HTTP status and as code."""
GARBLED = Say(status=200, body=b'{"code": 0, "data": {"task_')
"""An answer whose end was lost."""
NOT_DONE = [refuse(500, 5000), refuse(503, 5001), DROP, GARBLED, refuse(504, 5002)]
DONE = [LOSE, refuse(504, 5002, work=True)]


@pytest.mark.parametrize(("status", "options"), [(400, ()), (429, ("--deadline", "4"))], ids=["400", "429"])
def test_a_code_that_no_table_knows_stops_the_run(
    service: Service, machine: Machine, status: int, options: tuple[str, ...]
) -> None:
    """1305 leaves the takes pending, and the next run sends them; where HTTP says 429, it may also be waited for."""
    service.meddle = lambda call: refuse(status, 1305, "who knows") if call.kind == "create" else None
    ended = machine.write(*EIGHT).run("--yes", *options)
    assert ended.status == 6, ended.said
    assert set(ended.statuses) == {"pending"}
    assert service.count("create") < len(EIGHT)
    service.meddle = lambda _: None
    assert machine.run("--yes").done
    assert service.paid_once(8)


@pytest.mark.parametrize(("status", "code"), [*zip(GATEWAY, GATEWAY, strict=True), (404, 1203), (400, 1201)], ids=str)
def test_what_every_take_is_refused_with_fails_none(service: Service, machine: Machine, status: int, code: int) -> None:
    """The same refusal for take after take is a matter of the moment: they are sent when it has passed."""
    refuses_from(service, machine, 1, refuse(status, code, "in passing"))


@pytest.mark.parametrize("code", GATEWAY)
def test_what_a_gateway_says_on_the_way_fails_none(service: Service, machine: Machine, code: int) -> None:
    """A code that is none of the service's own decides nothing, also where takes went well before."""
    refuses_from(service, machine, 3, refuse(code, code, "in passing"))


def refuses_from(service: Service, machine: Machine, first: int, refusal: Say) -> None:
    """Refuse the creates of one run from the n-th on, and see the next run make what is left."""
    service.meddle = lambda call: refusal if call.kind == "create" and call.n >= first else None
    ended = machine.write(*SIX).run("--yes", "--deadline", "4")
    assert ended.status in {5, 6}, ended.said
    assert "failed" not in ended.statuses
    service.meddle = lambda _: None
    again = machine.run("--yes")
    assert again.done, again.said
    assert service.paid_once(6)


def test_a_refused_take_is_sent_again_by_the_next_run(service: Service, machine: Machine) -> None:
    """A refusal cost nothing, and its cause may be mended."""
    refused: list[str] = []

    def meddle(call: Call) -> Say | None:
        if call.kind == "create" and call.n == 3:
            refused.append(call.name)
        return refuse(400, 1201, "duration") if call.kind == "create" and call.name in refused else None

    service.meddle = meddle
    ended = machine.write("a", "b", "c", "d").run("--yes")
    assert ended.status in {1, 6}, ended.said
    assert ended.statuses.count("succeeded") == 3
    service.meddle = lambda _: None
    assert machine.run("--yes").done
    assert service.paid_once(4)


def test_refused_words_are_not_sent_again(service: Service, machine: Machine) -> None:
    """What risk control refused is final while its words are the same.

    A guard: 2599744 keeps this rule too, by never sending anything again that was refused.
    """
    service.meddle = lambda call: refuse(400, 1301, "risk") if (call.kind, call.n) == ("create", 2) else None
    machine.write("a", "b", "c").run("--yes")
    sent = service.count("create")
    ended = machine.run("--yes")
    assert ended.status == 1, ended.said
    assert service.count("create") == sent
    assert service.paid_once(2)


def test_calls_that_fail_together_are_one_wait(service: Service, machine: Machine) -> None:
    """Creates that meet a rate limit in the same moment are one lesson: the run is back within seconds."""
    burst = threading.Barrier(4)

    def meddle(call: Call) -> Say | None:
        if call.kind != "create" or not 2 <= call.n <= 9:
            return None
        with suppress(threading.BrokenBarrierError):
            burst.wait(1.0)
        return refuse(429, 1302, "too fast")

    service.meddle = meddle
    ended = machine.write(*EIGHT, "i").run("--yes", "--concurrency", "8", "--deadline", "15")
    assert ended.done, ended.said
    assert service.paid_once(9)


class Rounds:
    """40 faulty answers to 24 takes: the first sent meets none, 17 meet two and 6 meet one, all slots together."""

    def __init__(self) -> None:
        self.met = 0
        self._left: dict[str, int] = {}
        self._books = threading.Lock()

    def __call__(self, call: Call) -> Say | None:
        """Choose how a create fails; the last fault of some takes has done its work."""
        if call.kind != "create":
            return None
        with self._books:
            turn = len(self._left)
            left = self._left.setdefault(call.name, 0 if turn == 0 else 1 + (turn <= 17))
            if left == 0:
                return None
            self._left[call.name] = left - 1
            self.met += 1
            return DONE[self.met % 2] if left == 1 and self.met % 4 == 0 else NOT_DONE[self.met % 5]


def test_forty_faulty_answers_cost_less_than_a_minute(service: Service, machine: Machine) -> None:
    """24 takes on six slots come through seven rounds of faults within 60 s, each paid once."""
    rounds = service.meddle = Rounds()
    jobs = [f"sound-{number}" for number in range(24)]
    ended = machine.write(*jobs).run("--yes", "--concurrency", "6", "--deadline", "60")
    assert ended.done, ended.said
    assert rounds.met == 40
    assert service.paid_once(24)


def test_a_list_that_is_refused_for_good_is_not_asked_for_ever(service: Service, machine: Machine) -> None:
    """A refusal that no repetition mends is no bad weather: the run goes on without the list, or ends."""
    service.meddle = lambda call: refuse(400, 1200, "no list") if call.kind == "list" else None
    ended = machine.write("a", "b").run("--yes", timeout_s=20)
    assert ended.status in {0, 5, 6}, ended.said
    assert service.count("list") <= 6
    assert ended.status != 0 or service.paid_once(2)
