"""What `kling-batch doctor` looks at, each a plain function from what was found to a verdict with a repair."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from kling_batch import __version__, catalog
from kling_batch.delivery.verify import VIDEOS
from kling_batch.errors import AccountStop, ExitStatus, KlingBatchError
from kling_batch.model import Manifest, Take
from kling_batch.running.endings import another_account
from kling_batch.running.reading import stop_for
from kling_batch.service.auth import BACKDATED_S, TOKEN_LIFE_S
from kling_batch.service.client import DEFAULT_BASE_URL
from kling_batch.service.outcomes import ReadFailed, Refused
from kling_batch.text import counted

BEIJING = "https://api-beijing.klingai.com"
_REGIONS = {
    DEFAULT_BASE_URL: "the service's address outside mainland China",
    BEIJING: "the service's address in mainland China",
}
_REPLACED = "https://api.klingai.com"
_SLOW_S = 60.0
"""How far a clock may be behind before the times in the reports mislead. Tokens bear half an hour."""
_GB = 1e9
_LEAST_ROOM = 100e6
_USUAL_S = 10.0
"""The length that is reckoned with where a job does not say one."""
_COPIES = 2
"""The output folder's and the store's."""
_ORDER = (ExitStatus.INVALID, ExitStatus.ACCOUNT, ExitStatus.NOT_FINISHED)
"""What has to be mended first decides how the command ends."""


class State(StrEnum):
    """How a check ends."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A verdict: what was found, and what to do. `exit_status` is what a problem ends the command with."""

    name: str
    state: State = State.OK
    message: str
    hint: str | None = None
    exit_status: ExitStatus = ExitStatus.INVALID

    @staticmethod
    def of(name: str, error: KlingBatchError) -> Check:
        """Take the problem from an error."""
        return Check.problem(name, error.message, error.hint, error.exit_status)

    @staticmethod
    def problem(name: str, message: str, hint: str | None, exit_status: ExitStatus = ExitStatus.INVALID) -> Check:
        """Say what keeps a run from its beginning."""
        return Check(name=name, state=State.PROBLEM, message=message, hint=hint, exit_status=exit_status)

    @staticmethod
    def warning(name: str, message: str, hint: str | None = None) -> Check:
        """Say what a run can begin with."""
        return Check(name=name, state=State.WARNING, message=message, hint=hint)


def exit_status(checks: Iterable[Check]) -> ExitStatus:
    """Decide how the command ends: a problem of the configuration before one of the account, that before the rest."""
    found = {check.exit_status for check in checks if check.state is State.PROBLEM}
    return next((status for status in _ORDER if status in found), ExitStatus.DONE)


def program() -> Check:
    """Name what runs."""
    python = f"Python {platform.python_version()} ({sys.executable})"
    return Check(name="program", message=f"kling-batch {__version__}, {python}, {platform.platform()}")


def sound(version: str, formats: frozenset[str]) -> Check:
    """Look whether every sound of the service can be decoded, which is how files are verified."""
    wanted = sorted({*catalog.formats()} - VIDEOS, reverse=True)
    lacking = [name for name in wanted if name not in formats]
    if lacking:
        message = f"libsndfile {version} does not read {', '.join(lacking)}: such files cannot be verified"
        return Check.warning("sound", message, "Install a newer one: pip install --upgrade soundfile")
    return Check(name="sound", message=f"libsndfile {version} reads {' and '.join(wanted)}")


def room(free: float, manifest: Manifest | None) -> Check:
    """Compare the room on the disk with what a manifest's sounds take, in bytes; copies in the store included."""
    takes = manifest.takes if manifest else ()
    need = sum(map(_bytes_of, takes)) * _COPIES
    words = f"{_size(free)} free"
    words += f"; {counted(len(takes), 'take')} may need {_size(need)}, copies in the store included" if takes else ""
    hint = "Make room, or choose a folder on another disk with --out (and --store)."
    if free < _LEAST_ROOM:
        return Check.problem("room", words, hint, ExitStatus.NOT_FINISHED)
    if free < max(need, _GB):
        return Check.warning("room", words, hint)
    return Check(name="room", message=words)


def _bytes_of(take: Take) -> float:
    kind = catalog.kind_of(take.job)
    seconds = kind.length_of(take.job) or _USUAL_S
    return sum(seconds * kind.outputs[name].bytes_per_s for name in take.job.formats)


def _size(count: float) -> str:
    return f"{count / _GB:.1f} GB" if count >= _GB else f"{count / 1e6:.0f} MB"


def address(base_url: str) -> Check:
    """Say which of the service's addresses is asked."""
    if base_url == _REPLACED:
        hint = f"Unset KLING_BASE_URL, which leaves {DEFAULT_BASE_URL}, or set it to {BEIJING}."
        return Check.warning("address", f"{base_url} is the service's old address, which it has replaced", hint)
    return Check(name="address", message=f"{base_url}: {_REGIONS.get(base_url, 'none of the known regions')}")


def service(outcome: Mapping[str, Any] | Refused | ReadFailed, base_url: str) -> Check:
    """Judge the answer to a free question about the account."""
    if isinstance(outcome, ReadFailed) and outcome.code == _TOO_FAST:
        return _put_off(outcome.reason)
    if isinstance(outcome, ReadFailed):
        message = f"{base_url} gives no answer that says anything: {outcome.reason}"
        hint = "Check the network, the proxy and KLING_BASE_URL; if they are right, try again later."
        return Check.problem("service", message, hint, ExitStatus.NOT_FINISHED)
    if isinstance(outcome, Refused):
        return _refused(outcome, base_url)
    rows = outcome.get("resource_pack_subscribe_infos")
    packs = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    left = sum(row["remaining_quantity"] for row in packs if isinstance(row.get("remaining_quantity"), int | float))
    words = f"{counted(len(packs), 'resource pack')}, {left:g} units left"
    return Check(name="service", message=f"the key is accepted; {words if packs else 'no resource pack'}")


def folder(out: Path, account: str | None, mine: str, *, seen: bool) -> Check:
    """Say whose an output folder is.

    Args:
        out: The folder.
        account: The fingerprint of the account that it belongs to; None where no task was made in it.
        mine: That of the account that is asked.
        seen: Whether a task that was made in it is seen with these keys.
    """
    if account is None:
        return Check(name="folder", message=f"{out} belongs to no account so far: no task was made in it")
    if account == mine:
        return Check(name="folder", message=f"{out} belongs to the account of these keys")
    if seen:
        words = f"{out} belongs to the account of these keys, by another key: its tasks are seen. A run goes on in it"
        return Check(name="folder", message=words)
    return Check.of("folder", another_account(out))


def readable(field: str, jobs: Sequence[str], reason: str | None) -> Check:
    """Judge whether a file can be read at the address that these jobs give in a field; `reason` is why not."""
    others = f" and {counted(len(jobs) - 1, 'other job')}" if len(jobs) > 1 else ""
    if reason is None:
        return Check(name=field, message=f"{jobs[0]}{others}: the address answers")
    hint = (
        "Open the address where you are not logged in: the service reads it without your keys. One that is signed for "
        "reading alone refuses this question, and may be right all the same."
    )
    return Check.warning(field, f"{jobs[0]}{others}: the address does not answer a HEAD: {reason}", hint)


_KEY_NOT_KNOWN = 1002
_TOO_FAST = 1302


def _put_off(reason: str) -> Check:
    """Judge a service that answers, but not the question: a run can begin all the same."""
    return Check.warning(
        "service", f"The service answers, and puts the question off with {reason}", "Ask again in a minute."
    )


def _refused(refused: Refused, base_url: str) -> Check:
    stop = stop_for(refused)
    if stop is None:
        return _put_off(f"{refused.code}: {refused.message}")
    if isinstance(stop, AccountStop) and refused.code == _KEY_NOT_KNOWN:
        others = " or ".join(region for region in _REGIONS if region != base_url)
        hint = (
            f"Either the key is wrong, or it belongs to another region than {base_url}: copy the key anew from the "
            f"console, or set KLING_BASE_URL to the region where it was made: {others}."
        )
        return Check.problem("service", stop.message, hint, stop.exit_status)
    return Check.of("service", stop)


def clock(ahead_s: float | None) -> Check:
    """Judge how far this machine's clock is ahead of the service's; None where the service did not say its time."""
    if ahead_s is None:
        return Check.warning("clock", "the service did not say its time")
    if abs(ahead_s) < 1:
        return Check(name="clock", message="as the service's, within a second")
    words = f"about {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the service's"
    hint = "Set this machine's clock right, and keep it so with NTP."
    if ahead_s > BACKDATED_S:
        words += f": a token from more than {BACKDATED_S} s ahead is refused as not valid yet (1003)"
        return Check.warning("clock", words, hint)
    if ahead_s < -_SLOW_S:
        words += f": from {TOKEN_LIFE_S // 60} minutes on a token is refused as expired (1004)"
        return Check.warning("clock", words, hint)
    return Check(name="clock", message=words)
