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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from math import inf
from time import sleep

from kling_batch.clock import SystemClock, iso, lasting
from kling_batch.errors import DiskUnusable, KlingBatchError, LeaseHeld, UsageError
from kling_batch.records.documents import Document, Documents, Tag
from kling_batch.records.fields import SIZE, Check, fits, number, optional, text

LIFE_S = 60.0
"""How long a lease is believed that nobody renews."""
_RENEWALS = 3
"""A lease is renewed so many times in its life."""
_CALLS_END = 0.75
"""A call that costs money is begun in the first half of a life, and given up after so much of it."""
_LOOKS = 12
"""Who waits, or could not renew, tries again so many times in a life."""
_TRIES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """What the object says: who holds the lease or, if it `ended`, who held it last.

    `beat` makes every content another one. `journal` is the token of the journal by which it ended, if that knows of
    all that was sent.
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

    def __str__(self) -> str:
        return f"{self.who} on {self.host}, process {self.pid}, since {self.since}"

    @classmethod
    def of(cls, document: Document) -> Holder:
        """Read who holds it. What makes no sense is held by somebody, until it has not changed for a life."""
        with suppress(ValueError, RecursionError):
            if fits(facts := json.loads(document.data), _FIELDS, _FIELDS):
                return cls(**facts)
        return cls(run="")


_WORD = text(r"[^\x00-\x1f\x7f]{0,200}")
_FIELDS: dict[str, Check] = {
    **dict.fromkeys(("run", "who", "host", "since", "manifest"), _WORD),
    **dict.fromkeys(("pid", "beat"), SIZE),
    "life_s": number(int, float, least=0, most=3600),
    "ended": lambda value: type(value) is bool,
    "journal": optional(_WORD),
}


@dataclass(kw_only=True, eq=False)
class Claim:
    """What one run makes of what it reads and writes. No I/O; times are seconds of one clock, that of its machine.

    Whoever drives it reads the object while `tag` is None, and else writes over the content with `after`.

    Args:
        run: Its name in the object.
        life_s: How long the lease is believed without a renewal.
    """

    run: str
    life_s: float
    holding: bool = False
    after: Tag | None = None
    before: Holder | None = None
    """Who held it when it was taken; None where nobody ever did."""
    lost_to: Holder | None = None
    """Who is in the object of a lease that was held, and is no more."""
    _renewed_at: float = field(default=-inf, init=False)
    _seen: Tag | None = field(default=None, init=False)
    _seen_at: float = field(default=inf, init=False)

    def may_write(self, tag: Tag | None, holder: Holder | None, now: float) -> bool:
        """Whether to write over what was read just now; None is no object."""
        self.after = tag
        if holder is not None and holder.run == self.run:
            return True  # an answer was lost
        if self.holding:
            self.lost_to = holder or Holder(run="")
            return False
        if holder is not None and not self.is_free(tag, holder, now):
            return False
        self.before = holder
        return True

    def is_free(self, tag: Tag | None, holder: Holder, now: float) -> bool:
        """Whether the holder has ended, or was not heard of for a whole life."""
        if tag != self._seen:
            self._seen, self._seen_at = tag, now
        return holder.ended or now - self._seen_at >= max(self.life_s, holder.life_s)

    def wrote(self, tag: Tag, began: float) -> None:
        """Note a write that was done, and that began then."""
        self.holding, self.after, self._renewed_at = True, tag, began

    @property
    def renew_at(self) -> float:
        """When the next renewal is due."""
        return self._renewed_at + self.life_s / _RENEWALS

    def may_send(self, now: float) -> bool:
        """Whether a call that costs money may be begun."""
        return self.lost_to is None and now - self._renewed_at < self.life_s / 2

    def call_s(self, now: float) -> float:
        """How long a call that is begun now may take: it is over before anybody can have taken over."""
        return self._renewed_at + self.life_s * _CALLS_END - now

    def vouches_for(self, journal: str | None) -> bool:
        """Whether the run before ended in good order, by the journal with this token: nobody has sent since."""
        before = self.before
        return before is not None and before.ended and journal is not None and before.journal == journal


class Lease:
    """A lease in object storage. Once it is taken, a thread renews it until it is ended.

    Args:
        documents: The storage; it should give up soon, since what fails is tried again here.
        account: Which account is worked with, by its fingerprint.
        project: Which set.
        manifest: The hash of the manifest, for people.
        clock: Seconds that go on while the machine sleeps.
    """

    def __init__(
        self,
        documents: Documents,
        account: str,
        project: str,
        *,
        manifest: str = "",
        clock: Callable[[], float] = lasting,
    ) -> None:
        self._documents = documents
        self._name = f"leases/{account}/{project}.json"
        self._clock = clock
        self._me = Holder(
            run=secrets.token_hex(8),
            who=_user(),
            host=socket.gethostname(),
            pid=os.getpid(),
            since=iso(SystemClock().time()) or "",
            manifest=manifest,
            life_s=LIFE_S,
        )
        self._claim = Claim(run=self._me.run, life_s=LIFE_S)
        self._one_at_a_time = threading.Lock()
        self._end = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="lease", daemon=True)

    def vouches_for(self, journal: str | None) -> bool:
        """See `Claim.vouches_for`."""
        return self._claim.vouches_for(journal)

    def look(self) -> Holder | None:
        """Say who holds the lease now; None where nobody does."""
        found = self._documents.read(self._name)
        holder = None if found is None else Holder.of(found)
        return None if holder is None or holder.ended else holder

    def take(self, *, wait_s: float, tell: Callable[[str], None]) -> None:
        """Take the lease, and keep it until `end`.

        Args:
            wait_s: How long to wait for another run to end, or to have been silent for long enough.
            tell: Is told, once, whom this waits for.

        Raises:
            LeaseHeld: Another run holds it.
            UsageError: The storage ignores the conditions of a write, so that it can keep nobody out.
            DiskUnusable: It cannot be used.
        """
        until, holder = self._clock() + wait_s, self._try()
        if holder is not None and wait_s > 0:
            tell(f"Waiting up to {wait_s:.0f} s for another run of this set ({holder}).")
        while holder is not None:
            left = until - self._clock()
            if left <= 0:
                raise LeaseHeld(
                    f"{self._documents.location}: another run of this set holds the lease ({holder}).",
                    hint=f"Let it end, or queue with --wait S: from S = {self._claim.life_s * 1.5:.0f} on, a run that "
                    "died is succeeded. Where it is known to be gone: kling-batch unlock.",
                )
            sleep(min(left, self._claim.life_s / _LOOKS))
            with suppress(DiskUnusable):  # it is looked at again
                holder = self._try()
        try:
            self._check_storage()
        except BaseException:
            self.end(None)
            raise
        self._keeper.start()

    def seize(self, holder: Holder) -> None:
        """Take the lease from a holder, and end it once that one, if it still works, has stopped sending.

        Raises:
            LeaseHeld: Somebody else holds it by now.
            DiskUnusable: It cannot be used.
        """
        found = self._documents.read(self._name)
        if found is None or (now := Holder.of(found)).ended:
            return
        self._claim.after = found.tag
        if now.run != holder.run or self._write() is None:
            raise LeaseHeld(f"The lease is held by somebody else by now ({now}).", hint="Look again.")
        sleep(holder.life_s)
        self.end(None)

    def call_s(self) -> float:
        """How long a call that costs money may take from this moment; 0 where none may be begun."""
        return self.lasts_s() if self._claim.may_send(self._clock()) else 0.0

    def lasts_s(self) -> float:
        """How long a call that was begun may go on from this moment; see `Claim.call_s`."""
        return self._claim.call_s(self._clock())

    def renew(self) -> None:
        """Renew the lease.

        Raises:
            LeaseHeld: Another run has it.
            DiskUnusable: It cannot be renewed for the moment.
        """
        with self._one_at_a_time:
            if self._claim.lost_to is None and self._write() is None:
                self._try()
        if (lost_to := self._claim.lost_to) is not None:
            now = str(lost_to) if lost_to.run else "nobody: the object was removed"
            raise LeaseHeld(
                f"This run was silent for longer than its lease lasts, or that was unlocked. Who has it now: {now}. "
                "Nothing more is sent.",
                hint="Let that one end, then run again: what is done stays done.",
            )

    def end(self, journal: str | None) -> None:
        """Give the lease up, and name the journal that worked if it knows all. Where that fails, it ends by its age."""
        self._end.set()
        if self._keeper.is_alive():
            self._keeper.join()
        if self._claim.lost_to is None:
            self._me = replace(self._me, ended=True, journal=journal)
            with suppress(KlingBatchError):
                if self._write() is None:
                    self._try()  # an answer was lost

    def _try(self) -> Holder | None:
        """Take or renew what is free or ours. Gives whoever else holds it."""
        for _ in range(_TRIES):
            found = self._documents.read(self._name)
            holder = None if found is None else Holder.of(found)
            if not self._claim.may_write(None if found is None else found.tag, holder, self._clock()):
                return holder
            if self._write() is not None:
                return None
        raise DiskUnusable(
            f"{self._documents.location}: the lease changes with every look.", hint="Run again in a minute."
        )

    def _write(self) -> Tag | None:
        began = self._clock()
        self._me = replace(self._me, beat=self._me.beat + 1)
        tag = self._documents.write(self._name, _json(self._me), after=self._claim.after)
        if tag is not None:
            self._claim.wrote(tag, began)
        return tag

    def _check_storage(self) -> None:
        """See that the storage refuses what comes too late: else it would let two runs in."""
        old = self._claim.after
        self.renew()
        data = _json(replace(self._me, beat=0))
        if any(self._documents.write(self._name, data, after=after) is not None for after in (None, old)):
            raise UsageError(
                f"{self._documents.location}: this storage ignores the conditions of a write (If-Match, "
                "If-None-Match), so that a lease in it keeps nobody out.",
                hint="Use a storage that heeds them, or a folder with --store, and run the set in one place at a time.",
            )

    def _keep(self) -> None:
        while not self._end.wait(max(self._claim.life_s / _LOOKS, self._claim.renew_at - self._clock())):
            try:
                self.renew()
            except LeaseHeld:
                return
            except KlingBatchError:
                pass  # it is tried again; what costs money waits for that


def _json(holder: Holder) -> bytes:
    return json.dumps(asdict(holder), indent=1).encode()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "somebody"
