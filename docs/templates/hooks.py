"""What the site needs beside MkDocs itself: blocks without words for tests, and an index that works from a disk."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig


def on_page_markdown(markdown: str, **_: object) -> str:
    """Leave out the words by which tests know what a block needs, as in `sh keys`: MkDocs knows blocks of one word."""
    return re.sub(r"^(```\w+) .*$", r"\1", markdown, flags=re.MULTILINE)


def on_post_build(config: MkDocsConfig) -> None:
    """Make the search index a script: a page that is opened from a disk may load scripts, and may not read files."""
    index = Path(config.site_dir, "search/search_index.json")
    index.with_name("index.js").write_text(f"const searchIndex = {index.read_text('utf-8')};\n", encoding="utf-8")
    index.unlink()
