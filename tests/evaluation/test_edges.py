"""What is lost of responses without some nodes below: by hand, and on the demo's network."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.edges import (
    COINCIDE,
    EFFECT,
    MOVES,
    NEAR,
    RANDOM,
    ROWS,
    study_edges,
)
from explgraph.networks.intervention import Rest
from tests.explanations.test_effects import (
    ON_A,
    ON_B,
    A,
    B,
    S,
    its_graph,
    its_matches,
    two_layers,
)
from tests.support.hills import hills_photos

N = 12


@pytest.fixture(scope="module")
def net():
    return two_layers()


def with_edges(graph, rows):
    child, parent, spread = (np.array([row[i] for row in rows]) for i in range(3))
    return dataclasses.replace(
        graph,
        edge_child=child,
        edge_parent=parent,
        edge_spread=spread.astype(float),
        edge_displacement=np.zeros((len(rows), 2)),
        edge_correlation=np.ones(len(rows)),
    )


def test_lost__of_hills_is_what_their_cells_carry(net):
    """Without hill A nothing is left of its parent, without hill B a quarter of the other."""
    graph = with_edges(its_graph(net), [(A, ON_A, 3), (B, ON_A, 1), (S, ON_B, 2)])
    found = study_edges(graph, its_matches(N), net, hills_photos(N), n_children=1)
    assert found.parents.tolist() == [ON_A, ON_B]
    np.testing.assert_allclose(found.lost[EFFECT], [1, 0.75], rtol=1e-5)
    np.testing.assert_allclose(found.lost[MOVES], [0, 0], atol=1e-6)  # hill B is the steadiest
    assert found.cells[EFFECT].tolist() == [2, 2]
    assert found.cells[MOVES].tolist() == [2, 1]
    assert found.again.tolist() == [1, 1]
    assert found.again_by_chance.tolist() == [1 / 3, 1 / 3]
    # To first order more than all of the response is hill A's; it cannot lose more than all.
    estimate, exact = found.single.T
    assert estimate.max() == pytest.approx(300 / 240)
    assert exact.max() == pytest.approx(1)


def test_lost__of_rows_with_too_few_children_is_unknown(net):
    graph = with_edges(its_graph(net), [(A, ON_A, 3), (B, ON_A, 1), (S, ON_B, 2)])
    found = study_edges(graph, its_matches(N), net, hills_photos(N), n_children=2)
    assert np.isfinite(found.lost[MOVES]).tolist() == [True, False]
    assert np.isnan(found.lost[EFFECT]).all()  # one child alone carries something
    table = found.table.set_index("row")
    assert table.loc[[MOVES, EFFECT], "parents"].tolist() == [1, 0]
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["rows"][0]["lost"] is None


def test_rows__of_the_demos_network_beat_their_controls(world):
    found = study_edges(world.graph, world.found, world.net, world.source, n_parents=8)
    table = found.table.set_index("row")
    assert table.index.tolist() == list(ROWS)
    assert (found.parents >= np.flatnonzero(world.graph.node_layer == 1)[0]).all()
    assert len(found.parents) == 8
    lost = table["lost"]
    assert lost[EFFECT] > max(lost[[MOVES, COINCIDE, NEAR, RANDOM]].max(), 0.3)
    assert lost[RANDOM] < 0.15
    assert table.loc[EFFECT, "again"] > 3 * table.loc[EFFECT, "by_chance"]
    assert table.loc[EFFECT, "correlation"] > 0.9
    again = study_edges(world.graph, world.found, world.net, world.source, n_parents=8)
    assert again.table.equals(found.table)


def test_rest__up_to_a_layer_is_what_the_network_gives(world):
    below, above = (layer.name for layer in world.graph.layers)
    batch = world.net.preprocess(world.source.load(0).image)[0][None]
    maps = {name: world.net.capture(batch, [name])[name] for name in (below, above)}
    rest = Rest(world.net, below)
    variants = torch.cat([maps[below], torch.zeros_like(maps[below])])
    found = rest.maps(batch, variants, above)
    torch.testing.assert_close(found[:1], maps[above], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[1], maps[above][0], atol=1e-2)
    many = rest.maps(batch, maps[below].expand(40, -1, -1, -1), above)  # more than one pass
    assert len(many) == 40


def test_parents__are_by_default_those_that_are_shown_first(world):
    graph, found = world.graph, world.found
    study = study_edges(graph, found, world.net, world.source, n_children=3)
    shown = graph.top(60)
    fires = (found.score > 0) & (found.score >= graph.score / 2)
    halves = fires[::2].sum(axis=0), fires[1::2].sum(axis=0)
    often = np.minimum(*halves) >= 5
    wanted = shown[(graph.node_layer[shown] == 1) & often[shown]]
    assert study.parents.tolist() == sorted(wanted.tolist())
    assert len(wanted) > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_parents": 0}, "n_parents must be at least 1, got 0"),
        ({"n_children": 0}, "n_children must be at least 1, got 0"),
    ],
)
def test_options__that_make_no_sense_are_refused(net, options, message):
    with pytest.raises(ExplGraphError, match=message):
        study_edges(its_graph(net), its_matches(N), net, hills_photos(N), **options)


def test_photos__that_are_too_few_are_refused(net):
    with pytest.raises(ExplGraphError, match="fires in 5 photos of both halves"):
        study_edges(its_graph(net), its_matches(4), net, hills_photos(4))
