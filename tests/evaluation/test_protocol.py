"""The table of a method: which graphs it is filled with, and how it is averaged."""

import math

import numpy as np
import pandas as pd
import pytest

import explgraph.evaluation.protocol as protocol
from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.evaluation.protocol import category_means, seed_means, study_peaks
from explgraph.peaks.structures import Peaks, PeakSet
from mining import MiningConfig, match_peaks
from tests.support.plain import plain_marks
from tests.support.planted_peaks import chosen

N, SIDE = 32, 64.0
TURNED = np.arange(N) % 2 == 1
ROWS = ["raw peaks", "raw peaks, mirrored", "no edges", "graph", "supervised ceiling"]


def moving_peaks(rng):
    """Peaks that follow a shift of the object exactly, in every filter of two layers."""
    shift = rng.uniform(-12, 12, (N, 1, 1, 2))
    layers, given, mirrored = [], [], []
    for name, stride in (("low", 4), ("high", 8)):
        grid = (int(SIDE) // stride, int(SIDE) // stride)
        layers.append(LayerSpec(name, 5, grid, (stride,) * 2, (stride / 2,) * 2, (3 * stride,) * 2))
        yx = rng.uniform(20, 44, (1, 5, 2, 2)) + shift + rng.normal(0, 0.5, (N, 5, 2, 2))
        weight = np.sort(rng.uniform(1, 2, (N, 5, 2)), axis=2)[..., ::-1]
        given.append(Peaks(layers[-1], yx, weight))
        mirrored.append(Peaks(layers[-1], np.stack([yx[..., 0], SIDE - yx[..., 1]], -1), weight))
    ones = (np.ones(5),) * 2
    peaks = PeakSet(
        images=tuple(f"{i:02d}.png" for i in range(N)),
        frames=np.tile([[0, 1 / SIDE]], (N, 2, 1)),
        input_size=(int(SIDE), int(SIDE)),
        # Every other photo is found mirrored.
        peaks=tuple(chosen(TURNED, b, a) for a, b in zip(given, mirrored, strict=True)),
        mirrored=tuple(chosen(TURNED, a, b) for a, b in zip(given, mirrored, strict=True)),
        channel_mean=ones,
        channel_scale=ones,
        header={"model": "made up", "weight_hash": "0"},
    )
    return peaks, shift[:, 0, 0]


def annotations_of(peaks, shift):
    """The head moves with the object, left of its middle; the rock does not move along."""
    head = np.array([32.0, 18.0]) + shift
    head[TURNED, 1] = SIDE - head[TURNED, 1]
    rock = np.random.default_rng(9).uniform(5, 60, (N, 2))
    parts = ("head",) * N + ("rock",) * N
    return plain_marks(peaks.images * 2, parts, np.concatenate([head - 0.5, rock]))


@pytest.fixture(scope="module")
def data():
    peaks, shift = moving_peaks(np.random.default_rng(1))
    return peaks, annotations_of(peaks, shift)


@pytest.fixture(scope="module")
def study(data):
    return study_peaks(*data, (64, 64), category="ball", seeds=(0, 5))


def test_study_has_every_row_for_every_part_and_seed(study):
    table = study.table
    assert set(table["category"]) == {"ball"}
    for seed in (0, 5):
        for part in ("head", "rock"):
            chosen = table[(table["seed"] == seed) & (table["part"] == part)]
            assert list(chosen["row"]) == (ROWS if seed == 0 else ROWS[:-1])
    assert study.photos == N


def test_study_tells_what_follows_from_what_does_not(study):
    means = seed_means(study.table).set_index(["part", "row"])["t100"]
    assert means["head", "raw peaks, mirrored"] < 0.2  # every filter's peak moves with the head
    assert means["rock", "raw peaks"] > 0.8
    assert means["head", "supervised ceiling"] < 0.3


def test_raw_peaks_do_not_depend_on_the_seed(study):
    raw = study.table[study.table["row"] == "raw peaks"]
    assert raw.groupby("part")["t100"].nunique().eq(1).all()


def test_the_rows_are_what_their_names_promise(data, monkeypatch):
    mined, measured = [], []
    mine, measure = protocol.mine_peaks, protocol.evaluate

    def mine_and_note(peaks, *, config, seed):
        mined.append((config.n_parents, config.tol, seed, mine(peaks, config=config, seed=seed)))
        return mined[-1][-1]

    def measure_and_note(rows, annotations, **options):
        measured.append((rows, options))
        return measure(rows, annotations, **options)

    monkeypatch.setattr(protocol, "mine_peaks", mine_and_note)
    monkeypatch.setattr(protocol, "evaluate", measure_and_note)
    config = MiningConfig(n_parents=3, tol=0.01)
    study = study_peaks(*data, (64, 64), seeds=(7,), parts=["head"], config=config)
    assert [note[:3] for note in mined] == [(3, 0.01, 7), (0, 0.01, 7)]
    graph, plain = (note[-1] for note in mined)
    assert len(graph.edge_child) > 0 == len(plain.edge_child)
    ((rows, options),) = measured
    for name, expected in (("graph", graph), ("no edges", plain)):
        np.testing.assert_array_equal(rows[name].yx, match_peaks(expected, data[0]).yx)
        np.testing.assert_array_equal(options["rank"][name], expected.gain)
    assert rows["graph"].mirrored.any()
    np.testing.assert_array_equal(rows["raw peaks, mirrored"].mirrored, rows["graph"].mirrored)
    assert not rows["raw peaks"].mirrored.any()
    assert set(study.table["part"]) == {"head"}
    assert list(study.table["nodes"])[:4] == [10, 10, len(plain), len(graph)]


def test_study_json_is_by_seed_and_without_nan(study):
    found = study.to_json()
    assert found["category"] == "ball"
    assert list(found["seeds"]) == ["0", "5"]
    assert found["seeds"]["0"]["parts"][0]["ceiling"] is not None
    assert found["seeds"]["5"]["parts"][0]["ceiling"] is None


def test_mirror_table_has_a_line_for_each_row_that_mirrors(study):
    table = study.mirror_table
    assert list(table.columns) == ["category", "row", "seed", "agreement", "majority", "photos"]
    assert set(table["row"]) <= {"raw peaks, mirrored", "no edges", "graph"}


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_study_needs_different_seeds(data, seeds):
    with pytest.raises(ExplGraphError, match="seeds must be different"):
        study_peaks(*data, (64, 64), seeds=seeds)


# --- averages, by hand ----------------------------------------------------------------------------


def frame(*rows):
    return pd.DataFrame(rows, columns=["category", "part", "row", "seed", "t100"])


def test_seed_means_average_seeds_only_and_keep_the_order():
    means = seed_means(
        frame(
            ("cat", "tail", "graph", 0, 0.25),
            ("cat", "head", "graph", 0, 0.5),
            ("cat", "head", "ceiling", 0, 0.125),
            ("cat", "tail", "graph", 1, 0.75),
            ("cat", "head", "graph", 1, 1.0),
            ("cat", "head", "ceiling", 1, math.nan),
        )
    )
    assert list(means.itertuples(index=False, name=None)) == [
        ("cat", "tail", "graph", 0.5),
        ("cat", "head", "graph", 0.75),
        ("cat", "head", "ceiling", 0.125),
    ]


def test_category_means_count_every_category_once():
    means = category_means(
        frame(
            ("cat", "head", "graph", 0, 0.5),
            ("cat", "paw", "graph", 0, 0.25),
            ("cat", "tail", "graph", 0, 0.75),
            ("bird", "head", "graph", 0, 1.0),
            ("bird", "foot", "graph", 0, 1.0),
        ).drop(columns="seed")
    )
    found = means.set_index(["category", "part"])["t100"].to_dict()
    assert found == {
        ("cat", "head"): 0.5,
        ("cat", "other parts"): 0.5,
        ("bird", "head"): 1.0,
        ("bird", "other parts"): 1.0,
        ("mean", "head"): 0.75,
        ("mean", "other parts"): 0.75,
    }


def test_category_means_of_one_category_are_its_own():
    one = frame(("cat", "head", "graph", 0, 0.5), ("cat", "paw", "graph", 0, 0.25))
    means = category_means(one.drop(columns="seed"))
    assert set(means["part"]) == {"head", "paw"}
    assert list(means["t100"]) == [0.5, 0.25, 0.5, 0.25]
