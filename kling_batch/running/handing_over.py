"""What of a delivery is done by a worker elsewhere: the order that it is given, and what it brings back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from kling_batch.catalog.finish import lead_of
from kling_batch.delivery.finishing import Wanted
from kling_batch.delivery.orders import Done, Order, carry_out
from kling_batch.model import Task
from kling_batch.running.crew import Crew
from kling_batch.running.fetching import offered
from kling_batch.running.finishing import Finishing
from kling_batch.running.ports import Offload
from kling_batch.text import counted


async def hand_over(
    crew: Crew,
    finishing: Finishing,
    formats: Sequence[str],
    wanted: Wanted,
    *,
    offload: Offload,
    task: Callable[[], Awaitable[Task]],
    tell: Callable[[str, str], None],
) -> tuple[Done, str] | None:
    """Have a worker fetch, verify and finish files of a take; None where that is to be done here.

    Args:
        crew: The workers.
        finishing: The take's files, and what is made of them.
        formats: Which files.
        wanted: What is to be done with the sound.
        offload: Runs what blocks.
        task: Says what the service says of the task.
        tell: Is told how the take stands, and why.

    Returns:
        What was done, and who did it.

    Raises:
        Undelivered: A file is not in the store, and the service does not say where it has it.
    """
    files, targets, urls = finishing.files, [], {}
    for name in formats:
        target = files.target(name)
        if not await offload(files.in_store, name):
            urls[name], target = offered(await task(), target)
        targets.append(target)
    if files.copies.store is None:
        return None
    order = Order(
        place=crew.place,
        targets=tuple(targets),
        urls=urls,
        lead=lead_of(files.work.take.job.formats),
        wanted=wanted,
    )
    tell("at-worker", f"given to one of {counted(crew.workers, 'worker')}")
    answer = await crew.give(carry_out, order)
    if answer is None or answer[0].trouble is not None:
        tell("downloading", f"it is done here: {answer[0].trouble if answer else 'no worker could'}")
        return None
    done, worker = answer
    if done.finished is None:
        return answer
    here = await offload(finishing.bring, done.finished)
    return None if here is None else (replace(done, finished=here), worker)
