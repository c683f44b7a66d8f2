"""The lease: one run of a set at a time, on whatever machine, held by an object of the team's storage.

The holder replaces the object every third of the lease's life. Who waits sees the same content for a whole life, by a
clock of its own, and replaces that: the clocks of two machines are never compared. A holder sends nothing that costs
money once its last renewal is half a life old, so that it has long fallen silent when it is succeeded. A lease that was
ended stays, and names the journal that worked last.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from math import inf
from time import sleep
from typing import TYPE_CHECKING, Any

from kling_batch.clock import SystemClock, iso, lasting
from kling_batch.errors import DiskUnusable, KlingBatchError, LeaseHeld, UsageError
from kling_batch.records.fields import ID, SIZE, TIME, Check, fits, number, optional, text

if TYPE_CHECKING:
    from kling_batch.records.object_store import Document, ObjectDocuments, Tag

LIFE_S = 60.0
"""How long a lease is believed that nobody renews."""
_RENEWALS = 3
"""A lease is renewed so many times in its life."""
_CALLS_BEGIN, _CALLS_END = 0.5, 0.75
"""A call that costs money is begun before so much of a life is over, and given up after so much of it."""
_LOOKS = 12
"""Who waits, or could not renew, tries again so many times in a life."""
_TRIES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """What the object says: who holds the lease or, if it `ended`, who held it last.

    `beat` makes every content another one. `journal` is the token of the journal by which it ended, if that knows of
    all that was sent. `calls` may have made what nobody else can tell of: when they were sent, by external id.
    """

    run: str
    who: str = "somebody"
    host: str = "some machine"
    pid: int = 0
    since: str = "nobody knows when"
    manifest: str = ""
    life_s: float = LIFE_S
    beat: int = 0
    ended: bool = False
    journal: str | None = None
    calls: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.who} on {self.host}, process {self.pid}, since {self.since}"

    @classmethod
    def of(cls, document: Document) -> Holder:
        """Read who holds it. What makes no sense is held by somebody, until it has not changed for a life."""
        if document.tag is None:
            return NOBODY
        with suppress(ValueError, RecursionError):
            if fits(facts := json.loads(document.data), _FIELDS, _FIELDS | {"calls": _are_calls}):
                return cls(**facts)
        return cls(run="")


NOBODY = Holder(run="", ended=True)
"""Who holds a lease that has no object."""
_WORD = text(r"[^\x00-\x1f\x7f]{0,200}")
_FIELDS: dict[str, Check] = {
    **dict.fromkeys(("run", "who", "host", "since", "manifest"), _WORD),
    **dict.fromkeys(("pid", "beat"), SIZE),
    "life_s": number(int, float, least=0, most=3600),
    "ended": lambda value: type(value) is bool,
    "journal": optional(_WORD),
}


def _are_calls(value: Any) -> bool:
    return type(value) is dict and all(ID(name) and TIME(at) for name, at in value.items())


@dataclass(kw_only=True, eq=False)
class Claim:
    """What one run makes of what it reads and writes. No I/O.

    Whoever drives it reads the object, asks whether it `may_write`, and then writes over the content with `after`; a
    holder writes first, and reads where that was refused.

    Args:
        run: Its name in the object.
        life_s: How long the lease is believed without a renewal.
        clock: Seconds of the machine that go on while it sleeps.
    """

    run: str
    life_s: float
    clock: Callable[[], float]
    after: Tag | None = None
    before: Holder = NOBODY
    """Who held it when it was taken."""
    lost_to: Holder | None = None
    """Who is in the object of a lease that was held, and is no more."""
    _renewed_at: float = field(default=-inf, init=False)
    _seen: Tag | None = field(default=None, init=False)
    _seen_at: float = field(default=inf, init=False)

    @property
    def holds(self) -> bool:
        """Whether the lease was taken, and nothing else has been read since."""
        return self._renewed_at > -inf and self.lost_to is None

    def may_write(self, tag: Tag | None, holder: Holder) -> bool:
        """Whether to write over what was read just now. Our own is there where an answer was lost."""
        if holder.run != self.run:
            if self.holds:
                self.lost_to = holder
            if self.lost_to is not None or not self.is_free(tag, holder):
                return False
            self.before = holder
        self.after = tag
        return True

    def is_free(self, tag: Tag | None, holder: Holder) -> bool:
        """Whether the holder has ended, or was not heard of for a whole life."""
        if tag != self._seen:
            self._seen, self._seen_at = tag, self.clock()
        return holder.ended or self.clock() - self._seen_at >= max(self.life_s, holder.life_s)

    def wrote(self, tag: Tag, began: float) -> None:
        """Note a write that was done, and that began then."""
        self.after, self._renewed_at = tag, began

    def pause_s(self) -> float:
        """How long to wait before the next renewal."""
        return max(self.life_s / _LOOKS, self._renewed_at + self.life_s / _RENEWALS - self.clock())

    def lasts_s(self) -> float:
        """How long a call that costs money may still go on: it is over before anybody can have taken over."""
        return self._renewed_at + self.life_s * _CALLS_END - self.clock()

    def call_s(self) -> float:
        """How long a call that is begun now may take; 0 where none may be begun."""
        left = self.lasts_s()
        return left if self.holds and left > self.life_s * (_CALLS_END - _CALLS_BEGIN) else 0.0

    def vouches_for(self, journal: str | None) -> bool:
        """Whether the run before ended in good order, by the journal with this token: nobody has sent since."""
        return self.before.ended and journal is not None and self.before.journal == journal


class Lease:
    """A lease in object storage. Once it is taken, a thread renews it until it is ended. `claim` says what it allows.

    `calls` go along from holder to holder: see `Holder`.

    Args:
        documents: The storage; it should give up soon, since what fails is tried again here.
        account: Which account is worked with, by its fingerprint.
        project: Which set.
        manifest: The hash of the manifest, for people.
        clock: Seconds that go on while the machine sleeps.
    """

    def __init__(
        self,
        documents: ObjectDocuments,
        account: str,
        project: str,
        *,
        manifest: str = "",
        clock: Callable[[], float] = lasting,
    ) -> None:
        self._documents = documents
        self._name = f"leases/{account}/{project}.json"
        self._me = Holder(
            run=secrets.token_hex(8),
            who=_user(),
            host=socket.gethostname(),
            pid=os.getpid(),
            since=iso(SystemClock().time()) or "",
            manifest=manifest,
            life_s=LIFE_S,
        )
        self.claim = Claim(run=self._me.run, life_s=LIFE_S, clock=clock)
        self.calls: Mapping[str, float] = {}
        self._one_at_a_time = threading.Lock()
        self._end = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="lease", daemon=True)

    def look(self) -> Holder:
        """Say who holds the lease now, or held it last."""
        return Holder.of(self._documents.read(self._name))

    def take(self, *, wait_s: float, tell: Callable[[str], None]) -> None:
        """Take the lease, and keep it until `end`, which is called also where this raises something.

        Args:
            wait_s: How long to wait for another run to end, or to have been silent for long enough.
            tell: Is told, once, whom this waits for.

        Raises:
            LeaseHeld: Another run holds it.
            UsageError: The storage ignores the conditions of a write, so that it can keep nobody out.
            DiskUnusable: It cannot be used.
        """
        until, holder = self.claim.clock() + wait_s, self._try()
        if holder is not None and wait_s > 0:
            tell(f"Waiting up to {wait_s:.0f} s for another run of this set ({holder}).")
        while holder is not None:
            left = until - self.claim.clock()
            if left <= 0:
                raise LeaseHeld(
                    f"{self._documents.location}: another run of this set holds the lease ({holder}).",
                    hint=f"Let it end, or queue with --wait S: from S = {self.claim.life_s * 1.5:.0f} on, a run that "
                    "died is succeeded. Where it is known to be gone: kling-batch unlock.",
                )
            sleep(min(left, self.claim.life_s / _LOOKS))
            with suppress(DiskUnusable):  # it is looked at again
                holder = self._try()
        self._check_storage()
        self._keeper.start()

    def seize(self, holder: Holder) -> None:
        """Take the lease from a holder, and end it once that one, if it still works, has stopped sending.

        Raises:
            LeaseHeld: Somebody else holds it by now.
            DiskUnusable: It cannot be used.
        """
        found = self._documents.read(self._name)
        if (now := Holder.of(found)).ended:
            return
        self.claim.after, self.calls = found.tag, now.calls
        if now.run != holder.run or not self._write():
            raise LeaseHeld(f"The lease is held by somebody else by now ({now}).", hint="Look again.")
        sleep(max(self.claim.life_s, holder.life_s))
        self.end(None)

    def renew(self) -> None:
        """Renew the lease.

        Raises:
            LeaseHeld: Another run has it.
            DiskUnusable: It cannot be renewed for the moment.
        """
        with self._one_at_a_time:
            lost_to = self.claim.lost_to or self._try()
        if lost_to is not None:
            now = "nobody: the object was removed" if lost_to == NOBODY else str(lost_to)
            raise LeaseHeld(
                f"This run was silent for longer than its lease lasts, or that was unlocked. Who has it now: {now}. "
                "Nothing more is sent.",
                hint="Let that one end, then run again: what is done stays done.",
            )

    def note(self, call: str) -> None:
        """Add a call that is about to be made to `calls`, and wait until the object has it.

        Raises:
            LeaseHeld: Another run has the lease.
            DiskUnusable: It could not be written for as long as a call may be begun.
        """
        with self._one_at_a_time:
            self.calls = {**self.calls, call: SystemClock().time()}
        while True:
            try:
                return self.renew()
            except DiskUnusable:
                if self.claim.call_s() == 0:
                    raise
            sleep(self.claim.pause_s())

    def forget(self, calls: Container[str]) -> None:
        """Take calls out of `calls` of which the team's lock tells by now."""
        with self._one_at_a_time:
            self.calls = {name: at for name, at in self.calls.items() if name not in calls}

    def end(self, journal: str | None) -> None:
        """Give the lease up, and name the journal that worked if it knows all. Where that fails, it ends by its age."""
        self._end.set()
        if self._keeper.is_alive():
            self._keeper.join()
        if self.claim.holds:
            self._me = replace(self._me, ended=True, journal=journal)
            with suppress(KlingBatchError):
                self._try()

    def _try(self) -> Holder | None:
        """Renew what is ours, or take what is free. Gives whoever else holds it."""
        may_write = self.claim.holds
        for _ in range(_TRIES):
            if may_write and self._write():
                return None
            found = self._documents.read(self._name)
            holder = Holder.of(found)
            if not (may_write := self.claim.may_write(found.tag, holder)):
                return holder
            if holder.run != self._me.run:
                self.calls = holder.calls
        raise DiskUnusable(
            f"{self._documents.location}: the lease changes with every look.", hint="Run again in a minute."
        )

    def _write(self) -> bool:
        began = self.claim.clock()
        self._me = replace(self._me, beat=self._me.beat + 1, calls=self.calls)
        tag = self._documents.write(self._name, _json(self._me), after=self.claim.after)
        if tag is not None:
            self.claim.wrote(tag, began)
        return tag is not None

    def _check_storage(self) -> None:
        """See that the storage refuses what comes too late: else it would let two runs in."""
        old = self.claim.after
        self.renew()
        data = _json(replace(self._me, beat=0))
        if any(self._documents.write(self._name, data, after=after) is not None for after in (None, old)):
            raise UsageError(
                f"{self._documents.location}: this storage ignores the conditions of a write (If-Match, "
                "If-None-Match), so that a lease in it keeps nobody out.",
                hint="Use a storage that heeds them, or a folder with --store, and run the set in one place at a time.",
            )

    def _keep(self) -> None:
        with suppress(LeaseHeld):
            while not self._end.wait(self.claim.pause_s()):
                with suppress(DiskUnusable):  # it is tried again; what costs money waits for that
                    self.renew()


def _json(holder: Holder) -> bytes:
    return json.dumps(asdict(holder), indent=1).encode()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "somebody"
