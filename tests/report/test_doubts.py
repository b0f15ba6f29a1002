"""What to doubt stands at the top of the page, in a box that is open only if it warns."""

import re
from dataclasses import replace

import pytest

from explgraph.base.formats.material import Material
from explgraph.report.writing import write_report
from tests.support.reporting import magenta_source, reported_graph, reported_matches


@pytest.fixture(scope="module")
def graph():
    return reported_graph()


def page(graph, path, n=100, **material):
    header = {**graph.header, "n_images": n, "material": Material(**material).to_json()}
    graph = replace(graph, header=header, photo_sureness=None)
    write_report(graph, reported_matches(graph), magenta_source(), path)
    return path.read_text(encoding="utf-8")


def box(text):
    found = re.search(r'<details class="(doubts[^"]*)"( open)?>(.*?)</details>', text, re.DOTALL)
    return found and (found[1], found[2], " ".join(re.sub("<[^>]*>", " ", found[3]).split()))


def test_page__warnings_are_open_before_all_else(graph, tmp_path):
    text = page(graph, tmp_path / "r.html", repeats=90, repeated=("<b>.jpg",))
    kind, is_open, words = box(text)
    assert (kind, is_open) == ("doubts warned", " open")
    assert words.startswith("What to doubt Mined from only 10 different photos")
    assert "90 of 100 photos nearly repeat an earlier one (&lt;b&gt;.jpg)" in words
    assert text.index("<details") < text.index("<main>")


def test_page__notes_are_folded(graph, tmp_path):
    kind, is_open, words = box(page(graph, tmp_path / "r.html", repeats=1))
    assert (kind, is_open) == ("doubts", None)
    assert words.startswith("1 note on what it was mined from 1 of 100 photos nearly")


def test_page__without_doubts_there_is_no_box(graph, tmp_path):
    path = tmp_path / "r.html"
    write_report(graph, reported_matches(graph), magenta_source(), path)
    assert box(path.read_text(encoding="utf-8")) is None
