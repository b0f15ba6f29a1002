"""Refits: nearly what fitting from nothing gives, click by click, whatever came before."""

import dataclasses

import numpy as np
import pytest

import explgraph as eg
from aog import PartConfig, fit_clicks
from aog.clicks import Clicks, check_clicks
from aog.refitting import Refit, combining, photos
from explgraph.base.errors import ExplGraphError

MOVED = 0.01
"""Of the diagonal: an answer that is farther off than this is another one."""


def clicks_of(world, part, count, hidden=()):
    marks = world.marks.of(part).take(np.arange(count))
    clicks = check_clicks(marks, part, world.found.images, world.found.photo_sizes)
    rows = np.setdiff1d(np.asarray(hidden, dtype=int), clicks.index)
    return Clicks(part, clicks.index, clicks.yx, clicks.size, rows)


def from_nothing(world, clicks, config):
    parts = fit_clicks(world.graph, world.found, [clicks], config=config)
    return parts, eg.locate(parts, world.found)


def compare(found, exact, moved=0.0, confidence=0.02):
    """The stated tolerance: shares of the photos, means over them."""
    off = np.linalg.norm(found.yx - exact.yx, axis=1) / np.sqrt(2)
    assert (off > MOVED).mean() <= moved
    assert np.abs(found.confidence - exact.confidence).mean() < confidence
    assert np.abs(found.evidence - exact.evidence).mean() < 0.01
    for name in ("visible", "template", "mirrored"):
        assert (getattr(found, name) == getattr(exact, name)).mean() > 0.9
    np.testing.assert_allclose(found.probability.sum(axis=(1, 2)), 1, rtol=1e-4)
    np.testing.assert_allclose(found.size, exact.size, rtol=1e-5)
    np.testing.assert_array_equal(found.frames, exact.frames)


@pytest.mark.parametrize("merge", [0.15, 1.0], ids=["as by default", "few templates"])
def test_fit__click_by_click_as_from_nothing(world, merge):
    config = PartConfig(merge=merge)
    refit = Refit(world.graph, world.found, config)
    for count in (1, 2, 3, 6):
        for part in ("head", "tail"):
            clicks = clicks_of(world, part, count)
            parts, exact = from_nothing(world, clicks, config)
            assert merge < 1 or count < 6 or len(parts[0]) < count
            compare(refit.fit(clicks), exact)


def test_fit__without_the_last_click_as_before(world):
    refit = Refit(world.graph, world.found, PartConfig())
    before = refit.fit(clicks_of(world, "head", 3))
    refit.fit(clicks_of(world, "head", 4))
    again = refit.fit(clicks_of(world, "head", 3))
    compare(again, before)
    np.testing.assert_allclose(again.probability, before.probability, atol=0.01)


def test_fit__hidden_photos_teach_nothing_and_set_what_is_visible(world):
    config = PartConfig()
    hidden = np.flatnonzero(np.isnan(world.points["tail"][:, 0]))[:3]
    hidden = hidden if len(hidden) else np.array([20, 21, 22])
    clicks = clicks_of(world, "head", 2, hidden)
    parts, exact = from_nothing(world, clicks, config)
    found = Refit(world.graph, world.found, config).fit(clicks)
    compare(found, exact)
    usual, _ = from_nothing(world, clicks_of(world, "head", 2), config)
    assert parts[0].visible_from != usual[0].visible_from
    assert (found.evidence[found.visible > 0] >= parts[0].visible_from - 0.01).all()


@pytest.mark.parametrize(
    "change",
    [{"learnt": 0.0}, {"others": 0.0}, {"doubt": 0.0, "scene": 0.0}, {"width": 0.03, "floor": 0.1}],
    ids=str,
)
def test_fit__other_settings(world, change):
    config = PartConfig(**change)
    clicks = clicks_of(world, "head", 3)
    compare(
        Refit(world.graph, world.found, config).fit(clicks), from_nothing(world, clicks, config)[1]
    )


def test_fit__votes_that_weigh_too_much_are_no_numbers_less(world):
    config = PartConfig(vote=1000.0)
    found = Refit(world.graph, world.found, config).fit(clicks_of(world, "head", 2))
    for name in ("yx", "confidence", "evidence", "probability"):
        assert np.isfinite(getattr(found, name)).all()


def test_fit__some_photos_teach_all_others(world, monkeypatch):
    """As where there are many: what the part looks like is learnt from some of them."""
    monkeypatch.setattr(photos, "_TAUGHT_BY", 12)
    clicks = clicks_of(world, "head", 3)
    exact = from_nothing(world, clicks, PartConfig())[1]
    compare(Refit(world.graph, world.found, PartConfig()).fit(clicks), exact, 0.1, 0.05)


def test_fit__all_photos_clicked(world):
    config = PartConfig()
    few = world.found.take(np.arange(3))
    marks = world.marks.of("head")
    marks = marks.take(np.isin(marks.image, few.images))
    clicks = check_clicks(marks, "head", few.images, few.photo_sizes)
    found = Refit(world.graph, few, config).fit(clicks)
    exact = eg.locate(fit_clicks(world.graph, few, [clicks], config=config), few)
    compare(found, exact)
    assert found.visible.all()


def test_fit__photos_that_were_seen_one_way(world):
    views = world.found.views
    one = dataclasses.replace(
        views, **{name: getattr(views, name)[:, :1] for name in ("yx", "score", "gain", "maps")}
    )
    found = dataclasses.replace(world.found, views=one)
    clicks = clicks_of(world, "head", 2)
    config = PartConfig()
    exact = eg.locate(fit_clicks(world.graph, found, [clicks], config=config), found)
    compare(Refit(world.graph, found, config).fit(clicks), exact)


def test_fit__that_failed_leaves_nothing_half_done(world, monkeypatch):
    refit = Refit(world.graph, world.found, PartConfig())
    refit.fit(clicks_of(world, "head", 1))
    find = combining.Balance.find

    def fails(self, *given):
        raise MemoryError

    monkeypatch.setattr(combining.Balance, "find", fails)
    with pytest.raises(MemoryError):
        refit.fit(clicks_of(world, "head", 2))
    monkeypatch.setattr(combining.Balance, "find", find)
    clicks = clicks_of(world, "head", 2)
    compare(refit.fit(clicks), from_nothing(world, clicks, PartConfig())[1])


def test_settle__is_from_nothing_to_the_last_byte(world):
    refit = Refit(world.graph, world.found, PartConfig())
    clicks = clicks_of(world, "head", 2)
    refit.fit(clicks)
    _, settled = refit.settle(clicks)
    _, exact = from_nothing(world, clicks, PartConfig())
    np.testing.assert_array_equal(settled.probability, exact.probability)


def test_refit__needs_views_and_clicks(world):
    with pytest.raises(ExplGraphError, match="with views"):
        Refit(world.graph, dataclasses.replace(world.found, views=None), PartConfig())
    with pytest.raises(ExplGraphError, match="no click"):
        Refit(world.graph, world.found, PartConfig()).fit(
            Clicks("head", np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2)))
        )
