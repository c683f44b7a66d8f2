"""What the command line takes from the environment: keys, address, and the user's cache folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kling_batch.api.access import Access, real_access
from kling_batch.files.store import FolderStore, Namespace, Store, default_store_root
from kling_batch.files.store_at import store_at


def own_access() -> Access:
    """Take keys and address from the environment.

    Raises:
        UsageError: The keys are missing, or the address would send them in the clear.
    """
    return real_access(os.environ)


def open_store(location: str | None, *, sandbox: bool) -> Store:
    """Open the store: a folder, the URL of object storage, or by default the user's cache folder.

    Raises:
        UsageError: There can be no store there, or what object storage needs is missing.
    """
    namespace: Namespace = "sandbox" if sandbox else "live"
    if location:
        return store_at(location, namespace=namespace)
    root = default_store_root(os.environ, platform=sys.platform, home=Path.home())
    return FolderStore(root, namespace=namespace)
