"""Finished files in object storage: S3, Google Cloud Storage or Azure, through obstore, whose only door this is.

Objects are named like the files of a folder store, so a bucket and a folder can be copied into each other with any
tool. An object appears whole or not at all; that is the storage's own promise.

obstore reads keys, region and endpoint from the environment itself, under the names in `_VARIABLES`, and where there
are none asks the machine's own metadata service, as programs in a cloud do. It reads no profile under `~/.aws`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import from_url

from kling_batch.disk import CHUNK, MOST_BYTES, disk_border
from kling_batch.effects import Probe, no_probe
from kling_batch.errors import DiskUnusable, UsageError
from kling_batch.model import InputFile
from kling_batch.records.store import Namespace, StoreEntry, is_key, key_of, receive

if TYPE_CHECKING:
    from obstore import GetResult, PutMode, PutResult
    from obstore._sign import SignCapableStore
    from obstore.store import ObjectStore as Client
    from obstore.store import RetryConfig

_RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
"""Short: a store is only a copy, and a run goes on without it."""

_HURRIED: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=5)}

_PAGE = 1000
_SIGNED_FOR = timedelta(days=1)
"""How long the service may read an upload: far longer than a task takes."""
_READ_ANEW = "Run again once it is as it shall be: what it is by then is a take of its own."
_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, for another service than Amazon's, "
    "AWS_ENDPOINT_URL (with AWS_ALLOW_HTTP=true if that begins with http://)",
    "gs": "GOOGLE_SERVICE_ACCOUNT (the path of a key file)",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_NOISE = re.compile(r"\?\S*| in [0-9.]+[mµn]?s\b(?:, after .*? retry_timeout: \S+)?")
"""The query of a URL, into which Azure puts keys; and what a request took, which hides that two faults are one."""

_LONGEST_CAUSE = 300
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_ENDPOINT = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[!-~]*)?")


@contextmanager
def object_border(url: str) -> Iterator[None]:
    """Turn what obstore raises in the body into `DiskUnusable` that names the place, the cause and the repair.

    obstore has a class for few causes: most, also a wrong name of a bucket while listing, are `GenericError`.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DiskUnusable(
            f"{url}: there is no such bucket or container",
            hint="Correct its name, or make the bucket, then run again.",
        ) from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise DiskUnusable(
            f"{url}: the storage refuses these keys",
            hint="Give them the rights to list, read, write and remove there, or set others: "
            f"{_VARIABLES[_scheme(url)]}.",
        ) from error
    except (BaseError, OSError, ValueError) as error:
        raise DiskUnusable(f"{url}: {_cause(error)}", hint=_settings_hint(url)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's, which no module exports
            raise
        raise DiskUnusable(f"{url}: obstore broke off: {_cause(error)}", hint=_settings_hint(url)) from error


def _client(place: str, url: str, *, option: str, retries: RetryConfig = _RETRIES) -> Client:
    """Open a place; `url` is what a person wrote after an option."""
    for name in _ENDPOINTS if _scheme(url) == "s3" else ():
        if _ENDPOINT.fullmatch(os.environ.get(name, "https://s3.amazonaws.com")) is None:
            raise UsageError(
                f"{option} {url}: the variable {name} holds no address.",
                hint="Write https://HOST or https://HOST:PORT there, without keys; or unset it, for Amazon's own.",
            )
    try:
        return from_url(place, retry_config=retries)
    except (BaseError, OSError, ValueError) as error:
        raise UsageError(f"{option} {url}: {_cause(error)}.", hint=_settings_hint(url)) from error


class ObjectUploads:
    """Object storage of the user's, from which the service reads files: `<url>/<sha256><ending>`.

    Args:
        url: As of an `ObjectStore`.

    Raises:
        UsageError: Something in the environment is missing or wrong. Nothing is asked of the storage yet.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = _client(url, url, option="--uploads")

    async def address(self, file: InputFile) -> str:
        """Put a file there, unless it is there, and give a signed address of it that lasts for a day.

        Raises:
            DiskUnusable: The file cannot be read or is another by now, or the storage cannot be used.
        """
        return await asyncio.to_thread(self._address, file)

    def _address(self, file: InputFile) -> str:
        key = f"{file.sha256}{file.path.suffix.lower()}"
        with disk_border(file.path):
            data = file.path.read_bytes()
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise DiskUnusable(f"{file.path} was changed while this run was under way.", hint=_READ_ANEW)
        with object_border(self._url):
            if _size(self._client, key) != len(data):
                obstore.put(self._client, key, data)
            return str(obstore.sign(cast("SignCapableStore", self._client), "GET", key, _SIGNED_FOR))


Tag = tuple[str | None, str | None]
"""What tells one content of an object from another: its e-tag and, where the storage counts them, its version."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """What an object says, and by which tag it is replaced; None where there is no object."""

    data: bytes = b""
    tag: Tag | None = None


class ObjectDocuments:
    """Small objects that only who has seen their latest content may replace, what machines agree by: `<url>/<name>`.

    Every call blocks, and raises `DiskUnusable` where nobody answers as expected: then a write may have been done all
    the same, or be done later.

    Args:
        url: As of an `ObjectStore`.
        hurried: Gives up after seconds where a fault does not pass: the caller tries again.

    Raises:
        UsageError: Something in the environment is missing or wrong. Nothing is asked of the storage yet.
    """

    def __init__(self, url: str, *, hurried: bool = False) -> None:
        self.location = url.rstrip("/")
        self._client = _client(url, url, option="--store", retries=_HURRIED if hurried else _RETRIES)

    def read(self, name: str) -> Document:
        """Read an object."""
        with object_border(self.location):
            try:
                found = obstore.get(self._client, name)
            except FileNotFoundError:
                return Document()
            if found.meta["size"] > MOST_BYTES:
                raise ValueError(f"{name} is larger than {MOST_BYTES >> 20} MiB")
            return Document(data=bytes(found.bytes()), tag=(found.meta["e_tag"], found.meta["version"]))

    def write(self, name: str, data: bytes, *, after: Tag | None) -> Tag | None:
        """Replace the content that has the tag `after`, or make the object where that is None.

        Gives the tag of what is there now, or None where somebody else was first.
        """
        mode: PutMode = "create"
        if after is not None:
            names = zip(("e_tag", "version"), after, strict=True)
            mode = cast("PutMode", {name: value for name, value in names if value is not None})
        with object_border(self.location):
            try:
                done: PutResult = obstore.put(self._client, name, data, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return None
            return done["e_tag"], done["version"]


class ObjectStore:
    """A store in object storage: `<url>/<namespace>/sha256/ab/abcdef...`.

    Args:
        url: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`; the prefix may be left out.
        namespace: Whose files these are.
        probe: Is told of every effect.

    Raises:
        UsageError: Something in the environment is missing or wrong. Nothing is asked of the storage yet.
    """

    def __init__(self, url: str, *, namespace: Namespace, probe: Probe = no_probe) -> None:
        self.location = url.rstrip("/")
        self._place = f"{self.location}/{namespace}"
        self._probe = probe
        self._found_bucket = False
        self._client = _client(self._place, url, option="--store")

    def __repr__(self) -> str:
        return f"ObjectStore({self._place!r})"

    def has(self, sha256: str) -> bool:
        """See `Store.has`."""
        key = key_of(sha256)
        with object_border(self._place):
            if _size(self._client, key) is not None:
                return True
            self._insist_on_bucket()
            return False

    def put(self, path: Path, sha256: str) -> None:
        """See `Store.put`. Sounds are small: one request holds the whole, and a crash leaves no parts behind."""
        key = key_of(sha256)
        with disk_border(path):
            data = path.read_bytes()
        with object_border(self._place):
            if _size(self._client, key) == len(data):
                return
            self._probe("store write")
            obstore.put(self._client, key, data, use_multipart=False)

    def fetch(self, sha256: str, dest: Path) -> bool:
        """See `Store.fetch`. A damaged object is set aside under `damaged/`."""
        key = key_of(sha256)
        with object_border(self._place):
            try:
                found = obstore.get(self._client, key)
            except FileNotFoundError:
                self._insist_on_bucket()
                return False
        self._probe("store fetch")
        if receive(self._chunks(found), dest, sha256):
            return True
        with suppress(BaseError, OSError):  # without the right to write it stays, and is refused again
            obstore.rename(self._client, key, f"damaged/{sha256}")
        return False

    def entries(self) -> Iterator[StoreEntry]:
        """See `Store.entries`."""
        with object_border(self._place):
            for page in obstore.list(self._client, "sha256", chunk_size=_PAGE):
                for found in page:
                    if is_key(found["path"]):
                        sha256 = found["path"].rpartition("/")[2]
                        yield StoreEntry(sha256=sha256, bytes=found["size"], put_at=found["last_modified"].timestamp())

    def remove(self, sha256s: Iterable[str]) -> None:
        """See `Store.remove`."""
        keys = [key_of(sha256) for sha256 in sha256s]
        with object_border(self._place):
            self._delete(keys)

    def sweep(self, before: float) -> int:
        """See `Store.sweep`."""
        with object_border(self._place):
            damaged = obstore.list(self._client, "damaged").collect()
            old = [found["path"] for found in damaged if found["last_modified"].timestamp() <= before]
            self._delete(old)
            return len(old)

    def _delete(self, keys: Sequence[str]) -> None:
        """Delete many at once. S3 is content when one is gone already; the others stop there."""
        if not keys:
            return
        try:
            obstore.delete(self._client, keys)
        except FileNotFoundError:
            for key in keys:
                with suppress(FileNotFoundError):
                    obstore.delete(self._client, key)

    def _insist_on_bucket(self) -> None:
        """Tell, once, a file that is not there from a bucket that is not: the answer to a read is the same."""
        if not self._found_bucket:
            next(iter(obstore.list(self._client, "sha256", chunk_size=1)), None)
            self._found_bucket = True

    def _chunks(self, found: GetResult) -> Iterator[bytes]:
        with object_border(self._place):
            yield from found.stream(min_chunk_size=CHUNK)


def _size(client: Client, key: str) -> int | None:
    try:
        return obstore.head(client, key)["size"]
    except FileNotFoundError:
        return None


def _cause(error: BaseException) -> str:
    """Take the line that obstore means for people, less the noise."""
    return " ".join(_NOISE.sub("", str(error).partition("\n")[0]).split())[:_LONGEST_CAUSE]


def _settings_hint(url: str) -> str:
    return f"Check the address, the network and, in the environment, {_VARIABLES[_scheme(url)]}; then run again."


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()
