"""Turns a manifest of prompts into verified sound files, and never pays twice for a sound.

From Python: `load` a project, `plan` it, and `await run(...)` it, or `run_sync(...)` where no event loop runs. What
happens is told in events (`kling_batch.events`), what came of it in values (`kling_batch.model`), what is wrong in
errors (`kling_batch.errors`). docs/python.md has an example.

A name is imported when it is first used, so that the package itself costs nothing to import.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kling_batch.api.access import Access
    from kling_batch.api.project import load, plan
    from kling_batch.api.run import run, run_sync
    from kling_batch.planning.plan import Plan
    from kling_batch.planning.project import Project
    from kling_batch.running.options import Options
    from kling_batch.running.run import Outcome

__version__ = "0.1.0"

__all__ = ["Access", "Options", "Outcome", "Plan", "Project", "load", "plan", "run", "run_sync"]

_HOMES = {
    "Access": "kling_batch.api.access",
    "Options": "kling_batch.running.options",
    "Outcome": "kling_batch.running.run",
    "Plan": "kling_batch.planning.plan",
    "Project": "kling_batch.planning.project",
    "load": "kling_batch.api.project",
    "plan": "kling_batch.api.project",
    "run": "kling_batch.api.run",
    "run_sync": "kling_batch.api.run",
}

if not TYPE_CHECKING:  # a type checker goes by the imports above, and finds a name that is not there

    def __getattr__(name: str) -> object:
        """Import a name from its home, once."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=None)
        import importlib

        found = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
        return found

    def __dir__() -> list[str]:
        """Name what can be had."""
        return sorted({*globals(), *__all__})
