"""Columns: shapes by letters, values by bounds, and what a message says."""

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.schema import (
    Column,
    bind,
    check_layout,
    check_values,
    conform,
    kept,
    prefixed,
    sized,
)

F4, F2, I4 = np.float32, np.float16, np.int32


@pytest.mark.parametrize(
    ("shape", "wanted", "sizes", "learnt"),
    [
        ((3, 2), ("P", 2), {}, {"P": 3}),
        ((3, 2), ("P", 2), {"P": 3}, {"P": 3}),
        ((4,), ("T+1",), {}, {"T": 3}),
        ((4,), ("T+1",), {"T": 3}, {"T": 3}),
        ((2, 0), ("T", "C?"), {"C": 7}, {"T": 2, "C": 7}),
        ((2, 7), ("T", "C?"), {}, {"T": 2, "C": 7}),
        ((5, 5), ("G", "G"), {}, {"G": 5}),
        ((), (), {}, {}),
    ],
)
def test_shape__binds_letters(shape, wanted, sizes, learnt):
    bind("a", shape, wanted, sizes)
    assert sizes == learnt


@pytest.mark.parametrize(
    ("shape", "wanted", "sizes", "message"),
    [
        ((3, 3), ("P", 2), {}, r"a must have shape \(any, 2\), got \(3, 3\)"),
        ((3,), ("P", 2), {"P": 3}, r"a must have shape \(3, 2\), got \(3,\)"),
        ((3, 2, 1), ("P", 2), {}, r"got \(3, 2, 1\)"),
        ((4, 2), ("P", 2), {"P": 3}, r"a must have shape \(3, 2\), got \(4, 2\)"),
        ((3,), ("T+1",), {"T": 3}, r"a must have shape \(4\)"),
        ((2, 3), ("T", "C?"), {"C": 7}, r"a must have shape \(any, 7 or 0\)"),
        ((5, 4), ("G", "G"), {}, r"a must have shape \(any, any\), got \(5, 4\)"),
    ],
)
def test_shape__of_another_length_is_refused(shape, wanted, sizes, message):
    with pytest.raises(ExplGraphError, match=message):
        bind("a", shape, wanted, sizes)


INDEX = Column(I4, ("E",), least=0, below="P")


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ([], Column(F4, ("P",), above=9)),
        ([0, 1], Column(F4, ("P",), least=0, most=1)),
        ([-5, 9], Column(F4, ("P",))),
        ([0, 4], INDEX),
        ([np.nan, 1], Column(F4, ("P",), least=0, open="nan")),
        ([np.nan, np.nan], Column(F4, ("P",), least=0, open="nan")),
        ([np.inf, -np.inf, 0], Column(F4, ("P",), open="inf")),
        ([0, 65504], Column(F2, ("P",))),
        ([-1, 65504], Column(F2, ("P",))),
        ([-0.0], Column(F2, ("P",), least=0)),
    ],
)
def test_values__within_their_bounds_pass(values, column):
    check_values("a", np.array(values, column.dtype), column, {"P": 5})


@pytest.mark.parametrize(
    ("values", "column", "message"),
    [
        ([0, np.nan], Column(F4, ("P",)), "a must be finite, but 1 of its 2 values are not"),
        ([np.inf, -np.inf], Column(F4, ("P",)), "a must be finite, but 2 of its 2"),
        ([np.nan, np.inf], Column(F4, ("P",), open="nan"), "a must be finite"),
        ([np.nan, 0], Column(F4, ("P",), open="inf"), "a must be finite"),
        ([np.nan, -1], Column(F4, ("P",), least=0, open="nan"), "a must be at least 0, got"),
        ([np.nan], Column(F2, ("P",)), "a must be finite"),
        ([np.inf], Column(F2, ("P",)), "a must be finite"),
        ([-np.inf, 3], Column(F2, ("P",)), "a must be finite"),
        ([-1, 3], Column(F2, ("P",), least=0), "a must be at least 0"),
        ([-1, 1], Column(F4, ("P",), least=0), "a must be at least 0, got values from -1.0 to 1.0"),
        ([0, 2], Column(F4, ("P",), most=1), "a must be at most 1"),
        ([0, 2], Column(F4, ("P",), above=0), "a must be more than 0"),
        ([0, 5], INDEX, "a must be at most 4"),
        ([-1, 4], INDEX, "a must be at least 0"),
    ],
)
def test_values__out_of_their_bounds_are_refused(values, column, message):
    with pytest.raises(ExplGraphError, match=message):
        check_values("a", np.array(values, column.dtype), column, {"P": 5})


def test_values__of_an_unknown_length_have_no_upper_bound():
    check_values("a", np.array([99], I4), INDEX, {})


COLUMNS = {
    "mu": Column(F4, ("P", 2)),
    "clicks": Column(F4, ("P",), older=(I4,)),
    "a.x": Column(F4, ("A",), with_="a"),
    "a.y": Column(F4, ("A",), with_="a"),
}
LAYOUT = {"mu": ("float32", (3, 2)), "clicks": ("int32", (3,))}


def test_layout__that_fits_tells_lengths():
    sizes = {}
    both = {"a.x": ("float32", (4,)), "a.y": ("float32", (4,))}
    check_layout(LAYOUT, COLUMNS, {})
    check_layout({**LAYOUT, **both, "old": ("float64", ())}, COLUMNS, sizes, over=("old",))
    assert sizes == {"P": 3, "A": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mu": None}, "the array mu is missing"),
        ({"mu": ("float64", (3, 2))}, "mu must be float32, got float64"),
        ({"clicks": ("float64", (3,))}, "clicks must be float32 or int32, got float64"),
        ({"clicks": ("int32", (2,))}, r"clicks must have shape \(3\), got \(2,\)"),
        ({"new": ("float32", ())}, r"there is no array \['new'\]"),
        ({"a.x": ("float32", (4,))}, "the array a.y is missing"),
        ({"a.y": ("float32", (4,))}, "the array a.x is missing"),
    ],
)
def test_layout__that_does_not_fit_is_refused(change, message):
    layout = {n: found for n, found in (LAYOUT | change).items() if found is not None}
    with pytest.raises(ExplGraphError, match=message):
        check_layout(layout, COLUMNS, {})


def test_prefixed__letters_of_its_own_are_others_elsewhere():
    columns = {"node": INDEX, "start": Column(I4, ("T+1", "C?"), with_="trait")}
    found = prefixed("part.0", columns, own="E T C")
    assert found["part.0.node"].shape == ("part.0.E",)
    assert found["part.0.node"].below == "P"
    assert found["part.0.start"].shape == ("part.0.T+1", "part.0.C?")
    assert found["part.0.start"].with_ == "part.0.trait"
    assert prefixed("g", columns, own="P", with_="g")["g.node"].below == "g.P"
    assert {column.with_ for column in prefixed("g", columns, with_="g").values()} == {"g"}


def test_sized__puts_lengths_in_place_of_letters():
    assert sized({"a": Column(F4, ("C", "K", 2))}, {"C": 7})["a"].shape == (7, "K", 2)


class Held:
    def __init__(self, **values):
        self.__dict__.update(values)


def test_conform__keeps_read_only_arrays_of_the_type_and_leaves_the_callers_writable():
    mine = np.arange(6.0, dtype=F4).reshape(3, 2)
    held = Held(mu=mine, index=[0, 2, 2], more=None)
    columns = {"mu": Column(F4, ("P", 2)), "index": INDEX, "more": Column(F4, ("P",), with_="more")}
    conform(held, columns, {"E": 3})
    assert held.index.dtype == I4
    assert not held.mu.flags.writeable
    assert mine.flags.writeable
    assert held.more is None
    with pytest.raises(ExplGraphError, match=r"Held\.index must be at most 2"):
        conform(Held(mu=mine, index=[3], more=None), columns, {})
    with pytest.raises(ExplGraphError, match="a must have shape"):
        kept("a", mine, INDEX, {})
