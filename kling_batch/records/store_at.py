"""A store from what a person writes after `--store`: a folder, or the URL of one or of object storage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit
from urllib.request import url2pathname

from kling_batch.errors import UsageError
from kling_batch.records.store import FolderStore, Namespace, Store

if TYPE_CHECKING:
    from kling_batch.records.object_store import ObjectDocuments, ObjectUploads

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""Two letters at least: one is a drive of Windows."""

_FORMS = "A store is a folder, file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix."


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a store is, in the words that `--store` takes, and whose files are meant: a value for other machines."""

    location: str
    namespace: Namespace

    def open(self) -> Store:
        """Open it, as `store_at` does."""
        return store_at(self.location, namespace=self.namespace)


def store_at(location: str, *, namespace: Namespace) -> Store:
    """Open a store. Nothing is asked of it yet.

    Raises:
        UsageError: It is no place for a store, the extra `s3` is not installed, or the environment is incomplete.
    """
    if (folder := _folder(location)) is not None:
        return FolderStore(folder, namespace=namespace)
    _check(location, "--store")
    from kling_batch.records.object_store import ObjectStore

    return ObjectStore(location, namespace=namespace)


def documents_at(location: str, *, hurried: bool = False) -> ObjectDocuments | None:
    """Open object storage for what machines agree by; None where a store is a folder. Nothing is asked of it yet.

    Raises:
        UsageError: As of `store_at`.
    """
    if _folder(location) is not None:
        return None
    _check(location, "--store")
    from kling_batch.records.object_store import ObjectDocuments

    return ObjectDocuments(location, hurried=hurried)


def uploads_at(location: str) -> ObjectUploads:
    """Open object storage for files that the service reads. Nothing is asked of it yet.

    Raises:
        UsageError: It is no such place, the extra `s3` is not installed, or the environment is incomplete.
    """
    _check(location, "--uploads")
    from kling_batch.records.object_store import ObjectUploads

    return ObjectUploads(location)


def _folder(location: str) -> Path | None:
    """Say which folder is meant; None where it is none."""
    if not _SCHEME.match(location):
        return Path(location)
    if (parts := _parts(location, "--store")).scheme != "file":
        return None
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise UsageError(f"--store {location}: this URL names no folder.", hint=f"{_FORMS} Or give the plain path.")
    return Path(url2pathname(parts.path))


def _parts(location: str, option: str) -> SplitResult:
    try:
        return urlsplit(location)
    except ValueError:
        raise UsageError(f"{option}: this URL is malformed.", hint=_FORMS) from None  # a password may be in it


def _check(location: str, option: str) -> None:
    """Refuse what is no URL of object storage, and all of them without the extra. A password in one is not repeated."""
    parts = _parts(location, option)
    if "@" in parts.netloc:
        raise UsageError(
            f"{option} {parts.scheme}://...@{parts.netloc.rpartition('@')[2]}: keys do not belong into a URL.",
            hint="Set them in the environment: docs/store.md names the variables.",
        )
    if parts.scheme not in {"s3", "gs", "az"}:
        raise UsageError(
            f"{option} {location}: {parts.scheme}: is no kind of store.",
            hint=f"{_FORMS} For a folder with a colon in its name, write ./{location}.",
        )
    if not parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"{option} {location}: this URL names no bucket, or more than a bucket and a prefix.", hint=_FORMS
        )
    if find_spec("obstore") is None:
        raise UsageError(
            f"{option} {location}: object storage needs the extra `s3`, which is not installed.",
            hint="Install it: pip install 'kling-batch[s3]'",
        )
