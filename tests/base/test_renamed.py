"""Old keywords go on working; the documented ones are what signatures show."""

import inspect

import pytest

from explgraph.base.renamed import renamed


@renamed(matches="found", photos="images")
def put(graph, found=0, *, images=0):
    """Put."""
    return graph, found, images


@pytest.mark.parametrize(
    ("given", "named"),
    [((1, 2), {}), ((1,), {"found": 2}), ((1,), {"matches": 2}), ((), {"matches": 2, "graph": 1})],
)
def test_renamed__takes_either_name(given, named):
    assert put(*given, **named) == (1, 2, 0)
    assert put(*given, photos=3, **named) == (1, 2, 3)


def test_renamed__shows_the_documented_names():
    assert list(inspect.signature(put).parameters) == ["graph", "found", "images"]
    assert (put.__name__, put.__doc__) == ("put", "Put.")


@pytest.mark.parametrize("named", [{"found": 2, "matches": 2}, {"graph": 2}])
def test_renamed__an_argument_given_twice_is_refused(named):
    with pytest.raises(TypeError, match=r"got both 'found' and 'matches'|multiple values"):
        put(1, **named)


def test_renamed__given_by_place_and_by_its_old_name_is_refused():
    with pytest.raises(TypeError, match="multiple values for argument 'found'"):
        put(1, 2, matches=3)
