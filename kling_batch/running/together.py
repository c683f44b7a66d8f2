"""Several calls at once, which fail as one call does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def together(calls: Iterable[tuple[str, Coroutine[Any, Any, None]]]) -> None:
    """Run named coroutines side by side. The first failure ends the others and is raised alone, not as a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for name, call in calls:
                group.create_task(call, name=name)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
