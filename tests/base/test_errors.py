"""Errors name what came, what was expected, and the nearest to it."""

import pytest

import explgraph as eg
from explgraph.base.errors import ExplGraphError, check_options, index_of
from explgraph.peaks.reading import ReadOptions


def test_index_of__by_name_or_number():
    names = ("a", "b", "c")
    assert [index_of("layer", key, names) for key in ("c", 0, 2)] == [2, 0, 2]


@pytest.mark.parametrize(
    ("key", "names", "message"),
    [
        (
            "stage2",
            ("stage1", "head"),
            r"^unknown layer 'stage2'; the nearest are stage1\. Hint\.$",
        ),
        (2, ("a", "b"), r"^there is no layer 2: 0\.\.1 are there\. Hint$"),
        (-1, ("a", "b"), "there is no layer -1"),
        (0, (), r"^there is no layer 0: there are none\. Hint$"),
    ],
)
def test_index_of__what_is_not_there_is_refused(key, names, message):
    with pytest.raises(ExplGraphError, match=message):
        index_of("layer", key, names, "Hint")


def test_check_options__names_the_one_that_was_meant():
    check_options("mine", {"batch_size": 2, "mirror": False}, ReadOptions)
    with pytest.raises(
        TypeError, match=r"^mine\(\) got an unexpected .* 'bach_size'\. .*'batch_size'"
    ):
        check_options("mine", {"bach_size": 2}, ReadOptions)


VERBS = {
    "extract": (None, None),
    "mine": (None, None),
    "match": (None, None, None),
    "draw_graph": (None, "a.svg"),
    "draw_match": (None, None, None),
    "export_graph": (None, "a.json"),
    "write_report": (None, None, None, "a.html"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_verbs__refuse_a_keyword_that_they_do_not_take(verb):
    """Before they look at anything else: a misspelt one would be passed over without a word."""
    with pytest.raises(TypeError, match=rf"^{verb}\(\) got an unexpected keyword argument 'bogus'"):
        getattr(eg, verb)(*VERBS[verb], bogus=1)
