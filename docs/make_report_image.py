"""Photograph the demo's report as a reader sees it once a node is chosen.

    python docs/make_report_image.py out/demo

Needs Playwright and a Chromium (or EXPLGRAPH_CHROMIUM, the path of one).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

OUT = Path(__file__).parent / "images" / "report.jpg"
SIZE = (1280, 1180)
NODE = "head"


def main(demo: Path) -> None:
    """Choose the best node of a part in the list, and write what is on the screen."""
    browser = os.environ.get("EXPLGRAPH_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        page.goto((demo / "report.html").resolve().as_uri())
        nodes = page.locator("#node-list")
        expect(nodes.locator("option").first).to_be_attached()
        nodes.select_option(index=_first(nodes.locator("option").all_inner_texts()))
        expect(page.locator("#panel-title")).to_contain_text(NODE)
        page.wait_for_timeout(1000)  # the canvas draws in its own time
        page.screenshot(path=OUT, type="jpeg", quality=85)
        chromium.close()


def _first(texts: list[str]) -> int:
    return next(i for i, text in enumerate(texts) if text.startswith(NODE))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
