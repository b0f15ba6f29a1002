"""The And-Or graph's data types: shapes are checked, arrays are frozen."""

import numpy as np
import pytest

from aog import AndOrGraph, Localizations
from explgraph.errors import ExplGraphError


def and_or_graph(**changes):
    fields = {
        "part": "head",
        "size": np.ones((2, 2)),
        "start": np.array([0, 2, 3]),
        "node": np.array([4, 5, 9]),
        "group": np.array([0, 0, 0]),
        "displacement": np.zeros((3, 2)),
        "spread": np.ones(3),
        "weight": np.ones(3),
    }
    return AndOrGraph(**{**fields, **changes})


def localizations(**changes):
    fields = {
        "images": ("a.jpg",),
        "yx": np.zeros((1, 2)),
        "size": np.ones((1, 2)),
        "confidence": np.ones(1),
        "visible": np.ones(1),
        "template": np.zeros(1),
        "mirrored": np.zeros(1),
    }
    return Localizations(**{**fields, **changes})


def test_and_or_graph__counts_templates_and_is_frozen():
    graph = and_or_graph()
    assert len(graph) == 2
    with pytest.raises(ValueError, match="read-only"):
        graph.displacement[0] = 1


def test_and_or_graph__leaves_the_callers_array_writable():
    weight = np.ones(3, dtype=np.float32)
    and_or_graph(weight=weight)
    weight[0] = 2


@pytest.mark.parametrize("start", ([0, 1, 2], [1, 2, 3], [0, 4, 3]))
def test_and_or_graph__refuses_a_start_that_does_not_fit(start):
    with pytest.raises(ExplGraphError, match="must rise from 0 to 3"):
        and_or_graph(start=np.array(start))


def test_and_or_graph__refuses_no_templates():
    with pytest.raises(ExplGraphError, match="at least one template"):
        and_or_graph(start=np.array([0]), size=np.zeros((0, 2)))


def test_and_or_graph__names_the_array_of_wrong_shape():
    with pytest.raises(ExplGraphError, match=r"AndOrGraph.displacement must have shape \(3, 2\)"):
        and_or_graph(displacement=np.zeros((2, 2)))


def test_localizations__one_row_a_photo():
    assert len(localizations()) == 1
    assert localizations().template.dtype == np.int32
    with pytest.raises(ExplGraphError, match=r"Localizations\.yx"):
        localizations(yx=np.zeros((2, 2)))
