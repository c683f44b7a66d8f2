"""What importing the reports costs."""

from __future__ import annotations

import subprocess
import sys

LOOK = "import sys, kling_batch.report; print(*sorted({'pandas', 'jinja2', 'junitparser', 'numpy'} & set(sys.modules)))"


def test_importing_the_reports_loads_nothing_heavy() -> None:
    """Who only wants the summary does not wait for pandas."""
    found = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
