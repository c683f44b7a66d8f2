"""Workers from what a person writes after `--workers`: a number of processes, or the address of a scheduler."""

from __future__ import annotations

from importlib.util import find_spec

from kling_batch.errors import UsageError
from kling_batch.records.store_at import Place
from kling_batch.running.crew import OpenCrew

PATIENCE_S = 120.0
"""How long a worker may be at one thing."""
_MOST = 64
"""Processes; more belong on several machines."""


def crew_at(workers: str, place: Place) -> OpenCrew:
    """Say how to have workers. Nothing is started yet.

    Args:
        workers: What a person writes after `--workers`: a number of processes, or the address of a scheduler.
        place: The store, which they have to reach.

    Raises:
        UsageError: There can be none.
    """
    if workers.startswith(("tcp://", "tls://")):
        if find_spec("distributed") is None:
            raise UsageError(
                f"--workers {workers}: a cluster needs the extra `dask`, which is not installed.",
                hint="Install it: pip install 'kling-batch[dask]'",
            )
        from kling_batch.running.cluster import cluster

        return lambda tell: cluster(workers, place, tell, PATIENCE_S)
    if workers.isdecimal() and 1 <= int(workers) <= _MOST:
        from kling_batch.running.processes import processes

        return lambda _: processes(int(workers), place, PATIENCE_S)
    raise UsageError(
        f"--workers {workers}: this is neither a number of processes nor the address of a scheduler.",
        hint=f"Give a number from 1 to {_MOST}, or the address of a Dask scheduler such as tcp://scheduler:8786.",
    )
