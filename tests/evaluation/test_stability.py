"""The stability study, on planted peaks."""

import dataclasses
import json
import math

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.evaluation import stability as module
from explgraph.evaluation.stability import OTHER_HALF, OTHER_SEED, study_stability
from explgraph.graphs.comparison import compare
from mining import MiningConfig, match_peaks, mine_peaks
from tests.support.planted_peaks import planted_peaks

COLUMNS = [
    "category", "seed", "kind", "nodes", "found", "control", "found_all", "control_all",
    "same_side",
]  # fmt: skip


@pytest.fixture(scope="module")
def peaks():
    return planted_peaks(n_images=45, seed=0).peaks


@pytest.fixture(scope="module")
def study(peaks):
    return study_stability(peaks, category="limbs", seeds=(0, 1))


def numbers(images):
    return [int(name.removesuffix(".png")) for name in images]


def test_study__finds_what_was_planted_again(study):
    """The limbs of a filter are side by side, so that a random node is a wrong one half the time.

    Nodes of noise are among all nodes, not among the best.
    """
    table = study.table
    assert (table["found"] > 0.6).all()
    assert (table["found"] > table["control"] + 0.15).all()
    assert (table["found_all"] > table["control_all"]).all()


def test_study__table_has_a_row_per_seed_and_kind(study):
    table = study.table
    assert table.columns.tolist() == COLUMNS
    assert table["seed"].tolist() == [0, 0, 1, 1]
    assert table["kind"].tolist() == [OTHER_HALF, OTHER_SEED] * 2
    assert set(table["category"]) == {"limbs"}
    assert (study.mined, study.held_out) == (36, 9)


def test_study__equals_what_its_steps_give(study, peaks):
    """Photos 4, 9, 14, ... are held out; of the others the first, third, ... are half A."""
    rest = [i for i in range(45) if i % 5 != 4]
    held_out = peaks.take(np.arange(4, 45, 5))
    graphs = {
        OTHER_HALF: [mine_peaks(peaks.take(rest[start::2]), seed=1) for start in (0, 1)],
        OTHER_SEED: [mine_peaks(peaks.take(rest), seed=seed) for seed in (1, 1001)],
    }
    for kind, (a, b) in graphs.items():
        expected = compare(a, b, match_peaks(a, held_out), match_peaks(b, held_out))
        assert study.comparisons[1][kind].to_json() == expected.to_json()
        row = study.table.query("seed == 1 and kind == @kind").iloc[0]
        assert row["nodes"] == len(expected.node_a)
        assert row["found"] == expected.share(100).found
        assert row["control"] == expected.share(100).control
        assert row["found_all"] == expected.found
        assert row["control_all"] == expected.control
        assert row["same_side"] == expected.same_side


def test_study__counts_photos_that_the_graphs_see_differently(peaks, monkeypatch):
    """Two graphs agree on all held-out photos but two of the nine."""
    calls = []

    def match(graph, held_out):
        found = match_peaks(graph, held_out)
        calls.append(found)
        sides = np.zeros(9)
        sides[:2] = len(calls) % 2
        return dataclasses.replace(found, mirrored=sides)

    monkeypatch.setattr(module, "match_peaks", match)
    assert study_stability(peaks).table["same_side"].tolist() == pytest.approx([7 / 9] * 2)


def spied(monkeypatch):
    """Record what is mined: (numbers of the photos, seed, config)."""
    mined = []

    def mine(part, *, config, seed):
        mined.append((numbers(part.images), seed, config))
        return mine_peaks(part, config=config, seed=seed)

    monkeypatch.setattr(module, "mine_peaks", mine)
    return mined


def test_study__keeps_groups_together(peaks, monkeypatch):
    """Photo i is of photo i % 15: as strings 0, 1, 10, 11, 12, 13, 14, 2, 3, 4, 5, ..., 9.

    The fifth, tenth and fifteenth of these are held out: 12, 4 and 9.
    """
    mined = spied(monkeypatch)
    config = MiningConfig(n_parents=3)
    study = study_stability(peaks, groups=[str(i % 15) for i in range(45)], config=config)
    halves = [{0, 10, 13, 2, 5, 7}, {1, 11, 14, 3, 6, 8}]
    assert [{i % 15 for i in images} for images, _, _ in mined] == [
        *halves,
        *[set.union(*halves)] * 2,
    ]
    assert [len(images) for images, _, _ in mined] == [18, 18, 36, 36]
    assert [seed for _, seed, _ in mined] == [0, 0, 0, 1000]
    assert all(used == config for _, _, used in mined)
    assert study.held_out == 9


def test_study__json_is_plain(study):
    values = json.loads(json.dumps(study.to_json(), allow_nan=False))
    assert values["category"] == "limbs"
    assert (values["mined"], values["held_out"]) == (36, 9)
    assert [*values["seeds"]] == ["0", "1"]
    best = values["seeds"]["0"][OTHER_SEED]["best"]
    assert best["found"] == study.comparisons[0][OTHER_SEED].share().found
    assert not math.isnan(best["control"])


@pytest.mark.parametrize("seeds", [(), (0, 0)])
def test_study__seeds_must_differ(peaks, seeds):
    with pytest.raises(ExplGraphError, match="seeds must be different numbers"):
        study_stability(peaks, seeds=seeds)


def test_study__needs_a_group_for_each_photo(peaks):
    with pytest.raises(ExplGraphError, match="3 groups are given for 45 photos"):
        study_stability(peaks, groups=["a", "b", "c"])


def test_study__needs_five_groups(peaks):
    with pytest.raises(ExplGraphError, match="a fifth of 4 groups of photos is none"):
        study_stability(peaks, groups=[str(i % 4) for i in range(45)])
