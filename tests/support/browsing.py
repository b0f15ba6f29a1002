"""A real browser for tests of pages."""

import os
import shutil
from contextlib import contextmanager

import pytest

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1400, "height": 900}}


def chromium_path():
    known = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = [path for name in known if (path := shutil.which(name))]
    return os.environ.get("EXPLGRAPH_CHROMIUM") or next(iter(found), None)


@contextmanager
def chromium(playwright):
    """Start Debian's Chromium, or skip."""
    path = chromium_path()
    if path is None:
        pytest.skip("Chromium is not installed: name it in EXPLGRAPH_CHROMIUM")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
