"""What the account shows, and whose silence counts: over a sandbox with the habits that nobody has ruled out."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from kling_batch.catalog import kind
from kling_batch.model import Task
from kling_batch.records.account import Control
from kling_batch.running.account import Account
from kling_batch.running.decide import Silence
from kling_batch.running.reading import Reader
from kling_batch.sandbox.faults import Call, Effect, Rule, Scenario
from kling_batch.sandbox.settings import (
    API_BASE_URL,
    SANDBOX_ACCESS_KEY,
    SANDBOX_SECRET_KEY,
    Behaviour,
    Span,
    WorldSettings,
)
from kling_batch.sandbox.transport import SandboxTransport
from kling_batch.sandbox.world import World
from kling_batch.service.auth import Keys
from kling_batch.service.client import KlingService, api_client
from kling_batch.service.outcomes import Created
from tests.chaos.virtual import Time, VirtualClock, run_virtual
from tests.quick_clips import quick_clip

T = TypeVar("T")

SOUND = {"prompt": "A door", "duration": 3.0}
GENERATION_S = 2.0
UNSEEN = "kb-unseen"


class Desk:
    """An account of a sandbox that behaves as is said, in virtual time."""

    def __init__(self, **behaviour: Any) -> None:
        self.time = Time()
        self.clock = VirtualClock(self.time)
        settings = WorldSettings(
            concurrency=1000,
            generation=Span.fixed(GENERATION_S),
            queue=Span.fixed(0.0),
            behaviour=Behaviour(**behaviour),
        )
        self.world = World(settings, now=self.clock.time, synth=quick_clip)
        http = api_client(API_BASE_URL, SandboxTransport(self.world, self.clock))
        keys = Keys(access_key=SANDBOX_ACCESS_KEY, secret_key=SANDBOX_SECRET_KEY)
        self.service = KlingService(http, keys.signer(self.clock.time))
        self.kind = kind("text-to-audio")
        reader = Reader(self.service, self.clock, random.Random(0), lambda _: None)
        self.account = Account(reader, self.kind)

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it, in no time."""
        return run_virtual(self.time, work)

    def made(self, *names: str) -> list[Control]:
        """Make tasks; who made them does not matter to the account."""
        return [self(self._make(name)) for name in names]

    async def _make(self, name: str) -> Control:
        outcome = await self.service.create(self.kind, SOUND, name)
        assert isinstance(outcome, Created)
        await self.clock.sleep(1.0)
        return Control(external_id=name, task_id=outcome.task.task_id)

    def later(self) -> None:
        """Let every task end."""
        self.time.now += GENERATION_S

    def refuses_the_list(self) -> None:
        """Have the list refused, with a code that a new call does not mend."""
        rule = Rule(on=frozenset({Call.LIST}), effect=Effect(name="refuse", value=1201))
        self.world.apply(Scenario(rules=(rule,)))

    def asked(self, call: Call) -> int:
        """Count the calls of one kind so far."""
        return self.world.ledger.requests[call]

    def judged(self, name: str = UNSEEN) -> Task | Silence:
        """Judge the silence about a name, by a look that begins now."""
        return self(self.account.judge_silence(name, self.clock.monotonic()))

    def hear_list(self, before: int) -> bool:
        """Read the list of so many tasks, add one, and hear the list by it."""
        self.made(*[f"kb-old-{number}" for number in range(before)])
        self.later()
        self(self.account.scan())
        (canary,) = self.made("kb-canary")
        self.account.list_heard = self(self.account.lists(canary))
        return self.account.list_heard


Open = Callable[..., Desk]


@pytest.fixture
def desk() -> Open:
    return Desk


# The query


def test_a_query_that_shows_a_known_task_has_been_heard(desk: Open) -> None:
    """And then its silence counts."""
    account = desk()
    assert account.judged() is Silence.UNHEARD
    (control,) = account.made("kb-1")
    assert account(account.account.shows(control))
    assert account.account.query_heard
    assert account.judged() is Silence.ABSENT


@pytest.mark.parametrize("unknown_id", ["404-1203", "400-1201", "empty-data", "null-data", "other-task"])
def test_however_no_task_is_worded_it_is_none_and_says_nothing_of_the_query(desk: Open, unknown_id: str) -> None:
    """Four ways to say that there is none, and an answer about some other task that names no external id."""
    account = desk(unknown_id=unknown_id)
    account.made("kb-1")
    assert account(account.account.find(UNSEEN)) is None
    assert not account.account.query_heard


def test_a_query_that_knows_task_ids_alone_is_never_heard(desk: Open) -> None:
    """It is silent about tasks that exist."""
    account = desk(query_by_external_id=False)
    controls = account.made("kb-1", "kb-2")
    account(account.account.hear(controls))
    assert not account.account.heard


def test_an_unnamed_answer_is_believed_where_an_id_that_nobody_uses_gets_none(desk: Open) -> None:
    """This negative control is asked for once."""
    account = desk(external_ids_shown="never")
    controls = account.made("kb-1", "kb-2")
    assert [account(account.account.shows(control)) for control in controls] == [True, True]
    assert account.account.query_heard
    assert account.asked(Call.QUERY) == 2 + 1


def test_an_unnamed_answer_to_an_id_that_nobody_uses_makes_all_of_them_worthless(desk: Open) -> None:
    """A service that names its newest task for whatever is asked: the canary's own is shown, and proves nothing."""
    account = desk(external_ids_shown="never", unknown_id="other-task")
    (control,) = account.made("kb-1")
    assert not account(account.account.shows(control))
    assert not account.account.query_heard


def test_an_unnamed_task_of_another_take_is_not_taken_over(desk: Open) -> None:
    """Of three takes and one sound, one take has the sound."""
    account = desk(external_ids_shown="never", unknown_id="other-task")
    (control,) = account.made("kb-1")
    account.account.claims[control.task_id] = control.external_id
    found = [account(account.account.find(name)) for name in ("kb-2", "kb-1")]
    assert [None if task is None else task.task_id for task in found] == [None, control.task_id]


def test_known_tasks_are_asked_for_until_one_is_shown(desk: Open) -> None:
    """The service forgets tasks after 30 days, so that a known task that is not shown is no verdict."""
    account = desk()
    controls = account.made("kb-1", "kb-2")
    gone = Control(external_id="kb-long-ago", task_id="1")
    account(account.account.hear([gone, *controls]))
    assert account.account.query_heard
    assert account.asked(Call.QUERY) == 2


def test_the_query_is_heard_by_anybodys_task_that_the_list_names(desk: Open) -> None:
    """One that runs: a query that names tasks once they have ended says nothing of those that run."""
    account = desk()
    account.made("kb-ended")
    account.later()
    account(account.account.hear_from(account(account.account.scan())))
    assert not account.account.heard
    account.made("kb-others")
    account(account.account.hear_from(account(account.account.scan())))
    assert (account.account.query_heard, account.account.live) == (True, True)


def test_a_task_that_has_ended_does_not_show_that_those_that_run_are_shown(desk: Open) -> None:
    """The query is heard by it, and not live."""
    account = desk()
    (control,) = account.made("kb-1")
    account.later()
    assert account(account.account.shows(control))
    assert (account.account.query_heard, account.account.live) == (True, False)


def test_an_external_id_that_could_lead_elsewhere_is_not_asked_for(desk: Open) -> None:
    """Other programs name their tasks as they like."""
    account = desk()
    account.made("scene/12 shot?")
    account(account.account.hear_from(account(account.account.scan())))
    assert account.asked(Call.QUERY) == 0


def test_silence_counts_only_while_a_known_task_is_still_shown(desk: Open) -> None:
    """What a gateway says for a moment is no verdict."""
    account = desk()
    (control,) = account.made("kb-1")
    account(account.account.shows(control))
    rule = Rule(on=frozenset({Call.QUERY}), effect=Effect(name="refuse", value=1203))
    account.world.apply(Scenario(rules=(rule,)))
    assert account.judged() is Silence.UNHEARD


# The list


@pytest.mark.parametrize("offset", ["capped", "asked"])
@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_pages_smaller_than_asked_are_read_to_an_empty_one(desk: Open, offset: str, order: str) -> None:
    """A page that is not full need not be the last, however the next one is counted."""
    account = desk(list_page_cap=3, list_page_offset=offset, list_order=order)
    controls = account.made(*[f"kb-{number}" for number in range(8)])
    scan = account(account.account.scan())
    assert scan.sound
    assert scan.ids == {control.task_id for control in controls}


def test_a_list_whose_rows_move_while_it_is_read_is_not_sound(desk: Open) -> None:
    """A row that came twice is one that another may have been missed for."""
    account = desk(list_page_cap=3, list_order="random")
    account.made(*[f"kb-{number}" for number in range(8)])
    assert not account(account.account.scan()).sound


@pytest.mark.parametrize("before", [0, 1, 5])
def test_a_whole_list_is_heard_by_the_canary(desk: Open, before: int) -> None:
    """It shows the task that was just made, and everything that it showed before."""
    account = desk(query_by_external_id=False)
    assert account.hear_list(before)
    assert account.judged() is Silence.ABSENT


@pytest.mark.parametrize(
    "behaviour",
    [
        {"list_scope": "other-key"},
        {"list_cut": 5},
        {"list_window_s": 6.5},
        {"list_shows_unfinished": False},
        {"external_ids_shown": "not-in-list"},
        {"external_ids_shown": "when-finished"},
        {"external_ids_shown": "never"},
    ],
    ids=lambda behaviour: " ".join(map(str, *behaviour.items())),
)
def test_a_list_that_may_leave_something_out_is_not_heard(desk: Open, behaviour: dict[str, Any]) -> None:
    """However complete it looks: it lacks the canary, its name, or a task that it showed before."""
    account = desk(query_by_external_id=False, **behaviour)
    assert not account.hear_list(before=5)
    assert account.judged() is Silence.UNHEARD


def test_a_refused_list_is_no_hint_and_not_heard(desk: Open) -> None:
    """It is tried once, and holds nobody up."""
    account = desk()
    account.refuses_the_list()
    assert account(account.account.glance({"kb-1"})) == {}
    assert not account.hear_list(before=2)
    assert account.asked(Call.LIST) == 3


# Both


def test_what_either_source_shows_is_there(desk: Open) -> None:
    """A task that a deaf query does not show is found in the list, heard or not."""
    account = desk(query_by_external_id=False, list_cut=2)
    account.made("kb-1", "kb-2", "kb-3")
    found = account.judged("kb-3")
    assert isinstance(found, Task)
    assert found.external_id == "kb-3"


def test_takes_that_are_looked_for_at_once_share_a_look(desk: Open) -> None:
    """Only a look that began before a take's own query does not count for it."""
    account = desk()
    account.made("kb-1")
    since = account.clock.monotonic()
    account.time.now += 1.0
    for name in ("kb-8", "kb-9"):
        account(account.account.judge_silence(name, since))
    pages = account.asked(Call.LIST)
    account.time.now += 1.0
    account.judged("kb-7")
    assert account.asked(Call.LIST) == 2 * pages


def test_a_heard_query_needs_few_pages_of_the_list(desk: Open) -> None:
    """They are a hint, no more: an account may be full of others' tasks."""
    account = desk(list_page_cap=1)
    (control, *_) = account.made(*[f"kb-{number}" for number in range(8)])
    account(account.account.shows(control))
    assert account.judged() is Silence.ABSENT
    assert account.asked(Call.LIST) <= 4


def test_many_are_asked_for_by_name(desk: Open) -> None:
    """Each once; those that are not there are left out."""
    account = desk()
    account.made("kb-1", "kb-2")
    found = account(account.account.find_all(["kb-1", UNSEEN, "kb-2", "kb-1"]))
    assert sorted(found) == ["kb-1", "kb-2"]
    assert account.asked(Call.QUERY) == 3
