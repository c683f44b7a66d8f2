"""What a store in object storage promises when the storage, its keys or the way to it fail."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from obstore import exceptions

from kling_batch.errors import DiskUnusable, UsageError
from kling_batch.records.object_store import ObjectStore, object_border
from kling_batch.records.store import Store, StoreEntry, key_of

FAILURES = [
    kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, exceptions.BaseError)
]
CALLS = ["has", "put", "fetch", "entries", "remove", "sweep"]
LISTING = """<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>live/sha256/aa/{name}</Key>
<LastModified>1970-01-02T00:00:00.000Z</LastModified><Size>7</Size></Contents></ListBucketResult>"""


def use(store: Store, call: str, path: Path, sha256: str) -> None:
    """Make one of the calls that a store knows."""
    match call:
        case "put":
            store.put(path, sha256)
        case "fetch":
            store.fetch(sha256, path.with_name("back.wav"))
        case "entries":
            list(store.entries())
        case "remove":
            store.remove([sha256])
        case "sweep":
            store.sweep(9e9)
        case _:
            store.has(sha256)


@pytest.mark.parametrize("failure", [*FAILURES, FileNotFoundError, ConnectionResetError, ValueError])
def test_whatever_obstore_raises_becomes_ours(failure: type[Exception]) -> None:
    """No exception of the library passes the border, and each comes with a repair."""
    with pytest.raises(DiskUnusable, match=r"^s3://sounds/live: ") as caught, object_border("s3://sounds/live"):
        raise failure("it broke")
    assert "then run again" in str(caught.value.hint) or "AWS_ACCESS_KEY_ID" in str(caught.value.hint)


def test_there_are_failures_to_walk() -> None:
    """The test above would pass with none."""
    assert len(FAILURES) > 5


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("url", "status"), [("s3://sounds", 401), ("S3://sounds", 403)])
def test_refused_keys_are_told(storage: Any, door: Path, door_hash: str, call: str, url: str, status: int) -> None:
    """The message says that it is the keys, or how the storage answered, and which variables hold them."""
    storage.answers["*"] = (status, b"")
    with pytest.raises(DiskUnusable, match=rf"refuses these keys|{status}") as caught:
        use(ObjectStore(url, namespace="live"), call, door, door_hash)
    assert "AWS_SECRET_ACCESS_KEY" in str(caught.value.hint)


@pytest.mark.parametrize("call", [call for call in CALLS if call != "remove"])
def test_a_bucket_that_is_not_there_is_told(cloud: str, door: Path, door_hash: str, call: str) -> None:
    """A mistyped name is no empty store, but for `remove`: nobody removes what was not listed before."""
    assert cloud
    with pytest.raises(DiskUnusable, match=r"no such bucket|404 Not Found"):
        use(ObjectStore("s3://no-such-bucket/x", namespace="live"), call, door, door_hash)


@pytest.mark.parametrize("call", CALLS)
def test_storage_that_cannot_be_reached_is_told(
    cloud: str, door: Path, door_hash: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few tries, with the place and what to look at."""
    assert cloud
    with socket.create_server(("127.0.0.1", 0)) as closed:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
    with pytest.raises(
        DiskUnusable, match=r"^s3://sounds/x/live: .*http://127\S+ - HTTP error: error sending request$"
    ) as caught:
        use(ObjectStore("s3://sounds/x/", namespace="live"), call, door, door_hash)
    assert "Check the address, the network" in str(caught.value.hint)


def test_an_endpoint_without_tls_has_to_be_allowed(
    cloud: str, door: Path, door_hash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys and sounds go over the line in the clear only when somebody asked for it."""
    assert cloud.startswith("http://")
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(DiskUnusable) as caught:
        ObjectStore("s3://sounds", namespace="live").put(door, door_hash)
    assert "AWS_ALLOW_HTTP=true" in str(caught.value.hint)


@pytest.mark.parametrize("endpoint", ["", "127.0.0.1:9000", "http://", "http://ada:key@127.0.0.1:9000", "http://a b"])
def test_an_endpoint_that_is_no_address_is_told_at_once(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also an empty one, as CI makes of a secret that is not set: obstore would panic at it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(
        UsageError, match=r"^--store s3://sounds: the variable AWS_ENDPOINT_URL holds no address"
    ) as caught:
        ObjectStore("s3://sounds", namespace="live")
    assert "https://HOST:PORT" in str(caught.value.hint)


def test_a_panic_of_obstore_is_told(
    cloud: str, door: Path, door_hash: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A key that cannot stand in a request, here with the end of its line, is no bug of ours."""
    assert cloud
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ada\n")
    with pytest.raises(DiskUnusable, match=r"obstore broke off") as caught:
        ObjectStore("s3://sounds", namespace="live").put(door, door_hash)
    assert "AWS_ACCESS_KEY_ID" in str(caught.value.hint)
    assert "panicked" in capfd.readouterr().err


def test_an_answer_that_breaks_off_leaves_no_file(storage: Any, door_hash: str, tmp_path: Path) -> None:
    """Half a file is none, and the fault is told of the storage."""
    storage.answers["*"] = (200, b"creak" * 10)
    storage.cut_short = True
    with pytest.raises(DiskUnusable, match=r"^s3://sounds/live: "):
        ObjectStore("s3://sounds", namespace="live").fetch(door_hash, tmp_path / "back.wav")
    assert not (tmp_path / "back.wav").exists()


def test_a_damaged_object_in_a_store_that_cannot_be_written_is_refused(
    storage: Any, door_hash: str, tmp_path: Path
) -> None:
    """It stays there, and never comes out."""
    storage.answers |= {"GET": (200, b"crack"), "*": (403, b"")}
    assert not ObjectStore("s3://sounds", namespace="live").fetch(door_hash, tmp_path / "back.wav")
    assert [call.split()[0] for call in storage.asked] == ["GET", "PUT"]
    assert not (tmp_path / "back.wav").exists()


def test_a_passing_fault_of_the_storage_is_waited_out(storage: Any, door: Path, door_hash: str) -> None:
    """Putting a file again is harmless, so a 503 is tried again."""
    storage.queue = [(404, b""), (503, b"slow down"), (200, b"")]
    ObjectStore("s3://sounds", namespace="live").put(door, door_hash)
    assert [call.split()[0] for call in storage.asked] == ["HEAD", "PUT", "PUT"]


def test_a_bucket_is_looked_for_once(storage: Any, tmp_path: Path) -> None:
    """Of many files that are not there, only the first costs a second request."""
    storage.answers |= {"GET sounds": (200, LISTING.format(name="a" * 64).encode()), "*": (404, b"")}
    store = ObjectStore("s3://sounds", namespace="live")
    assert not store.has("0" * 64)
    assert not store.fetch("1" * 64, tmp_path / "x")
    assert not store.has("2" * 64)
    assert storage.asked.count("GET /sounds") == 1


@pytest.fixture
def google(storage: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Point Google's variables at the storage."""
    account = {
        "gcs_base_url": storage.url,
        "disable_oauth": True,
        "private_key": "",
        "private_key_id": "",
        "client_email": "",
    }
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(account))
    return storage


def test_what_another_cleaner_removed_first_is_no_error(google: Any) -> None:
    """Google's storage objects to removing what is gone; the others are removed all the same."""
    gone, left = ([f"{number:064x}" for number in numbers] for numbers in (range(30), range(30, 60)))
    google.answers |= {f"DELETE {name}": (204, b"") for name in left} | {"*": (404, b"")}
    ObjectStore("gs://sounds/x", namespace="live").remove(gone + left)
    assert {f"DELETE /sounds/x/live/{key_of(name)}" for name in left} <= set(google.asked)


def test_google_and_azure_are_asked_where_their_variables_say(
    google: Any, door: Path, door_hash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of storage gets its own requests for the same names."""
    google.answers |= {"HEAD": (404, b""), "*": (201, b"")}
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "ada")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "bG92ZWxhY2U=")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", google.url)
    monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")
    for url in ("gs://sounds/x", "az://sounds/x"):
        google.asked.clear()
        ObjectStore(url, namespace="sandbox").put(door, door_hash)
        assert google.asked[-1] == f"PUT /sounds/x/sandbox/sha256/{door_hash[:2]}/{door_hash}"


def test_a_key_in_a_request_is_not_shown(
    storage: Any, door: Path, door_hash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azure's shared access signatures travel in the URL, which messages name."""
    for name, value in {"ACCOUNT_NAME": "ada", "SAS_KEY": "sv=1&sig=SECRET", "ENDPOINT": storage.url}.items():
        monkeypatch.setenv(f"AZURE_STORAGE_{name}", value)
    monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")
    storage.answers["*"] = (418, b"short and stout")
    with pytest.raises(DiskUnusable) as caught:
        ObjectStore("az://sounds", namespace="live").put(door, door_hash)
    assert "418" in caught.value.message
    assert "SECRET" not in caught.value.message + str(caught.value.hint)


@pytest.mark.parametrize("url", ["az://sounds/x"])
def test_what_the_environment_lacks_is_told_at_once(url: str) -> None:
    """A store that cannot even be asked is wrong usage, before anything is sent or spent."""
    with pytest.raises(UsageError, match="Account must be specified") as caught:
        ObjectStore(url, namespace="live")
    assert "AZURE_STORAGE_ACCOUNT_NAME" in str(caught.value.hint)


def test_ages_are_the_storages(storage: Any) -> None:
    """The age of an entry is when the storage says it came."""
    name = "a" * 64
    storage.answers["*"] = (200, LISTING.format(name=name).encode())
    store = ObjectStore("s3://sounds", namespace="live")
    assert list(store.entries()) == [StoreEntry(sha256=name, bytes=7, put_at=86400.0)]
