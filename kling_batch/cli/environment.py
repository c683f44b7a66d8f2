"""What the command line takes from the environment: keys, address, and the user's cache folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kling_batch.api.access import Access
from kling_batch.records.store import default_store_root


def own_access() -> Access:
    """Take keys and address from the environment.

    Raises:
        UsageError: The keys are missing, or the address would send them in the clear.
    """
    return Access.of(os.environ)


def own_store() -> Path:
    """Say where the store is when nobody says otherwise: in the user's cache folder."""
    return default_store_root(os.environ, platform=sys.platform, home=Path.home())
