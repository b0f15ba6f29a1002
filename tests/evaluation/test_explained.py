"""The study of the explained share: halves, controls, table and JSON."""

import dataclasses
import json
import math

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.explained import ALL_LAYERS, BACKGROUND, GRAPH, SHUFFLED, study_explained
from explgraph.peaks.structures import Peaks
from mining import MiningConfig, mine_peaks
from mining.explained import explained_share, node_kinds, shuffled_filters
from tests.support.planted_peaks import planted_peaks

CONFIG = MiningConfig(n_parents=3, density_top=0.05, density=0.015, spread_top=0.2, spread=0.08)
COLUMNS = ["category", "seed", "layer", "row", "part", "texture", "unexplained", "explained"]


def planted(n_images, seed):
    return planted_peaks(n_images=n_images, strides=(8, 16), channels=4, seed=seed).peaks


@pytest.fixture(scope="module")
def peaks():
    return planted(32, seed=2)


@pytest.fixture(scope="module")
def background():
    """Photos of something else, which were not looked at in the mirror."""
    return dataclasses.replace(planted(12, seed=7), mirrored=None, sketch=None)


@pytest.fixture(scope="module")
def study(peaks, background):
    return study_explained(peaks, background, seeds=(0, 1), category="planted", config=CONFIG)


def test_table__has_a_row_for_each_seed_layer_and_row(study):
    table = study.table
    assert list(table.columns) == [*COLUMNS, "nodes", "part_nodes"]
    keys = set(zip(table["seed"], table["layer"], table["row"], strict=True))
    assert len(keys) == len(table) == 2 * 3 * 3
    assert set(table["layer"]) == {"layer0", "layer1", ALL_LAYERS}
    assert set(table["row"]) == {GRAPH, SHUFFLED, BACKGROUND}
    assert set(table["category"]) == {"planted"}
    shares = table[["part", "texture", "unexplained"]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(table["explained"], table["part"] + table["texture"])
    nodes = table.groupby(["seed", "layer"])[["nodes", "part_nodes"]].first()
    for seed in (0, 1):
        both = nodes.loc[(seed, "layer0")] + nodes.loc[(seed, "layer1")]
        assert (nodes.loc[(seed, ALL_LAYERS)] == both).all()


def test_study__measures_photos_that_were_not_mined(study, peaks, background):
    """The rows again from their pieces: mined on every other photo, measured on the rest."""
    assert study.photos == (16, 16, 12)
    assert study.layers == ("layer0", "layer1")
    seen, unseen = peaks.take(np.arange(0, 32, 2)), peaks.take(np.arange(1, 32, 2))
    graph = mine_peaks(seen, config=CONFIG, seed=1)
    texture = node_kinds(graph, seen).texture
    found = study.seeds[1]
    assert found.nodes[ALL_LAYERS] == len(graph)
    assert found.part_nodes[ALL_LAYERS] == np.sum(~texture) > 0
    assert found.rows[GRAPH] == explained_share(graph, unseen, texture=texture)
    order = shuffled_filters(graph, seed=1)
    assert found.rows[SHUFFLED] == explained_share(graph, unseen, texture=texture, filters=order)
    assert found.rows[BACKGROUND] == explained_share(graph, background, texture=texture)


def test_study__a_planted_graph_is_above_both_controls(study):
    table = study.table.query("layer == @ALL_LAYERS").set_index(["seed", "row"])["explained"]
    margins = [
        table[seed, GRAPH] - max(table[seed, SHUFFLED], table[seed, BACKGROUND]) for seed in (0, 1)
    ]
    assert study.margin == pytest.approx(np.mean(margins))
    assert study.margin > 0.15


def test_study__groups_stay_together(peaks, background):
    """Neighbours share a group, so halves are pairs by turns; a group's name decides, not order."""
    groups = [f"g{i // 2:02d}" for i in range(32)]
    study = study_explained(peaks, background, groups=groups, config=CONFIG)
    first = np.arange(32) // 2 % 2 == 0
    seen, unseen = peaks.take(first), peaks.take(~first)
    graph = mine_peaks(seen, config=CONFIG)
    texture = node_kinds(graph, seen).texture
    own = np.array(groups)[~first].tolist()
    expected = explained_share(graph, unseen, texture=texture, groups=own)
    assert study.seeds[0].rows[GRAPH] == expected
    assert expected != explained_share(graph, unseen, texture=texture)


def test_json__holds_the_table_and_nothing_that_json_lacks(study, peaks, background):
    record = json.loads(json.dumps(study.to_json(), allow_nan=False))
    assert record["photos"] == {"mined": 16, "measured": 16, "background": 12}
    assert record["margin"] == pytest.approx(study.margin)
    assert record["table"] == study.table.to_dict("records")
    silent = tuple(
        Peaks(p.layer, np.zeros_like(p.yx), np.zeros_like(p.weight)) for p in background.peaks
    )
    nothing = study_explained(peaks, dataclasses.replace(background, peaks=silent), config=CONFIG)
    record = json.loads(json.dumps(nothing.to_json(), allow_nan=False))
    lines = [line for line in record["table"] if line["row"] == BACKGROUND]
    assert [line["explained"] for line in lines] == [None] * 3
    assert record["margin"] is None
    assert math.isnan(nothing.margin)


def test_study__refuses_what_it_cannot_measure(peaks, background):
    with pytest.raises(ExplGraphError, match="at least one seed"):
        study_explained(peaks, background, seeds=())
    with pytest.raises(ExplGraphError, match="groups needs 32 names, got 2"):
        study_explained(peaks, background, groups=["a", "b"])
    with pytest.raises(ExplGraphError, match="at least 2 groups, got 1"):
        study_explained(peaks, background, groups=["a"] * 32)
    other = planted_peaks(n_images=4, strides=(8,), channels=4).peaks
    with pytest.raises(ExplGraphError, match="the background is of layers"):
        study_explained(peaks, other, config=CONFIG)
