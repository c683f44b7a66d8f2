"""A suite of its own under the project's guards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Suite = Callable[..., "subprocess.CompletedProcess[str]"]
_PLAIN = {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


@pytest.fixture
def suite(tmp_path: Path, request: pytest.FixtureRequest) -> Suite:
    """Run one file of tests in another process, with the guards of this suite, its own settings and xdist alone."""

    def run(
        tests: str, *options: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        shutil.copy(request.config.rootpath / "tests" / "conftest.py", tmp_path)
        (tmp_path / "test_it.py").write_text(tests, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "xdist.plugin", *options]
        return subprocess.run(
            [*command, "test_it.py"],
            cwd=tmp_path,
            env={**os.environ, **_PLAIN, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
