"""How far kinds agree with masks: by hand, by loops, and on planted peaks."""

import dataclasses
import json
import math

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.evaluation.kinds import kind_agreement, study_kinds
from explgraph.evaluation.node_parts import node_parts
from explgraph.photos.masks import PartMasks
from explgraph.pipeline import grouped
from mining import MiningConfig, match_peaks, mine_peaks
from tests.support.plain import plain_graph, plain_groups, plain_matches
from tests.support.planted_peaks import planted_peaks

LAYER = LayerSpec("layer", 10, (16, 16), (4.0, 4.0), (2.0, 2.0), (8, 8))
N = 10
NAMES = tuple(f"{i}.png" for i in range(N))
HEAD, TAIL, GROUND, NEAR = (0.2, 0.2), (0.2, 0.8), (0.9, 0.5), (0.53, 0.2)


def masks():
    """The upper half is the animal: its left is the head, its right the tail. 64 px wide."""
    mask = np.full((64, 64), -1)
    mask[:32, :32], mask[:32, 32:] = 0, 1
    return PartMasks(NAMES, ("head", "tail"), (mask,) * N)


def graph_of(count):
    nodes = (np.zeros(count), np.arange(count), np.zeros(count))
    return plain_graph((LAYER,), (64, 64), nodes, mu=np.full((count, 2), 32))


def found_at(*places):
    """Matches in N photos; places of each node, one for each photo."""
    yx = np.array(places, dtype=float).swapaxes(0, 1)
    return plain_matches(NAMES, yx, np.ones(yx.shape[:2]))


def test_truth__by_the_shares_of_peaks():
    found = found_at(
        [HEAD] * 6 + [TAIL] * 4,  # .6 on one part
        [HEAD] * 5 + [TAIL] * 5,
        [HEAD] * 5 + [GROUND] * 5,  # half of it on nothing
        [HEAD] * 6 + [GROUND] * 4,
        [NEAR] * 10,  # 1.9 px below the animal: half a cell is 2 px
        [(0.55, 0.2)] * 10,
    )
    wanted = ["part", "texture", "background", "part", "part", "background"]
    assert node_parts(graph_of(6), found, masks()).kind.tolist() == wanted


def test_truth__only_photos_in_which_a_node_fires_count():
    """Its mean score is 1: a score of .4 is no firing."""
    found = found_at([HEAD] * 4 + [GROUND] * 6, [HEAD] * 10)
    score = np.array(found.score)
    score[4:, 0], score[:, 1] = 0.4, 0.4
    found = dataclasses.replace(found, score=score)
    assert node_parts(graph_of(2), found, masks()).kind.tolist() == ["part", ""]


def test_agreement__by_hand():
    """10 nodes, of which 8 are called what they are.

    Truly 5 parts, 2 textures, 3 background; called 4, 3, 3: chance is (20 + 6 + 9) / 100, and
    kappa (.8 - .35) / .65.
    """
    parts, textures = [[HEAD] * 10] * 5, [[HEAD] * 5 + [TAIL] * 5] * 2
    found = found_at(*parts, *textures, *[[GROUND] * 10] * 3)
    graph = graph_of(10)
    # One part is called texture, one texture background, one background texture.
    called = "pppptttbbb"
    contrast = np.array([0.1 if kind == "b" else 1.0 for kind in called])
    contrast[[6, 7]] = 0.1, 1.0
    gain = np.array([1.0 if kind == "p" else 0.2 for kind in called])
    groups = plain_groups(graph, np.zeros(10, dtype=int), node_gain=gain)
    graph = dataclasses.replace(graph, gain=np.arange(10.0))
    graph = graph.having(contrast=contrast, groups=groups)
    agreement = kind_agreement(graph, found, masks())
    assert agreement.nodes == 10
    assert (agreement.part, agreement.texture, agreement.background) == (0.5, 0.2, 0.3)
    assert agreement.accuracy == pytest.approx(0.7)
    assert agreement.frequent == 0.5
    assert agreement.kappa == pytest.approx((0.7 - 0.35) / 0.65)
    # On the object 6 of 7 have contrast 1, beside it 1 of 3: ties are halves.
    assert agreement.contrast_auc == pytest.approx((6 * 2 + (6 * 1 + 1 * 2) / 2) / 21)
    assert agreement.group_gain_auc == pytest.approx((4 * 5 + 5 / 2) / 25)
    assert agreement.gain_auc == 0


def test_agreement__of_kinds_that_are_not_told():
    found = found_at([HEAD] * 10, [HEAD] * 5 + [TAIL] * 5, [GROUND] * 10)
    graph = graph_of(3)
    groups = plain_groups(graph, np.zeros(3, dtype=int), node_gain=np.array([0.3, 0.2, 0.1]))
    graph = graph.having(contrast=np.array([0.2, 0.1, 0.0]), groups=groups)
    agreement = kind_agreement(graph, found, masks())
    assert math.isnan(agreement.kappa)
    assert math.isnan(agreement.accuracy)
    assert agreement.contrast_auc == agreement.group_gain_auc == 1


CONFIG = MiningConfig(n_parents=3, density_top=0.05, density=0.015, spread_top=0.2, spread=0.08)


def test_study__mines_one_half_and_looks_at_the_other():
    peaks = planted_peaks(n_images=32, strides=(8, 16), channels=4, seed=2).peaks
    background = planted_peaks(n_images=12, strides=(8, 16), channels=4, seed=7).peaks
    rng = np.random.default_rng(0)
    labels = tuple(rng.integers(-1, 2, (8, 8)) for _ in range(32))
    truth = PartMasks(peaks.images, ("head", "tail"), labels)
    study = study_kinds(peaks, background, truth, seeds=(3,), category="planted", config=CONFIG)
    assert study.photos == (16, 16)
    odd = np.arange(1, 32, 2)
    seen, unseen = peaks.take(odd - 1), peaks.take(odd)
    graph = mine_peaks(seen, config=CONFIG, seed=3)
    graph = grouped(graph, seen, background=background)
    own = PartMasks(unseen.images, truth.parts, labels[1::2])
    agreement = kind_agreement(graph, match_peaks(graph, unseen), own)
    (row,) = study.table.to_dict("records")
    assert (row.pop("category"), row.pop("seed")) == ("planted", 3)
    assert row == pytest.approx(dataclasses.asdict(agreement), nan_ok=True)
    record = json.loads(json.dumps(study.to_json(), allow_nan=False))
    assert record["seeds"]["3"]["nodes"] == agreement.nodes == len(graph)


def test_study__refuses_what_does_not_fit():
    peaks = planted_peaks(n_images=4, strides=(8,), channels=2).peaks
    truth = PartMasks(peaks.images, ("head",), (np.zeros((2, 2), dtype=int),) * 4)
    with pytest.raises(ExplGraphError, match="at least one seed"):
        study_kinds(peaks, peaks, truth, seeds=())
    with pytest.raises(ExplGraphError, match="groups needs 4 names, got 1"):
        study_kinds(peaks, peaks, truth, groups=["a"])
    with pytest.raises(ExplGraphError, match="no contrast"):
        kind_agreement(graph_of(1), found_at([HEAD] * 10), masks())
