"""`study_asking`: a simulated person on drawn fish."""

import numpy as np
import pytest

from aog.asking import STRATEGIES
from aog.refitting import Refit
from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.asking import RANDOM, study_asking
from explgraph.evaluation.truth import part_truth


@pytest.fixture
def truth(world):
    return part_truth(world.marks, "head", world.found.photo_sizes, images=world.found.images)


def test_study__errors_fall_and_nobody_is_asked_where_they_are_measured(world, truth, monkeypatch):
    fitted, fit = [], Refit.fit

    def spy(self, clicks):
        where = fit(self, clicks)
        fitted.append((clicks, where))
        return where

    monkeypatch.setattr(Refit, "fit", spy)
    study = study_asking(
        world.graph, world.found, [truth], strategies=["least sure"], answers=4, seeds=(0, 1)
    )
    table = study.table
    assert list(table.columns[:4]) == ["part", "row", "seed", "answers"]
    assert len(table) == 2 * 2 * 4
    assert set(table.row) == {RANDOM, "least sure"}
    assert (table.clicks <= table.answers).all()
    mean = table.groupby("answers").error.mean()
    assert mean[4] < mean[1]
    assert table.pck20.dropna().between(0, 1).all()
    # The last row again, by hand: all photos of the head but those of the half that is asked.
    clicks, where = fitted[-1]
    places = dict(zip(truth.images, truth.yx, strict=True))
    half = {
        name: row
        for row, name in enumerate(world.found.images)
        if name in places and row not in set(clicks.index) | set(clicks.hidden)
    }
    off = {n: np.linalg.norm(where.yx[i] - places[n]) / np.sqrt(2) for n, i in half.items()}
    last = table.iloc[-1].error
    assert min(off.values()) < last < max(off.values())
    seeds = [fitted[k * len(fitted) // 2 : (k + 1) * len(fitted) // 2] for k in range(2)]
    for one in seeds:
        asked = {int(row) for clicks, _ in one for row in (*clicks.index, *clicks.hidden)}
        assert len(asked) <= (len(world.found) + 1) // 2


def test_study__refuses_what_it_cannot_do(world, truth):
    with pytest.raises(ExplGraphError, match="strategy"):
        study_asking(world.graph, world.found, [truth], strategies=["leastsure"])
    with pytest.raises(ExplGraphError, match="fewer than 1000 questions"):
        study_asking(world.graph, world.found, [truth], strategies=[], answers=1000)
    assert RANDOM not in STRATEGIES
