"""What a person may write after `--store`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kling_batch.errors import UsageError
from kling_batch.records.store_at import store_at


@pytest.mark.parametrize(
    ("location", "opened"),
    [
        ("cache", f"FolderStore('{Path('cache/live')}')"),
        ("/var/my sounds", "FolderStore('/var/my sounds/live')"),
        ("./s3:sounds", "FolderStore('s3:sounds/live')"),
        ("C:cache", "FolderStore('C:cache/live')"),
        ("file:///var/my%20sounds", "FolderStore('/var/my sounds/live')"),
        ("file://localhost/var/sounds", "FolderStore('/var/sounds/live')"),
        ("s3://sounds", "ObjectStore('s3://sounds/live')"),
        ("s3://sounds/", "ObjectStore('s3://sounds/live')"),
        ("s3://sounds/game/one/", "ObjectStore('s3://sounds/game/one/live')"),
        ("gs://sounds/game", "ObjectStore('gs://sounds/game/live')"),
        ("az://sounds/game", "ObjectStore('az://sounds/game/live')"),
    ],
)
def test_a_store_is_a_folder_or_a_url(location: str, opened: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening one asks nobody anything, and makes nothing."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "ada")
    assert repr(store_at(location, namespace="live")) == opened


@pytest.mark.parametrize(
    ("location", "said", "repair"),
    [
        ("s3:sounds", "names no bucket", "s3://bucket/prefix"),
        ("s3:/sounds", "names no bucket", "s3://bucket/prefix"),
        ("s3:///sounds", "names no bucket", "s3://bucket/prefix"),
        ("s3://sounds?x=1", "more than a bucket and a prefix", "s3://bucket/prefix"),
        ("s3://sounds#x", "more than a bucket and a prefix", "s3://bucket/prefix"),
        ("http://example.test/sounds", "http: is no kind of store", "az://container/prefix"),
        ("my-store:2", "my-store: is no kind of store", "write ./my-store:2"),
        ("file://sounds/x", "names no folder", "file:///folder"),
        ("file:sounds", "names no folder", "file:///folder"),
        ("file:///sounds#1", "names no folder", "plain path"),
    ],
)
def test_what_is_no_store_is_told_with_what_is(location: str, said: str, repair: str) -> None:
    """A typing mistake makes no folder of a strange name, in which nobody finds the sounds again."""
    with pytest.raises(UsageError) as caught:
        store_at(location, namespace="live")
    assert f"--store {location}: " in caught.value.message
    assert said in caught.value.message
    assert repair in str(caught.value.hint)


def test_keys_in_a_url_are_refused_and_not_repeated() -> None:
    """They would stand in the shell's history and in logs."""
    with pytest.raises(UsageError, match=r"s3://\.\.\.@sounds: keys do not belong into a URL") as caught:
        store_at("s3://ada:lovelace@sounds/game", namespace="live")
    assert "lovelace" not in caught.value.message + str(caught.value.hint)
    assert "environment" in str(caught.value.hint)
    with pytest.raises(UsageError, match="malformed") as caught:
        store_at("s3://ada:lovelace@[sounds", namespace="live")
    assert "lovelace" not in caught.value.message + str(caught.value.hint)


def test_a_missing_extra_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Object storage is an extra; folders need none."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "kling_batch.records.object_store", raising=False)
    with pytest.raises(UsageError, match="needs the extra `s3`") as caught:
        store_at("s3://sounds", namespace="live")
    assert "pip install 'kling-batch[s3]'" in str(caught.value.hint)
    assert store_at("sounds", namespace="live")
