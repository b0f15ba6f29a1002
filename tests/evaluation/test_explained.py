"""The study of the explained share: halves, controls, table and JSON."""

import dataclasses
import json
import math

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.text import plain
from explgraph.evaluation.explained import ALL_LAYERS, BACKGROUND, GRAPH, SHUFFLED, study_explained
from explgraph.graphs.kinds import NodeKinds, node_kinds
from explgraph.peaks.structures import Peaks
from explgraph.pipeline import grouped
from mining import MiningConfig, mine_peaks
from mining.explained import COUNTS, explained_share, shuffled_filters
from tests.support.planted_peaks import planted_peaks

CONFIG = MiningConfig(n_parents=3, density_top=0.05, density=0.015, spread_top=0.2, spread=0.08)
KEYS = ["category", "seed", "count", "layer", "row"]
SHARES = ["explained", "part", "texture", "background", "on_object", "of_object", "of_rest"]


def planted(n_images, seed):
    return planted_peaks(n_images=n_images, strides=(8, 16), channels=4, seed=seed).peaks


@pytest.fixture(scope="module")
def peaks():
    """Seen one way: which way planted limbs face cannot be told."""
    return dataclasses.replace(planted(32, seed=2), mirrored=None)


@pytest.fixture(scope="module")
def background():
    """Photos of something else, which were not looked at in the mirror."""
    return dataclasses.replace(planted(12, seed=7), mirrored=None)


@pytest.fixture(scope="module")
def study(peaks, background):
    return study_explained(peaks, background, seeds=(0, 1), category="planted", config=CONFIG)


def test_table__has_a_row_for_each_seed_layer_and_row(study):
    table = study.table
    assert list(table.columns) == [*KEYS, *SHARES, "margin"]
    assert len(set(map(tuple, table[KEYS].to_numpy()))) == len(table) == 2 * 3 * 3 * 3
    assert tuple(table["count"].unique()) == COUNTS
    assert set(table["layer"]) == {"layer0", "layer1", ALL_LAYERS}
    assert set(table["row"]) == {GRAPH, SHUFFLED, BACKGROUND}
    assert set(table["category"]) == {"planted"}
    assert table["explained"].between(0, 1).all()
    assert table["on_object"].isna().all()  # nobody said where it is
    assert len(study.seeds) == 2


def test_study__measures_photos_that_were_not_mined(study, peaks, background):
    """The rows again from their pieces: mined on every other photo, measured on the rest."""
    assert study.photos == (16, 16, 12)
    assert study.layers == ("layer0", "layer1")
    seen, unseen = peaks.take(np.arange(0, 32, 2)), peaks.take(np.arange(1, 32, 2))
    graph = mined(seen, background, seed=1)
    found = study.seeds[1]
    assert found.nodes == len(graph)
    assert found.kinds.reason == node_kinds(graph).reason
    np.testing.assert_array_equal(found.kinds.contrast, graph.contrast)
    assert found.rows[GRAPH] == explained_share(graph, unseen)
    order = shuffled_filters(graph, seed=1)
    assert found.rows[SHUFFLED] == explained_share(graph, unseen, filters=order)
    assert found.rows[BACKGROUND] == explained_share(graph, background)


def mined(seen, background, seed=0):
    graph = mine_peaks(seen, config=CONFIG, seed=seed)
    return grouped(graph, seen, background=background)


def test_study__objects_are_those_of_the_unseen_photos(peaks, background):
    """In photos that were mined the object is everywhere, in the others on the left."""
    left = np.zeros((8, 8), dtype=bool)
    left[:, :4] = True
    objects = [np.ones((8, 8), dtype=bool) if i % 2 == 0 else left for i in range(32)]
    study = study_explained(peaks, background, config=CONFIG, objects=objects)
    seen, unseen = peaks.take(np.arange(0, 32, 2)), peaks.take(np.arange(1, 32, 2))
    graph = mined(seen, background)
    expected = explained_share(graph, unseen, objects=[left] * 16)
    rows = study.seeds[0].rows
    assert rows[GRAPH] == expected
    assert 0.1 < expected.all_peaks.overall.on_object < 0.9
    order = shuffled_filters(graph)
    shuffled = explained_share(graph, unseen, filters=order, objects=[left] * 16)
    assert rows[SHUFFLED] == shuffled
    assert math.isnan(rows[BACKGROUND].all_peaks.overall.on_object)


def test_study__a_planted_graph_is_above_both_controls(study):
    for count in COUNTS:
        rows = study.table.query("layer == @ALL_LAYERS and count == @count")
        table = rows.set_index(["seed", "row"])["explained"]
        margins = [
            table[seed, GRAPH] - max(table[seed, SHUFFLED], table[seed, BACKGROUND])
            for seed in (0, 1)
        ]
        assert study.margins[count] == pytest.approx(np.mean(margins))
        own = rows.set_index(["seed", "row"])["margin"]
        assert [own[seed, GRAPH] for seed in (0, 1)] == pytest.approx(margins)
        assert own.isna().sum() == 4  # of the controls
    assert study.margins["all_peaks"] > 0.15


def test_study__groups_stay_together(peaks, background):
    """Neighbours share a group, so halves are pairs by turns; a group's name decides, not order."""
    groups = [f"g{i // 2:02d}" for i in range(32)]
    study = study_explained(peaks, background, groups=groups, config=CONFIG)
    first = np.arange(32) // 2 % 2 == 0
    seen, unseen = peaks.take(first), peaks.take(~first)
    graph = mined(seen, background)
    own = np.array(groups)[~first].tolist()
    expected = explained_share(graph, unseen, groups=own)
    assert study.seeds[0].rows[GRAPH] == expected
    assert expected != explained_share(graph, unseen)


def test_json__holds_the_table_and_nothing_that_json_lacks(study, peaks, background):
    record = json.loads(json.dumps(study.to_json(), allow_nan=False))
    assert record["photos"] == {"mined": 16, "measured": 16, "background": 12}
    assert record["margins"] == pytest.approx(study.margins)
    table = [
        {key: plain(value) for key, value in row.items()} for row in study.table.to_dict("records")
    ]
    assert record["table"] == table
    seeds = record["seeds"]
    assert seeds["0"]["nodes"] == study.seeds[0].nodes
    assert seeds["0"]["no_kinds_because"] == study.seeds[0].kinds.reason
    assert seeds["0"]["kinds"] is None
    silent = tuple(
        Peaks(p.layer, np.zeros_like(p.yx), np.zeros_like(p.weight)) for p in background.peaks
    )
    nothing = study_explained(peaks, dataclasses.replace(background, peaks=silent), config=CONFIG)
    record = json.loads(json.dumps(nothing.to_json(), allow_nan=False))
    lines = [line for line in record["table"] if line["row"] == BACKGROUND]
    assert [line["explained"] for line in lines] == [None] * 9
    assert record["margins"] == dict.fromkeys(COUNTS)
    assert math.isnan(nothing.margins["all_peaks"])


def test_json__counts_kinds_where_they_are_known(peaks, background):
    study = study_explained(peaks, background, config=CONFIG)
    kind = np.array(["part"] * 3 + ["texture"] + ["background"] * 2)
    found = dataclasses.replace(study.seeds[0], kinds=NodeKinds(None, None, kind))
    record = dataclasses.replace(study, seeds={0: found}).to_json()["seeds"]["0"]
    assert record["kinds"] == {"part": 3, "texture": 1, "background": 2}
    assert record["no_kinds_because"] is None


def test_study__refuses_what_it_cannot_measure(peaks, background):
    with pytest.raises(ExplGraphError, match="at least one seed"):
        study_explained(peaks, background, seeds=())
    with pytest.raises(ExplGraphError, match="groups needs 32 names, got 2"):
        study_explained(peaks, background, groups=["a", "b"])
    with pytest.raises(ExplGraphError, match="a mask for each of the 32 photos, got 1"):
        study_explained(peaks, background, objects=[np.ones((2, 2), dtype=bool)])
    with pytest.raises(ExplGraphError, match="at least 2 groups, got 1"):
        study_explained(peaks, background, groups=["a"] * 32)
    other = planted_peaks(n_images=4, strides=(8,), channels=4).peaks
    with pytest.raises(ExplGraphError, match="the background is of layers"):
        study_explained(peaks, other, config=CONFIG)
