"""No test sees, or touches, anything of the person who runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Suite = Callable[..., "subprocess.CompletedProcess[str]"]

HOMES = ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"]


def test_the_home_folder_is_an_empty_one_in_the_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever asks for a home gets one of the test's own."""
    assert Path.home().is_relative_to(tmp_path_factory.getbasetemp())
    assert not list(Path.home().iterdir())
    assert all(Path(os.environ[name]).is_relative_to(Path.home()) for name in HOMES)


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_has_a_home_of_its_own(turn: int) -> None:
    """What one test leaves there, the next does not find."""
    mark = Path.home() / "mark"
    assert not mark.exists(), turn
    mark.touch()


@pytest.mark.parametrize("turn", [1, 2])
def test_the_environment_is_put_back(turn: int) -> None:
    """What one test sets, even without monkeypatch, the next does not see."""
    assert "KLING_API_KEY" not in os.environ, turn
    os.environ["KLING_API_KEY"] = "left behind"


FOREIGN = """
import os
import pytest

@pytest.fixture(scope="session")
def early():
    return dict(os.environ)

def test_nothing_foreign(early):
    for environment in (early, os.environ):
        assert not [name for name in environment if name.startswith(("KLING_", "GITHUB_"))]
        assert not {"CI", "NO_COLOR", "https_proxy"} & set(environment)
        assert environment["HOME"] != "/home/of/someone"
"""


def test_nothing_of_the_outer_environment_comes_in(suite: Suite) -> None:
    """Keys, proxies, colours and the CI's own variables are gone, for session fixtures too."""
    outer = {
        "KLING_SECRET_KEY": "x", "GITHUB_STEP_SUMMARY": "x", "NO_COLOR": "1", "https_proxy": "x",
        "HOME": "/home/of/someone",
    }  # fmt: skip
    assert suite(FOREIGN, environment=outer).returncode == 0


LEAVES = """
import os

def test_leaves(tmp_path):
    os.chdir(tmp_path)

def test_is_back():
    assert os.path.exists("test_it.py")
"""


def test_a_test_that_leaves_the_working_folder_fails(suite: Suite) -> None:
    """It is told, and the next test stands where it should."""
    told = suite(LEAVES)
    assert "left the working folder" in told.stdout
    assert "2 passed, 1 error" in told.stdout


def test_a_program_that_a_test_starts_is_guarded_too() -> None:
    """It inherits the empty home and has no keys: it could not spend anything."""
    code = "import os, pathlib; print(pathlib.Path.home(), [n for n in os.environ if n.startswith('KLING')])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == f"{Path.home()} []"


WARNS = """
import warnings

def test_warns():
    warnings.warn("careless")
"""


def test_a_warning_is_an_error(suite: Suite, request: pytest.FixtureRequest) -> None:
    """The project's own settings say so."""
    settings = request.config.rootpath / "pyproject.toml"
    told = suite(WARNS, "-c", str(settings), "--rootdir", ".")
    assert "1 failed" in told.stdout
