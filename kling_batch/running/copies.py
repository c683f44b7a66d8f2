"""The store as a run uses it: one that cannot be used is given up, and told of once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from kling_batch.delivery.place import copied
from kling_batch.errors import DiskUnusable
from kling_batch.events import Warned
from kling_batch.records.store import Store
from kling_batch.running.ports import Ports


@dataclass(eq=False)
class Copies:
    """Copies of sounds, in `store`; None keeps none. `trouble` is what went wrong, until it has been told."""

    store: Store | None
    trouble: str | None = None

    def has(self, sha256: str) -> bool:
        """Say whether a sound seems to be there. Blocks."""
        return self._use(lambda store: store.has(sha256), "The store cannot be used")

    def fetch(self, sha256: str, coming: Path) -> bool:
        """Take a sound out of the store. Blocks. Where that cannot be used, the service may still have the file."""
        return self._use(lambda store: store.fetch(sha256, coming), "The store cannot be used")

    def bring(self, out: Path, paths: Iterable[str], sha256: str, coming: Path) -> bool:
        """Copy a sound that is known by its hash from where it may stand on the disk, else out of the store. Blocks."""
        return copied(out, paths, sha256, coming) or self.fetch(sha256, coming)

    def put(self, coming: Path, sha256: str) -> bool:
        """Put a sound into the store, and say whether it is there. Blocks."""

        def keep(store: Store) -> bool:
            store.put(coming, sha256)
            return True

        return self._use(keep, "Nothing more is kept in the store")

    def _use(self, use: Callable[[Store], bool], trouble: str) -> bool:
        """Use the store, if there is one; where it cannot be used, use it no more."""
        store = self.store  # another thread may give it up
        try:
            return store is not None and use(store)
        except DiskUnusable as error:
            self.store, self.trouble = None, f"{trouble}: {error.message}"
            return False

    def tell(self, ports: Ports) -> None:
        """Tell of what went wrong."""
        if self.trouble is not None:
            ports.observe(Warned(at=ports.clock.time(), message=self.trouble))
            self.trouble = None
