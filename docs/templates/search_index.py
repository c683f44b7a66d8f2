"""Makes the search index a script: a page that is opened from a disk may load scripts, and may not read files."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig


def on_post_build(config: MkDocsConfig) -> None:
    """Write `search/index.js` in place of what the search plugin wrote."""
    index = Path(config.site_dir, "search/search_index.json")
    index.with_name("index.js").write_text(f"const searchIndex = {index.read_text('utf-8')};\n", encoding="utf-8")
    index.unlink()
