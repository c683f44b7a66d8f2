"""Workers, by what a person writes after `--workers`: a number of processes, or the address of a scheduler."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from kling_batch.errors import UsageError
from kling_batch.records.store_at import Place
from kling_batch.running.ports import Crew

PATIENCE_S = 120.0
"""How long a worker may be at one thing."""
_MOST = 64
"""Processes; more belong on several machines."""


def number_of(workers: str) -> int | None:
    """Read what a person writes; None is the address of a scheduler.

    Raises:
        UsageError: It is neither.
    """
    if workers.startswith(("tcp://", "tls://")):
        return None
    if workers.isdecimal() and 1 <= int(workers) <= _MOST:
        return int(workers)
    raise UsageError(
        f"--workers {workers}: this is neither a number of processes nor the address of a scheduler.",
        hint=f"Give a number from 1 to {_MOST}, or the address of a Dask scheduler such as tcp://scheduler:8786.",
    )


def crew_at(workers: str, place: Place, tell: Callable[[str], None]) -> AbstractAsyncContextManager[Crew]:
    """Have workers for as long as the context lasts.

    Args:
        workers: What a person writes.
        place: The store, which they have to reach.
        tell: Is told what goes wrong with them.

    Raises:
        UsageError: There can be none; or, when the context is entered, they are not fit for it.
        DiskUnusable: The store cannot be used.
    """
    number = number_of(workers)
    if number is not None:
        from kling_batch.running.processes import processes

        return processes(number, place, PATIENCE_S)
    try:
        from kling_batch.running.cluster import cluster
    except ModuleNotFoundError as error:
        if error.name not in {"dask", "distributed"}:
            raise
        raise UsageError(
            f"--workers {workers}: a cluster needs the extra `dask`, which is not installed.",
            hint="Install it: pip install 'kling-batch[dask]'",
        ) from None
    return cluster(workers, place, tell, PATIENCE_S)
