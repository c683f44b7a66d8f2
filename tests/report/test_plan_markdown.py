"""A plan's Markdown, drawn as a page of a pull request or a CI draws it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from kling_batch.cli.plan_text import plan_markdown
from kling_batch.model import TakeKey
from kling_batch.planning.outlook import Outlook
from kling_batch.planning.plan import Action, Plan, Step
from kling_batch.planning.spending import Budget

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STYLE = """<style>
body { font: 16px/1.5 sans-serif; margin: 2em; max-width: 60em; } table { border-collapse: collapse; }
td, th { border: 1px solid #ccc; padding: 0.4em 0.8em; text-align: left; vertical-align: top; }
</style>"""


def test_the_table_shows_words_as_words(
    browser: Browser, hostile: tuple[str, ...], keep_shot: Callable[[Page, str], None]
) -> None:
    """A row a job and what is done, with its cost; whatever a manifest from elsewhere says, nothing of it is run."""
    said = [
        Step(
            key=TakeKey(f"job-{number}", 1), action=Action.GENERATE, reason=f"changed: prompt: {words}", external_id="e"
        )
        for number, words in enumerate(hostile)
    ]
    more = [
        Step(key=TakeKey("door", 1), action=Action.GENERATE, reason="new", external_id="a", units=Decimal("0.25")),
        Step(key=TakeKey("door", 2), action=Action.GENERATE, reason="new", external_id="b", units=Decimal("0.25")),
        Step(key=TakeKey("gone", 1), action=Action.DROP, reason="locked, and no longer asked for", external_id="d"),
    ]
    price = Decimal("0.25")
    outlook = Outlook(list_units=price, units=price, budget=Budget())
    text = plan_markdown("tavern", Plan(steps=(*more, *said)), outlook, sandbox=False)
    render = [sys.executable, "-m", "markdown", "-x", "tables"]
    html = subprocess.run(render, input=text, capture_output=True, text=True, check=True).stdout
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.set_content(STYLE + html)
    rows = [row.locator("td").all_inner_texts() for row in page.locator("tbody tr").all()]
    keep_shot(page, "plan-markdown")
    assert rows[:2] == [
        ["door", "2 to generate", "0.50", "new"],
        ["gone", "1 to drop", "0.00", "locked, and no longer asked for"],
    ]
    assert [row[0] for row in rows[2:]] == [f"job-{number}" for number in range(len(hostile))]
    assert page.evaluate("window.pwned") is None
    assert page.locator("script, img, svg, a").count() == 0
    page.close()
