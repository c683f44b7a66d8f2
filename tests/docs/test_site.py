"""The documentation as a site: it builds without a warning, leads to every page, and needs no network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MISTAKES = {
    "a page that the navigation leaves out": ("forgotten.md", "# Forgotten\n"),
    "a link to no page": ("index.md", "[gone](gone.md)\n"),
    "a link to no heading": ("index.md", "[gone](costs.md#gone)\n"),
    "a link out of the folder": ("index.md", "[README](../README.md)\n"),
}


def _build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a folder. Without `--quiet`: what that does not log, `--strict` does not count."""
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def site(checkout: Path, tmp_path: Path) -> Path:
    """The site, built."""
    built = _build(checkout, tmp_path / "site")
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return tmp_path / "site"


def test_the_site_builds_without_warnings_and_leads_to_every_page(site: Path, checkout: Path) -> None:
    """Each page is built, and the navigation of the first one links to it."""
    start = (site / "index.html").read_text("utf-8")
    menu = set(re.findall(r'<a href="([a-z-]+)/" class="[^"]*dropdown-item', start))
    assert menu == {path.stem for path in (checkout / "docs").glob("*.md")} - {"index"}
    assert all((site / name / "index.html").is_file() for name in menu)


@pytest.mark.parametrize(("name", "text"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_ends_the_build(checkout: Path, tmp_path: Path, name: str, text: str) -> None:
    """A build that only warned would let the mistake through."""
    shutil.copytree(checkout / "docs", tmp_path / "docs")
    shutil.copy2(checkout / "mkdocs.yml", tmp_path)
    with (tmp_path / "docs" / name).open("a", encoding="utf-8") as page:
        page.write(f"\n{text}")
    built = _build(tmp_path, tmp_path / "site")
    assert built.returncode == 1
    assert "Aborted with 1 warnings in strict mode" in built.stdout + built.stderr


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    """Scripts, styles, pictures and fonts all come with it."""
    loads = r'<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)="(?:https?:)?//[^"]*"|url\(["\']?(?:https?:)?//[^)]*\)'
    files = [path for ending in ("html", "css") for path in site.rglob(f"*.{ending}")]
    assert files
    assert [found for path in files for found in re.findall(loads, path.read_text("utf-8"))] == []
