"""A name for every effect on the world, told right before it happens.

The tool's promise is that a crash at any instant loses nothing and pays nothing twice. To check it, a test
passes a probe that raises at the n-th effect, and then starts again.
"""

from __future__ import annotations

from collections.abc import Callable

Probe = Callable[[str], None]
"""Is called with an effect's short name (`write`, `fsync`, `rename`, `send` ...) right before the effect.

May be called from any thread. What it raises passes through unchanged: code that calls it must be as safe
against an exception here as against the loss of power.
"""


def no_probe(effect: str) -> None:
    """Let every effect happen."""
    del effect
