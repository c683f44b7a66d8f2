"""Small objects that only who has seen their latest content may replace: what machines agree by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

Tag = tuple[str | None, str | None]
"""What tells one content of an object from another: its e-tag and, where the storage counts them, its version."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """What an object says, and by which tag it is replaced."""

    data: bytes
    tag: Tag


class Documents(Protocol):
    """Storage with conditional writes. Every call blocks, and raises `DiskUnusable` where nobody answers as expected.

    Then a write may have been done all the same, or be done later.
    """

    @property
    def location(self) -> str:
        """Say where it is, in the words that `--store` takes."""
        ...

    def read(self, name: str) -> Document | None:
        """Read an object; None where it is not there."""
        ...

    def write(self, name: str, data: bytes, *, after: Tag | None) -> Tag | None:
        """Replace the content that has the tag `after`, or make the object where that is None.

        Gives the tag of what is there now, or None where somebody else was first.
        """
        ...
