"""Makes the sounds of a manifest from Python, here with the sandbox: no keys, and nothing is spent.

Use: python examples/python_api.py examples/tavern.csv
"""

import asyncio
import sys

from kling_batch import load, plan, run
from kling_batch.errors import KlingBatchError
from kling_batch.events import Event, TakeEnded


def show(event: Event) -> None:
    """Print a line for every take that has ended."""
    if isinstance(event, TakeEnded):
        print(f"{event.take}: {event.status} {event.detail}".rstrip())


async def main(manifest: str) -> int:
    """Plan, run, and say where the sounds are."""
    project = load(manifest, sandbox=True)
    print(f"{len(plan(project).steps)} takes, at most {plan(project).units} units")
    outcome = await run(project, observe=show)
    for take in outcome.result.takes:
        for file in take.files:
            print(f"{project.out / file.path}: {file.duration_s:.1f} s")
    if outcome.stopped is not None:
        print(f"Stopped: {outcome.stopped.message} {outcome.stopped.hint}")
    return outcome.result.exit_status


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(*sys.argv[1:])))
    except KlingBatchError as error:
        sys.exit(f"{error.message}\n{error.hint or ''}".rstrip())
