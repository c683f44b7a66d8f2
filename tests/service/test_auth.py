"""Keys and tokens."""

from __future__ import annotations

import jwt
import pytest

from kling_batch.errors import ExitStatus, UsageError
from kling_batch.service.auth import Keys, Signer, keys_from

SECRET = "the-secret-key-of-at-least-32-bytes"
PAIR = {"KLING_ACCESS_KEY": "ak", "KLING_SECRET_KEY": SECRET}


class Now:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def signer(now: Now) -> Signer:
    return Keys(access_key="ak", secret_key=SECRET).signer(now)


def claims(token: str) -> dict[str, object]:
    """Check a token's signature, and read it."""
    claimed: dict[str, object] = jwt.decode(
        token, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_nbf": False}
    )
    return claimed


def test_a_token_is_what_the_official_sample_makes(signer: Signer) -> None:
    """Half an hour from now, and five seconds back for a clock that is a little fast."""
    token = signer.token()
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    assert claims(token) == {"iss": "ak", "exp": 1_700_001_800, "nbf": 1_699_999_995}


def test_a_token_is_used_again_while_it_lasts(signer: Signer, now: Now) -> None:
    """Signing costs time, and nothing asks for a token a call."""
    first = signer.token()
    now.time += 1800 - 60
    assert signer.token() == first


def test_a_token_is_signed_anew_in_its_last_minute(signer: Signer, now: Now) -> None:
    """It must not expire on its way."""
    first = signer.token()
    now.time += 1800 - 59
    assert claims(signer.token())["exp"] == int(now.time) + 1800
    assert signer.token() != first


def test_signing_again_goes_by_the_services_clock(signer: Signer, now: Now) -> None:
    """From then on: a clock that is an hour slow stays an hour slow."""
    signer.token()
    assert signer.sign_again(now.time + 3600)
    assert claims(signer.token())["exp"] == 1_700_000_000 + 3600 + 1800
    now.time += 1790
    assert claims(signer.token())["exp"] == 1_700_001_790 + 3600 + 1800


def test_signing_again_without_the_services_time_keeps_what_was_learned(signer: Signer, now: Now) -> None:
    """An earlier answer told the difference of the clocks already."""
    signer.sign_again(now.time - 600)
    assert signer.sign_again()
    assert claims(signer.token())["nbf"] == 1_700_000_000 - 600 - 5


def test_a_static_key_is_sent_as_it_is_and_cannot_be_signed_again() -> None:
    """A second try with the same key would be refused the same way."""
    signer = Keys(api_key="static").signer(lambda: 0.0)
    assert signer.token() == "static"
    assert not signer.sign_again(5.0)
    assert signer.token() == "static"


def test_a_short_secret_signs_without_a_warning(now: Now) -> None:
    """Its length is the service's choice."""
    assert jwt.get_unverified_header(Keys(access_key="ak", secret_key="short").signer(now).token())["alg"] == "HS256"


@pytest.mark.parametrize(
    ("environment", "keys"),
    [
        ({"KLING_API_KEY": "static"}, Keys(api_key="static")),
        (PAIR, Keys(access_key="ak", secret_key=SECRET)),
        ({"KLING_API_KEY": "static", **PAIR}, Keys(api_key="static")),
        ({"KLING_API_KEY": "", **PAIR}, Keys(access_key="ak", secret_key=SECRET)),
        ({"KLING_API_KEY": "  ", **PAIR}, Keys(access_key="ak", secret_key=SECRET)),
        ({"KLING_API_KEY": " static\n"}, Keys(api_key="static")),
    ],
)
def test_keys_come_from_the_environment(environment: dict[str, str], keys: Keys) -> None:
    """The static key wins; blanks round a key, which copying leaves, are no part of it."""
    assert keys_from(environment) == keys


@pytest.mark.parametrize(
    ("environment", "repair"),
    [
        ({}, "--sandbox"),
        ({"KLING_API_KEY": " "}, "--sandbox"),
        ({"KLING_ACCESS_KEY": "ak"}, "Set KLING_SECRET_KEY"),
        ({"KLING_SECRET_KEY": SECRET}, "Set KLING_ACCESS_KEY"),
    ],
)
def test_missing_keys_are_asked_for_by_name(environment: dict[str, str], repair: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError) as caught:
        keys_from(environment)
    assert repair in str(caught.value.hint)
    assert caught.value.exit_status is ExitStatus.INVALID


@pytest.mark.parametrize("name", ["KLING_API_KEY", "KLING_ACCESS_KEY", "KLING_SECRET_KEY"])
@pytest.mark.parametrize("char", [" ", "\n", "\r", "\t", "\0", "\x7f", "é", "\u200b", "\ufeff", "\ud800"])
def test_a_key_that_would_break_a_header_is_refused_unseen(name: str, char: str) -> None:
    """The message names the variable and never its value: logs are read by many."""
    with pytest.raises(UsageError, match=name) as caught:
        keys_from({**PAIR, name: f"hush{char}hush"})
    assert "hush" not in f"{caught.value} {caught.value.hint} {caught.value!r}"
    assert "Copy the key anew" in str(caught.value.hint)


@pytest.mark.parametrize(
    "holder",
    [
        Keys(api_key="hush"),
        Keys(access_key="hush", secret_key="hush"),
        Keys(api_key="hush").signer(lambda: 0.0),
        Keys(access_key="hush", secret_key="hush").signer(lambda: 0.0),
    ],
)
def test_a_secret_hides_in_every_repr(holder: object) -> None:
    """A repr ends in logs and tracebacks."""
    assert "hush" not in f"{holder!r} {holder}"


def test_the_fingerprint_names_the_account_and_gives_no_key_away() -> None:
    """It stands in the journal: another key or another address is another account, another secret is not."""
    known = Keys(access_key="ak", secret_key="one").fingerprint("https://a")
    assert known == Keys(access_key="ak", secret_key="two").fingerprint("https://a")
    others = {Keys(access_key="bk").fingerprint("https://a"), Keys(access_key="ak").fingerprint("https://b")}
    assert len({known, *others}) == 3
    assert len(known) == 16
    assert "ak" not in known


def test_what_must_never_be_shown_is_known() -> None:
    """The keys, and every token that was signed with them: the service may repeat an old one."""
    assert Keys(api_key="a").signer(lambda: 0.0).secrets() == ("a",)
    signer = Keys(access_key="b", secret_key="c").signer(iter([0.0, 5000.0]).__next__)
    assert signer.secrets() == ("c", "b")
    tokens = [signer.token(), signer.token()]
    assert tokens[0] != tokens[1]
    assert signer.secrets() == ("c", "b", *tokens)
