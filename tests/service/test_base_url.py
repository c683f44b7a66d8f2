"""Where the token may go."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_batch.errors import UsageError
from kling_batch.service.client import DEFAULT_BASE_URL, api_client, checked_base_url


@pytest.mark.parametrize(
    "url",
    [
        DEFAULT_BASE_URL,
        "https://api-beijing.klingai.com",
        "https://proxy.example/kling/v2",
        "https://10.0.0.1:8443",
        "HTTPS://API.example",
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://localhost:1",
        "http://LOCALHOST",
        "http://sandbox.localhost:8080",
        "http://[::1]:8080",
    ],
)
def test_https_goes_anywhere_and_http_stays_here(url: str) -> None:
    """On this machine nobody listens in."""
    assert checked_base_url(url) == url


@pytest.mark.parametrize("url", ["https://h.example/", "https://h.example//"])
def test_a_slash_at_the_end_is_no_part_of_it(url: str) -> None:
    """The same service with a slash is the same service: its fingerprint must not change."""
    assert checked_base_url(url) == "https://h.example"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://api.example", "api.example unencrypted"),
        ("http://10.0.0.1", "unencrypted"),
        ("http://0.0.0.0:80", "unencrypted"),
        ("http://localhost.example", "unencrypted"),
        ("http://127.0.0.1.example", "unencrypted"),
        ("http://mylocalhost", "unencrypted"),
        ("ftp://h.example", "not an http or https URL"),
        ("api.example", "not an http or https URL"),
        ("https://", "not an http or https URL"),
        ("https:///path", "not an http or https URL"),
        ("", "no place in an address"),
        ("https://user@h.example", "more than"),
        ("https://user:hush@h.example", "more than"),
        ("https://@h.example", "more than"),
        ("https://h.example?a=1", "more than"),
        ("https://h.example?", "more than"),
        ("https://h.example#", "more than"),
        ("https://h.example:99999", "not a URL"),
        ("https://h.example:port", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://h.example ", "no place in an address"),
        ("https://h.example\n", "no place in an address"),
        ("https://h. example", "no place in an address"),
        ("https://h\u2025example", "no place in an address"),
        ("https://good.example\\@evil.example", "no place in an address"),
        ("https://h%41.example", "not an http or https URL"),
    ],
)
def test_any_other_address_is_refused_with_the_repair(url: str, why: str) -> None:
    """Before a token is signed for it; a password in it is not repeated."""
    with pytest.raises(UsageError, match=why) as caught:
        checked_base_url(url)
    assert "KLING_BASE_URL" in caught.value.message
    assert DEFAULT_BASE_URL in str(caught.value.hint)
    assert "hush" not in str(caught.value)


def _client_is_made(url: str) -> bool:
    try:
        client = api_client(checked_base_url(url))
    except UsageError:
        return False
    asyncio.run(client.aclose())
    return True


ADDRESSES = st.lists(
    st.sampled_from(["https://", "http://", "a", "h.example", "..", "-", "[", "]", "::1", "v1.x", "%", "%zz",
                     "999.1.1.1", ":", "8080", "/", "//", "@", "?", "#", "\\", "\u2025", "xn--", "ä", " ", "\n"]),
    max_size=6,
).map("".join)  # fmt: skip


@given(ADDRESSES)
@settings(max_examples=150)
def test_whatever_is_set_there_is_an_address_or_explained(url: str) -> None:
    """Never a traceback, which would show what is set."""
    assert _client_is_made(url) in {True, False}


@pytest.mark.parametrize("proxy", ["what://user:hush@h.example", "http://user:hush@h:x"])
def test_a_proxy_that_is_none_is_explained_without_its_password(proxy: str) -> None:
    """Proxies come from the environment, with passwords in them."""
    os.environ["HTTPS_PROXY"] = proxy
    with pytest.raises(UsageError) as caught:
        api_client(DEFAULT_BASE_URL)
    assert "HTTPS_PROXY" in str(caught.value.hint)
    assert "hush" not in caught.value.message
