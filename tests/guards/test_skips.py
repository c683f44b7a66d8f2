"""Where CI is set, nothing is skipped in silence."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

Suite = Callable[..., "subprocess.CompletedProcess[str]"]

PASSES = "def test_passes():\n    pass\n"
SKIPS = "import pytest\n\ndef test_skips():\n    pytest.skip('no chromium')\n" + PASSES
SKIPS_WHOLE = "import pytest\n\npytest.importorskip('no_such_module')\n" + PASSES
ABSENT = "import pytest\n\ndef test_skips():\n    pytest.skip('data absent: captions')\n" + PASSES
FAILS_LATER = "import pytest\n\n@pytest.mark.xfail\ndef test_later():\n    assert False\n"


@pytest.mark.parametrize("tests", [SKIPS, SKIPS_WHOLE], ids=["a test", "a file"])
@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_skip_fails_the_session_in_ci(suite: Suite, tests: str, options: tuple[str, ...]) -> None:
    """A part that is missing there is a mistake, and the end of the output says which."""
    told = suite(tests, *options, environment={"CI": "true"})
    assert told.returncode != 0
    assert "skipped, where nothing may be" in told.stdout
    assert "Install the missing part" in told.stdout


@pytest.mark.parametrize("tests", [PASSES, ABSENT, FAILS_LATER + PASSES], ids=["none", "data absent", "xfail"])
def test_what_may_be_skipped_does_not_fail_it(suite: Suite, tests: str) -> None:
    """Data that is too large to ship may be absent; an expected failure is no skip."""
    assert suite(tests, environment={"CI": "true"}).returncode == 0


@pytest.mark.parametrize("value", ["", "false", "0"])
def test_outside_ci_a_skip_is_a_skip(suite: Suite, value: str) -> None:
    """On a machine without chromium one can still work."""
    assert suite(SKIPS, environment={"CI": value}).returncode == 0


def test_ci_can_be_played_by_an_option(suite: Suite) -> None:
    """`--no-skips` does what CI does."""
    assert suite(SKIPS, "--no-skips").returncode == 1
