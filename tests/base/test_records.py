"""Copies and pickles of data that cannot change."""

import copy
import pickle
from dataclasses import fields
from functools import cache
from types import MappingProxyType

import numpy as np
import pytest

import explgraph as eg
from explgraph.base.records import Record
from tests.support.world import WORLD

KINDS = (
    *("ExplanatoryGraph", "PartGroups", "EdgeEffects", "Matches", "Views", "Peaks", "PeakSet"),
    *("Parts", "AndOrGraph", "Localizations", "GroupPlaces", "Attribution", "Annotations"),
)


@cache
def records():
    """One of each kind, by the name of its type."""
    parts = eg.fit_parts(WORLD.graph, WORLD.found, WORLD.clicks)
    effects = eg.edge_effects(
        WORLD.graph,
        WORLD.found,
        WORLD.net,
        WORLD.source,
        parents=WORLD.graph.ranking()[:4].tolist(),
        n_photos=2,
        progress=False,
    )
    all_of_them = [
        WORLD.graph.having(effects=effects),
        WORLD.graph.groups,
        effects,
        WORLD.found,
        WORLD.found.views,
        WORLD.peaks,
        WORLD.peaks.peaks[0],
        parts,
        parts["head"],
        eg.locate(parts, WORLD.found),
        eg.group_places(WORLD.graph, WORLD.found),
        eg.explain(WORLD.net, WORLD.photos[0], method="segments"),
        WORLD.clicks,
    ]
    return {type(one).__name__: one for one in all_of_them}


def same(a, b):
    """Whether two values are equal, and of the same kind; arrays also in what may write to them."""
    if isinstance(a, np.ndarray):
        flags = a.flags.writeable == b.flags.writeable
        return flags and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if type(a) is not type(b):
        return False
    if isinstance(a, Record):
        return all(same(getattr(a, one.name), getattr(b, one.name)) for one in fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict | MappingProxyType):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b or (a != a and b != b)


@pytest.mark.parametrize("kind", KINDS)
def test_pickle__gives_the_same_and_what_was_read_only_stays_so(kind):
    one = records()[kind]
    again = pickle.loads(pickle.dumps(one))
    assert again is not one
    assert same(one, again)


@pytest.mark.parametrize("kind", KINDS)
def test_copy__is_the_thing_itself(kind):
    one = records()[kind]
    assert copy.copy(one) is one
    assert copy.deepcopy([one])[0] is one


def test_pickle__is_checked_like_anything_else_that_is_made():
    made, (kind, values) = WORLD.peaks.__reduce__()
    with pytest.raises(eg.ExplGraphError, match="frames"):
        made(kind, {**values, "frames": values["frames"][:1]})
