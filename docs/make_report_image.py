"""Photograph the demo's report: its first screen, and its graph of nodes with one of them chosen.

    python docs/make_report_image.py out/demo

Needs Playwright and a Chromium (or EXPLGRAPH_CHROMIUM, the path of one).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

OUT = Path(__file__).parent / "images"
SIZE = (1400, 900)
GROUP = "tail"


def main(demo: Path) -> None:
    """Write what is on the screen as the page opens, and after a group's best node is chosen."""
    browser = os.environ.get("EXPLGRAPH_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        page.goto((demo / "report.html").resolve().as_uri())
        expect(page.locator("#status")).not_to_be_empty()
        _photograph(page, "report.jpg")
        row = page.locator(".row").filter(has=page.get_by_role("button", name=GROUP, exact=True))
        node = row.locator("[data-node]").first.get_attribute("data-node")
        page.locator(f'#graph-canvas [data-node="{node}"]').click()
        page.locator("#hops").select_option("all")
        page.locator("section.graph").evaluate("part => part.scrollIntoView()")
        _photograph(page, "report_nodes.jpg")
        chromium.close()


def _photograph(page: Page, name: str) -> None:
    page.mouse.move(1, 1)
    page.wait_for_timeout(500)  # pictures are decoded in their own time
    page.screenshot(path=OUT / name, type="jpeg", quality=85)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
