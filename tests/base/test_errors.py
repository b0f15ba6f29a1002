"""Errors name what came, what was expected, and the nearest to it."""

import pytest

from explgraph.base.errors import ExplGraphError, index_of


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
