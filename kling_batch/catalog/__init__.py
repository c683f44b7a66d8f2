"""The kinds of task, as data: another endpoint is another file under `schemas/tasks/`, and no code.

Nothing outside of this package, the schemas and the sandbox names a kind, a field of its request, or a format.
"""

from __future__ import annotations

from kling_batch.catalog.kinds import (
    DEFAULT,
    LENGTH,
    WORDS,
    Input,
    Kind,
    Made,
    Output,
    formats,
    kind,
    kind_of,
    kinds,
    read_kind,
)

__all__ = [
    "DEFAULT",
    "LENGTH",
    "WORDS",
    "Input",
    "Kind",
    "Made",
    "Output",
    "formats",
    "kind",
    "kind_of",
    "kinds",
    "read_kind",
]
