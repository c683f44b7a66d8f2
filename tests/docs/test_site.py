"""The documentation as a site: it builds without a warning, and leads to every page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_site_builds_without_warnings(checkout: Path, tmp_path: Path) -> None:
    """A link that leads nowhere, or a page that the navigation leaves out, ends the build."""
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    pages = {path.stem for path in (checkout / "docs").glob("*.md")} - {"index"}
    assert pages <= {path.name for path in (tmp_path / "site").iterdir()}
    assert (tmp_path / "site" / "index.html").is_file()
