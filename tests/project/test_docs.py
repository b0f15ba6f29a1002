"""The documentation site: it builds without a warning, is whole, and loads nothing from outside."""

import html
import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

import explgraph as eg

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}

pytest.importorskip("mkdocs")
griffe = pytest.importorskip("griffe")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning of MkDocs, mkdocstrings or Griffe fails it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Not a warning to mkdocstrings, but the reference's signatures do not fit the page then.
    assert "Formatting signatures" not in done.stderr
    return folder


class Page(HTMLParser):
    """What a page loads, its anchors, its pictures without a text, and how many titles it has."""

    def __init__(self, path):
        super().__init__()
        self.loaded, self.anchors, self.untold, self.titles = [], set(), [], 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors.add(given.get("id"))
        self.titles += tag == "h1"
        if LOADED.get(tag) in given:
            self.loaded.append(given[LOADED[tag]])
        if tag == "img" and not given.get("alt"):
            self.untold.append(given["src"])


def pages(site):
    found = sorted(site.rglob("*.html"))
    assert len(found) > 15
    return found


def test_site__every_page_of_the_folder_is_in_it(site):
    written = {p.relative_to(DOCS).with_suffix(".html") for p in DOCS.rglob("*.md")}
    assert written <= {p.relative_to(site) for p in pages(site)}


def test_site__loads_only_what_it_brings(site):
    for path in pages(site):
        for address in Page(path).loaded:
            assert not re.match(r"(https?:)?//", address), f"{path.name} loads {address}"
            if not address.startswith("data:") and path.name != "404.html":
                target = (path.parent / address.split("?")[0].split("#")[0]).resolve()
                assert target.is_file(), f"{path.name} misses {address}"


def test_site__styles_load_nothing(site):
    styles = list(site.rglob("*.css"))
    assert styles
    for path in styles:
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", path.read_text("utf-8"))


def test_site__pictures_have_a_text(site):
    assert not {path.name: Page(path).untold for path in pages(site) if Page(path).untold}


def test_site__every_page_has_one_title(site):
    """A line that begins with an issue's number would be a second one."""
    assert not {path.name: Page(path).titles for path in pages(site) if Page(path).titles != 1}


def test_site__scripts_that_make_it_are_left_out(site):
    assert {p.relative_to(site).parent.name for p in site.rglob("*.py")} == {"examples"}


def test_examples__are_pages_of_text_and_code(site):
    page = (site / "examples" / "own_network.html").read_text(encoding="utf-8")
    assert re.search(r"<h1[^>]*>Your own network", page)
    assert re.search(r"<h2[^>]*>The transform", page)
    assert "# %%" not in page
    code = "".join(re.findall(r"<code>(.*?)</code>", page, flags=re.DOTALL))
    assert "write_report" in re.sub(r"<[^>]+>", "", code)
    assert (site / "examples" / "own_network.py").is_file()


def test_examples__are_notebooks_too(site):
    notebook = json.loads((site / "examples" / "own_network.ipynb").read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 5
    for cell in code:
        compile(cell, "cell", "exec")
    first = notebook["cells"][0]
    assert (first["cell_type"], first["source"][0]) == ("markdown", "# Your own network\n")


def test_reference__has_every_public_name_once(site):
    entries = [
        name
        for page in (DOCS / "api").glob("*.md")
        for name in re.findall(r"^::: explgraph\.(\w+)$", page.read_text("utf-8"), re.MULTILINE)
    ]
    assert sorted(entries) == sorted(eg.__all__)
    anchors = set().union(*(Page(path).anchors for path in (site / "api").glob("*.html")))
    assert {f"explgraph.{name}" for name in eg.__all__} <= anchors


def signatures(page):
    """The texts of the signatures of a page of the reference, by the name that they begin with."""
    found = re.findall(
        r'<div class="doc-signature[^"]*">(.*?)</div>', page.read_text("utf-8"), flags=re.DOTALL
    )
    texts = [html.unescape(re.sub(r"<[^>]+>", "", each)).strip() for each in found]
    return {text.split("(")[0].split(":")[0].strip(): text for text in texts}


def test_reference__signatures_are_whole(site):
    """A line for each parameter where one for all is too long to be seen."""
    texts = {}
    for page in (site / "api").glob("*.html"):
        texts |= signatures(page)
    assert len(texts) > 100
    for text in texts.values():
        assert max(map(len, text.splitlines())) <= 88, text
    for name in ("mine", "extract", "fit_parts"):
        called = inspect.signature(getattr(eg, name))
        assert all(f"{parameter}: " in texts[name] for parameter in called.parameters), texts[name]
        assert texts[name].endswith(f"-> {called.return_annotation}")


def test_images__of_the_pages_are_small_pictures():
    images = sorted((DOCS / "images" / "pages").iterdir())
    assert images
    for path in images:
        assert path.stat().st_size < 300_000, path.name
        Image.open(path).verify()
    assert sum(path.stat().st_size for path in images) < 2_500_000


# -- how docstrings are read ---------------------------------------------------------------------

MODULE = '''
def cut(image: object, top: int, left: float = 3.0) -> bytes:
    """Cut a piece out; see `mine`.

    Parameters
    ----------
    image
        A picture.
    top, left
        Where, pixels, or as `Matches` say. ``mine`` is code.

    Returns
    -------
    The piece, which has several
    lines of description:

    - and a list
      of things.

    Examples
    --------
    >>> cut("`mine`")
    """
'''


@pytest.fixture
def docstring(tmp_path):
    spec = importlib.util.spec_from_file_location("docstring_style", DOCS / "docstring_style.py")
    style = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(style)
    (tmp_path / "scissors.py").write_text(MODULE)
    extensions = griffe.load_extensions(style.DocstringStyle)
    module = griffe.load("scissors", search_paths=[tmp_path], extensions=extensions)
    return module["cut"].docstring.parse("numpy")


def section(docstring, kind):
    return next(part.value for part in docstring if part.kind.value == kind)


def test_docstrings__names_that_share_a_description_keep_their_own_types(docstring):
    image, top, left = section(docstring, "parameters")
    assert [(p.name, str(p.annotation)) for p in (image, top, left)] == [
        ("image", "object"),
        ("top", "int"),
        ("left", "float"),
    ]
    assert top.description == left.description
    assert left.default == "3.0"
    assert image.description == "A picture."


def test_docstrings__what_is_returned_is_described_and_has_the_signature_s_type(docstring):
    (returned,) = section(docstring, "returns")
    assert str(returned.annotation) == "bytes"
    assert returned.description.startswith("The piece, which has several\nlines of")
    assert "- and a list\n  of things." in returned.description


def test_docstrings__public_names_become_links_and_code_stays_code(docstring):
    assert "see [`mine`][explgraph.mine]" in section(docstring, "text")
    left = section(docstring, "parameters")[2]
    assert "[`Matches`][explgraph.Matches]" in left.description
    assert "``mine`` is code" in left.description
    assert "[" not in section(docstring, "examples")[0][1]


# -- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    """Chromium, where it and Playwright are installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = os.environ.get("EXPLGRAPH_CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if path is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """A window of its own, of some size; it is closed at the end."""
    pages = []

    def opened(width, height):
        pages.append(browser.new_page(viewport={"width": width, "height": height}))
        return pages[-1]

    yield opened
    for page in pages:
        page.close()


@pytest.mark.parametrize("width", [1300, 390])
def test_browser__search_works_in_a_folder_without_a_server(site, open_page, width):
    page = open_page(width, 900)
    fetched, errors = [], []
    page.on("request", lambda request: fetched.append(request.url))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((site / "faq.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("mirror alignment")
    first = page.locator(".md-search-result__link").first
    first.wait_for()
    assert "method.html" in first.get_attribute("href")
    assert all(url.startswith(("file:", "data:")) for url in fetched), fetched
    assert not errors


@pytest.mark.parametrize("name", ["index", "get-started", "faq", "quality", "api/look"])
def test_browser__pages_fit_a_phone(site, open_page, name):
    page = open_page(390, 844)
    page.goto((site / f"{name}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
