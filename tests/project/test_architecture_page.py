"""The page about the architecture: its picture is current, its paths exist."""

import html
import importlib.util
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script():
    path = ROOT / "docs" / "make_architecture.py"
    spec = importlib.util.spec_from_file_location("make_architecture", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_picture__is_that_of_the_code(script):
    """If it fails: python docs/make_architecture.py."""
    text = script.PICTURE.read_text(encoding="utf-8")
    shown = html.unescape(re.search(r"<desc>(.*?)</desc>", text, re.DOTALL)[1])
    assert shown == script.facts(script.packages())
    assert text == script.drawn(script.packages())


def test_picture__has_a_box_for_each_package_and_a_line_for_each_arrow(script):
    measured = script.packages()
    root = ElementTree.fromstring(script.drawn(measured))
    svg = "{http://www.w3.org/2000/svg}"
    names = [t.text for t in root.iter(f"{svg}text") if t.get("font-weight") == "bold"]
    assert sorted(names) == sorted(name.removeprefix("explgraph.") for name in measured)
    paths = [p for p in root.iter(f"{svg}path") if p.get("marker-end")]
    assert len(paths) == len(script.arrows(measured)) > 10


def test_arrows__leave_out_what_follows_from_others(script):
    def package(name, *below):
        return script.Package(name, "", frozenset(below))

    measured = {p.name: p for p in (package("a", "b", "c"), package("b", "c"), package("c"))}
    assert script.arrows(measured) == [("a", "b"), ("b", "c")]
    assert script.floors(measured) == [["c"], ["b"], ["a"]]


def test_page__names_what_exists():
    paths = set(re.findall(r"`((?:\w+/)+\w*(?:\.py)?|\w+\.py)`", PAGE))
    assert len(paths) > 30
    homes = (ROOT, ROOT / "explgraph", ROOT / "mining", ROOT / "explgraph" / "photos")
    assert not [p for p in sorted(paths) if not any((home / p).exists() for home in homes)]
