"""The service as a state machine: no sockets, no waiting. Where everything stands follows from the time it is told."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial

from kling_batch.sandbox.auth import check_authorization
from kling_batch.sandbox.callbacks import Callback, News
from kling_batch.sandbox.clips import ClipSpec, Synth, spoken_s
from kling_batch.sandbox.faults import Call, FaultRunner, Rule, Scenario, Strike
from kling_batch.sandbox.filehost import FileHost, served
from kling_batch.sandbox.kinds import KINDS, PRESET, SOUND, SPEECH, VOICE, Kind
from kling_batch.sandbox.ledger import Charge, Ledger
from kling_batch.sandbox.params import Order, read_object, read_order, read_page, read_window
from kling_batch.sandbox.rows import account_data, created_data, shows_id, task_data, voice_id
from kling_batch.sandbox.settings import Behaviour, WorldSettings
from kling_batch.sandbox.spoil import garbage, is_before, page, travelling
from kling_batch.sandbox.tasks import TRIAL, SandboxTask, TaskShelf, new_id, new_task_id
from kling_batch.sandbox.wire import CODES, Loss, Refusal, Request, Response, compact, envelope

TASKS_PATH = SOUND.path
ACCOUNT_PATH = "/account/costs"
DELETE_PATH = "/v1/general/delete-voices"
_PRESETS = ("Calm Anna", "Bright Ben", "Deep Carl", "Young Dora")
_ACCOUNT_LAG_S = 12 * 3600.0
"""How late the account's figures are, by the documentation."""
_JSON = "application/json; charset=utf-8"
_NO_ANSWER = b'{"code":0,"message":"SUCCEED","request_id":"'
"""What is truncated where nothing was answered."""

Offload = Callable[[Callable[[], bytes]], Awaitable[bytes]]
"""Runs a slow function: `asyncio.to_thread` for users, `inline` where everything must stay on one thread."""


async def inline(make: Callable[[], bytes]) -> bytes:
    """Run it here and now."""
    return make()


class World:
    """The service. Single-threaded: calls come one after another, in the order of their time.

    Of what it is told, the same makes the same: neither chance nor the machine's clock has a part in it.

    Args:
        settings: Keys, speed, room and behaviour.
        now: The time, in Unix seconds. Must not run backwards.
        rules: The faults to inject. `apply` can change them later.
        synth: Makes the sound files; the real one when None.
    """

    def __init__(
        self,
        settings: WorldSettings,
        *,
        now: Callable[[], float],
        rules: tuple[Rule, ...] = (),
        synth: Synth | None = None,
    ) -> None:
        if synth is None:
            from kling_batch.sandbox.sound import synthesise

            synth = synthesise
        self.settings = settings
        self.ledger = Ledger()
        self._now = now
        self._started_at = now()
        self._shelf = TaskShelf(settings.seed)
        self._files = FileHost(settings, self._shelf, synth)
        self._faults = FaultRunner(rules, settings.seed, self.ledger.faults)
        self._latency = random.Random(f"{settings.seed}:latency")  # noqa: S311 - time, no secret
        self._ends: list[tuple[float, int, SandboxTask]] = []
        self._news = News(self.ledger.callbacks)
        self._replies = 0
        self._voices: dict[str, SandboxTask] = {}
        for name in _PRESETS:
            self._add_preset(name)

    def _add_preset(self, name: str) -> None:
        """Put a voice that everybody may use on the shelf."""
        now = self._started_at
        order = Order(kind=PRESET, fields={}, words=name, external_id="")
        task = self._new_task(order, spoken_s(TRIAL), {}, Decimal(0), now)
        task = replace(task, processing_at=now, ends_at=now, audios_at=now, files_at=now, list_visible_at=now)
        self._shelf.add(task)
        self._voices[voice_id(task)] = task

    def apply(self, scenario: Scenario) -> None:
        """Change settings, behaviour and faults from now on. Tasks that exist keep their times."""
        self.settings = scenario.over(self.settings)
        if scenario.rules is not None:
            self._faults = FaultRunner(scenario.rules, self.settings.seed, self.ledger.faults)

    def settle(self) -> float:
        """Bring the ledger up to the present: end what has ended, and charge for it. Gives the time of that present."""
        now = self._now()
        while self._ends and self._ends[0][0] <= now:
            ends_at, _, task = heapq.heappop(self._ends)
            self.ledger.closed(Charge(external_id=task.external_id, task_id=task.task_id, units=task.units, at=ends_at))
        return now

    # The API host.

    def handle(self, request: Request) -> Response:
        """Answer a call to the API host."""
        now = self.settle()
        call, kind, target = _route(request)
        order = _order(kind, request) if call is Call.CREATE else None
        strike = self._strike(call, lambda: self._subject(order, target), now)
        response = Response(status=0, body=_NO_ANSWER)
        if "no-connection" not in strike:
            self.ledger.requests[call or "other"] += 1
            if call is Call.CREATE:
                self.ledger.posts[order.external_id if isinstance(order, Order) else ""] += 1
            if not is_before(strike):
                response = self._answer(request, call, kind, order, target, strike, now)
        return self._travelling(self._spoiled(response, strike), strike, now)

    def _strike(self, call: Call | None, text: Callable[[], str], now: float) -> Strike:
        return self._faults.strike(call, text, now - self._started_at) if call is not None else {"delay_s": 0.0}

    def _travelling(self, response: Response, strike: Strike, now: float) -> Response:
        return travelling(response, strike, now, self.settings.latency.draw(self._latency))

    def _answer(
        self,
        request: Request,
        call: Call | None,
        kind: Kind,
        order: Order | Refusal | None,
        target: str,
        strike: Strike,
        now: float,
    ) -> Response:
        try:
            check_authorization(request.headers.get("authorization"), self.settings, now)
            data: bytes | None
            if call is Call.CREATE:
                task = self._create(order, strike, now)
                if kind.answers_at_once:
                    return self._spoken(task, now)
                data = compact(created_data(task, self.settings.behaviour))
            elif call is Call.QUERY:
                data = self._query(kind, target, now)
            elif call is Call.DELETE:
                data = self._delete(request, now)
            elif call is Call.LIST:
                data = self._list(kind, request, now)
            elif call is Call.ACCOUNT:
                data = self._account(request, now)
            else:
                raise _unknown_call(request)
        except Refusal as refusal:
            return self._refused(refusal)
        return self._reply(200, 0, "SUCCEED", data)

    def _spoken(self, task: SandboxTask, now: float) -> Response:
        """Answer with the result, once it is made: the connection waits for it."""
        if not math.isfinite(task.ends_at):
            return Response(status=0, loss=Loss.SILENCE)
        answer = self._reply(200, 0, "SUCCEED", self._row(task, task.ends_at, listed=False))
        return replace(answer, delay_s=task.ends_at - now)

    def _create(self, order: Order | Refusal | None, strike: Strike, now: float) -> SandboxTask:
        """Check in a fixed order: parameters, balance, the external id, room. Then make the task."""
        if not isinstance(order, Order):
            raise order or Refusal(1200)
        behaviour = self.settings.behaviour
        length_s = self._length_s(order)
        price = strike.get("price", order.kind.units * behaviour.units / SOUND.units)
        self._check_balance(price)
        is_named = order.external_id and not order.kind.answers_at_once
        first = self._shelf.by_external_id(order.external_id) if is_named else None
        if first is not None and behaviour.duplicate_id == "replay":
            return first
        if first is not None and behaviour.duplicate_id != "accept":
            raise Refusal(int(behaviour.duplicate_id.removeprefix("refuse-")), "external_task_id already exists")
        if self.ledger.in_flight >= self.settings.concurrency:
            raise Refusal(1303)
        task = self._new_task(order, length_s, strike, price, now)
        self._shelf.add(task)
        if math.isfinite(task.ends_at):
            heapq.heappush(self._ends, (task.ends_at, task.ordinal, task))
        self.ledger.opened(task)
        if task.is_voice:
            self._voices[voice_id(task)] = task
        if order.fields.get("callback_url"):
            self._news.plan(task, self.settings)
        return task

    def _length_s(self, order: Order) -> float:
        """Say how long a sound is."""
        kind, fields = order.kind, order.fields
        if kind is SOUND:
            return float(fields["duration"])
        if kind is SPEECH:
            if fields["voice_id"] in self._voices:
                raise Refusal(1201, "voice_id is a voice for videos, not for speech")
            return spoken_s(order.words) / float(fields["voice_speed"])
        least, most = kind.source_s
        found = self._files.brought_s(fields.get("video_url") or fields.get("voice_url", ""))
        if found is not None and not least <= found <= most:
            raise Refusal(1201, f"duration must be between {least} and {most} seconds, and is {found:.1f}")
        if kind is VOICE:
            return spoken_s(TRIAL)
        return self.settings.video_s if found is None else found

    def _check_balance(self, price: Decimal) -> None:
        settings = self.settings
        if settings.balance_units is None:
            return
        if settings.balance_units - self.ledger.charged - self.ledger.in_flight * price < price:
            raise Refusal(1102)

    def _new_task(self, order: Order, length_s: float, strike: Strike, price: Decimal, now: float) -> SandboxTask:
        """Make a task. Its times and its sound follow from its name, not from when or in which order it came."""
        settings, behaviour = self.settings, self.settings.behaviour
        ordinal = len(self._shelf)
        again = self.ledger.tasks_by_external_id[order.external_id]
        name = order.external_id or f"#{again}"
        seed = f"{name}:{again}" if again and order.external_id else name
        rng = random.Random(f"{settings.seed}:task:{seed}")  # noqa: S311 - chance, no secret
        processing_at = now + settings.queue.draw(rng)
        ends_at = processing_at + settings.generation.draw(rng) + strike.get("task-stuck", 0)
        query_late, list_late = strike.get("task-late", (behaviour.query_visible_after, behaviour.list_visible_after))
        forgotten_from, forgotten_to = strike.get("task-forgotten", (0.0, 0.0))
        task_id = new_task_id(now, ordinal)
        return SandboxTask(
            ordinal=ordinal,
            task_id=task_id,
            external_id=order.external_id,
            order=order,
            kind=order.kind.name,
            duration_s=length_s,
            seed=seed,
            created_at=now,
            processing_at=processing_at,
            ends_at=ends_at,
            failure=strike.get("task-fails"),
            query_visible_at=now + query_late.draw(rng),
            list_visible_at=now + list_late.draw(rng),
            audios_at=ends_at + behaviour.audios_after.draw(rng),
            files_at=ends_at + behaviour.files_after.draw(rng),
            forgotten_from=now + forgotten_from,
            forgotten_to=now + forgotten_to,
            odd_url=strike.get("task-url"),
            audio_id=new_id(settings.seed, task_id),
            units=price if "task-fails" not in strike or behaviour.charge_failures else Decimal(0),
        )

    def _query(self, kind: Kind, any_id: str, now: float) -> bytes | None:
        behaviour = self.settings.behaviour
        task = self._shelf.find(any_id, now)
        if task is not None and task.order.kind is kind and (behaviour.query_by_external_id or any_id == task.task_id):
            return self._row(task, now, listed=False)
        if behaviour.unknown_id == "null-data":
            return b"null"
        if behaviour.unknown_id == "empty-data":
            return b"{}" if behaviour.empty_containers == "keep" else None
        newest = self._shelf.newest(kind, now)
        if behaviour.unknown_id == "other-task" and newest is not None:
            return self._row(newest, now, listed=False, named=False)
        raise Refusal(1201 if behaviour.unknown_id == "400-1201" else 1203, "task not found")

    def _list(self, kind: Kind, request: Request, now: float) -> bytes | None:
        number, size = read_page(request.query, kind.largest_page)
        behaviour = Behaviour(list_order="oldest") if kind is PRESET else self.settings.behaviour
        tasks = self._shelf.page(kind, number, size, behaviour, now)
        if not tasks and self.settings.behaviour.empty_containers == "leave-out":
            return None
        return b"[" + b",".join([self._row(task, now, listed=True) for task in tasks]) + b"]"

    def _delete(self, request: Request, now: float) -> bytes:
        voice = read_object(request.body).get("voice_id")
        task = self._voices.get(voice) if isinstance(voice, str) else None
        if task is None or task.order.kind is not VOICE or task.is_forgotten(now):
            raise Refusal(1203, "voice_id is none of your voices")
        self._shelf.forget(task, now)
        return compact({"task_id": task.task_id, "task_status": self.settings.behaviour.success_word})

    def _account(self, request: Request, now: float) -> bytes:
        read_window(request.query)
        counted = now - _ACCOUNT_LAG_S
        used = sum((charge.units for charge in self.ledger.charges if charge.at <= counted), Decimal(0))
        return compact(account_data(self.settings.packs, used=float(used), now=now))

    def _row(self, task: SandboxTask, now: float, *, listed: bool, named: bool = True) -> bytes:
        """Write a task as JSON, once for each state it is in and each issue of its URLs."""
        behaviour = self.settings.behaviour
        state = task.state(now)
        named = named and shows_id(behaviour, finished=now >= task.ends_at, listed=listed)
        if state == "succeeded" and now - task.issued_at > self.settings.url_lifetime_s / 2:
            task.issue += 1
            task.issued_at = now
        key = (state, task.issue, named, now >= task.audios_at, behaviour)
        if task.row_key != key:
            data = task_data(task, self.settings, now, partial(self._files.url, task), named=named)
            task.row, task.row_key = compact(data), key
        return task.row

    def _subject(self, order: Order | Refusal | None, any_id: str) -> str:
        """Write what a rule's `match` looks into: prompt and ids."""
        if isinstance(order, Order):
            return order.subject
        task = self._shelf.find(any_id, math.inf)
        return any_id if task is None else task.order.subject

    def _spoiled(self, response: Response, strike: Strike) -> Response:
        """Have a fault do with an answer what it does."""
        for name, value in strike.items():
            if name.startswith("garbage-"):
                return garbage(value, response.body)
            if name == "refuse" or name.startswith("error-"):
                return self._refused(Refusal(value))
            if name == "gateway":
                status, code = value["status"], value.get("code")
                words = value.get("message", "refused by the gateway")
                return page(status) if code is None else self._reply(status, code, words, None)
        return response

    def _refused(self, refusal: Refusal) -> Response:
        self.ledger.refusals[refusal.code] += 1
        status = 200 if self.settings.behaviour.error_http_200 else CODES[refusal.code].http
        return self._reply(status, refusal.code, refusal.message, None)

    def _reply(self, status: int, code: int, message: str, data: bytes | None) -> Response:
        self._replies += 1
        request_id = f"{self.settings.seed & 0xFFFFFFFF:08x}-0000-4000-8000-{self._replies:012x}"
        return Response(status=status, headers={"content-type": _JSON}, body=envelope(code, message, request_id, data))

    # The calls that the service makes itself.

    @property
    def next_news_at(self) -> float | None:
        """When there is something to tell next."""
        return self._news.next_at

    def news(self) -> list[Callback]:
        """Take the callbacks that are due by now. Whoever asks sends them, in this order."""
        now = self.settle()
        return list(self._news.due(self.settings, now, lambda task, at: self._row(task, at, listed=False)))

    # The host of the files.

    async def file(self, request: Request, offload: Offload = inline) -> Response:
        """Answer a call to the file host. Making the bytes may be slow, and is left to `offload`."""
        now = self.settle()
        if self._files.is_upload(request):
            self.ledger.requests["upload"] += 1
            return self._travelling(self._files.uploaded(request), {"delay_s": 0.0}, now)
        task = self._files.task_of(request)
        subject = "" if task is None else task.order.subject
        strike = self._strike(Call.DOWNLOAD, lambda: subject, now)
        if "no-connection" in strike:
            return self._travelling(Response(status=0), strike, now)
        self.ledger.requests[Call.DOWNLOAD] += 1
        if "authorization" in request.headers:
            self.ledger.token_leaks += 1
        found = self._files.find(request, strike, self.settings, now)
        if isinstance(found, ClipSpec):
            data = await offload(partial(self._files.bytes_of, found))
            found = served(request, found, data, strike)
        return self._travelling(found, strike, now)


def _route(request: Request) -> tuple[Call | None, Kind, str]:
    """Tell what kind of call it is, which kind of task it is about, and which id it names."""
    path, method = request.path, request.method
    for kind in KINDS:
        if path == kind.path:
            call = {"POST": Call.CREATE, "GET": Call.LIST}.get(method)
            return call if call in kind.calls else None, kind, ""
        if path.startswith(kind.path + "/") and Call.QUERY in kind.calls:
            return Call.QUERY if method == "GET" else None, kind, path[len(kind.path) + 1 :]
    others = {("GET", ACCOUNT_PATH): Call.ACCOUNT, ("POST", DELETE_PATH): Call.DELETE}
    return others.get((method, path)), SOUND, ""


def _unknown_call(request: Request) -> Refusal:
    paths = {kind.path for kind in KINDS} | {ACCOUNT_PATH, DELETE_PATH}
    is_one = any(request.path.startswith(kind.path + "/") for kind in KINDS if Call.QUERY in kind.calls)
    return Refusal(1202 if request.path in paths or is_one else 1203)


def _order(kind: Kind, request: Request) -> Order | Refusal:
    try:
        return read_order(kind, request.body)
    except Refusal as refusal:
        return refusal
