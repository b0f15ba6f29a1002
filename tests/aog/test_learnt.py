"""What photos without a click teach: the trait that tells the part's place from others."""

import dataclasses

import numpy as np
import pytest

from aog import PartConfig, Parts, fit_clicks, locate
from aog.evidence import evidence
from aog.learnt import learn, usual_cells
from aog.sight import sight
from tests.support.planted_parts import CHANNELS, SIDE, TOP, clicks_on, planted_world

CONFIG = PartConfig()
MARKED = CHANNELS - 1
"""The channel that responds to the part, in every photo but the clicked one."""


@pytest.fixture(scope="module")
def world():
    """Noise, and a response of the last channel at the part, but not in the clicked photo."""
    world = planted_world(30, nodes=18, seed=3)
    rng = np.random.default_rng(5)
    maps = rng.uniform(0.5, 1.5, (30, *TOP.grid, CHANNELS))
    maps[..., MARKED] = 0.2
    cell = np.clip((world.centre * 7).astype(int), 0, 6)
    rows = np.arange(1, 30)
    maps[rows, cell[rows, 0], cell[rows, 1], MARKED] = 3.0
    both = np.stack([maps, maps[:, :, ::-1]], axis=1)
    views = dataclasses.replace(world.found.views, maps=both)
    return dataclasses.replace(world, found=dataclasses.replace(world.found, views=views))


def fitted(world, config=CONFIG):
    return fit_clicks(world.graph, world.found, [clicks_on(world, [0])], config=config)


def test_trait__is_what_the_part_has_in_photos_that_nobody_clicked(world):
    trait = fitted(world)["head"].trait
    assert trait.shape == (CHANNELS,)
    assert np.linalg.norm(trait) == pytest.approx(1, abs=1e-5)
    assert trait.argmax() == MARKED
    assert trait[MARKED] > 0.8


def test_trait__equals_the_loops(world):
    """Its direction: (C + ridge)^-1 of the part's mean cell, less the mean of all."""
    seen = sight(world.graph, world.found)
    usual = usual_cells(seen)
    clicked = dataclasses.replace(fitted(world)["head"], trait=np.zeros(0))
    others = seen.take(np.arange(1, 30))
    place = evidence(clicked, others, usual.mean, CONFIG).place
    cells = seen.maps.astype(float).reshape(-1, CHANNELS)
    mean = cells.mean(axis=0)
    unit = (cells - mean) / np.linalg.norm(cells - mean, axis=1, keepdims=True)
    some = unit.reshape(30, 2, 7, 7, CHANNELS)[:, :, ::3, ::4].reshape(-1, CHANNELS)
    covariance = np.cov(some.T, bias=True)
    ridge = 2 * np.trace(covariance) / CHANNELS * np.eye(CHANNELS)
    cells_of = unit.reshape(30, 2, 7, 7, CHANNELS)[1:]
    here = np.zeros(CHANNELS)
    centre, pixel = 8 + 16.0 * np.arange(7), (np.arange(28) + 0.5) * SIDE / 28
    tents = np.stack([np.interp(pixel, centre, one) for one in np.eye(7)])  # (7, 28)
    for photo in range(29):
        odds = np.exp(place[photo] - place[photo].max())
        odds /= odds.sum()
        for view in range(2):
            share = tents @ odds[view] @ tents.T
            here += np.einsum("yx,yxc->c", share, cells_of[photo, view]) / 29
    expected = np.linalg.solve(covariance + ridge, here - some.mean(axis=0))
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(fitted(world)["head"].trait, expected, atol=2e-3)


def test_trait__does_not_hang_on_the_order_of_photos(world):
    back = np.arange(30)[::-1]
    marks = clicks_on(world, [0])
    turned = dataclasses.replace(marks, index=np.array([29]))
    trait = fit_clicks(world.graph, world.found.take(back), [turned], config=CONFIG)["head"].trait
    np.testing.assert_allclose(trait, fitted(world)["head"].trait, atol=1e-4)


def test_trait__finds_parts_that_the_click_does_not_look_like(world):
    """The nodes of some photos are lost: only what the others taught tells where the part is."""
    lost = np.arange(20, 30)
    views = world.found.views
    score = views.score.copy()
    score[lost] = 0
    unseen = dataclasses.replace(
        world.found, views=dataclasses.replace(views, score=score, gain=np.zeros((30, 2)))
    ).take(lost)
    parts = fitted(world, dataclasses.replace(CONFIG, look=30.0))

    def off(share):
        part = dataclasses.replace(parts["head"], trait_share=share)
        where = locate(dataclasses.replace(parts, aogs=(part,)), unseen)
        return np.linalg.norm(where.yx - world.centre[lost], axis=1).mean()

    assert off(0.9) < 0.1 < 0.2 < off(0.0)


def test_share__is_the_square_of_how_sure_answers_are_without_the_trait(world):
    """Where the other photos' nodes are moved about, the trait is trusted less."""
    blind = dataclasses.replace(CONFIG, learnt=0.0)
    rows = np.arange(1, 30)

    def shares(world):
        sure = locate(fitted(world, blind), world.found.take(rows)).confidence.mean()
        return fitted(world)["head"].trait_share, CONFIG.learnt * sure**2

    share, expected = shares(world)
    assert share == pytest.approx(expected, rel=1e-5)
    views = world.found.views
    yx = views.yx.copy()
    yx[rows] = np.random.default_rng(7).uniform(0, SIDE, yx[rows].shape)
    astray = dataclasses.replace(world.found, views=dataclasses.replace(views, yx=yx))
    less, expected = shares(dataclasses.replace(world, found=astray))
    assert less == pytest.approx(expected, rel=1e-5)
    assert less < 0.7 * share


def test_share__weighs_the_trait_against_the_clicked_look(world):
    seen = sight(world.graph, world.found)
    parts = fitted(world)

    def place(share):
        part = dataclasses.replace(parts["head"], trait_share=share)
        return evidence(part, seen, parts.look_mean, CONFIG).place

    none, half, whole = place(0.0), place(0.5), place(1.0)
    np.testing.assert_allclose(half, (none + whole) / 2, atol=1e-4)
    assert np.abs(whole - none).max() > 1


def test_visible__is_judged_by_the_trait(world):
    """Where the part's response is wiped out and its nodes are still found, it is not visible."""
    parts = fitted(world)
    views = world.found.views
    maps = views.maps.copy()
    maps[15, ..., MARKED] = 0.2
    found = dataclasses.replace(world.found, views=dataclasses.replace(views, maps=maps))
    where = locate(parts, found)
    expected = [i != 15 for i in range(1, 30)]
    assert where.visible[1:].tolist() == expected
    blind = locate(fitted(world, dataclasses.replace(CONFIG, learnt=0.0)), found)
    assert blind.visible[1:].tolist() != expected


def test_nothing__is_learnt_without_other_photos_without_maps_or_at_zero(world):
    assert len(fitted(world, dataclasses.replace(CONFIG, learnt=0.0))["head"].trait) == 0
    alone = world.found.take(np.array([0]))
    one = fit_clicks(world.graph, alone, [clicks_on(world, [0])], config=CONFIG)["head"]
    assert len(one.trait) == 0
    seen = sight(world.graph, alone)
    assert learn(one, seen.take(np.array([], dtype=int)), usual_cells(seen), CONFIG) is one
    with pytest.warns(UserWarning, match="no views"):
        blind = dataclasses.replace(world.found, views=None)
        parts = fit_clicks(world.graph, blind, [clicks_on(world, [0])], config=CONFIG)
        locate(parts, blind)
    assert len(parts["head"].trait) == 0


def test_maps_without_variance__teach_nothing_and_do_no_harm(world):
    views = dataclasses.replace(world.found.views, maps=np.ones((30, 2, 7, 7, CHANNELS)))
    flat = dataclasses.replace(world.found, views=views)
    parts = fit_clicks(world.graph, flat, [clicks_on(world, [0])], config=CONFIG)
    np.testing.assert_array_equal(parts["head"].trait, 0)
    assert np.isfinite(locate(parts, flat).yx).all()


def test_file__keeps_the_trait_and_earlier_files_have_none(world, tmp_path):
    from explgraph.base.files import read_arrays, write_arrays

    parts = fitted(world)
    parts.save(tmp_path / "parts.safetensors")
    again = Parts.load(tmp_path / "parts.safetensors")
    np.testing.assert_array_equal(again["head"].trait, parts["head"].trait)
    assert again["head"].trait_share == parts["head"].trait_share > 0
    arrays, header = read_arrays(tmp_path / "parts.safetensors", "parts")
    header["parts"] = [
        {k: v for k, v in one.items() if k != "trait_share"} for one in header["parts"]
    ]
    header["config"] |= {"learnt": 0.3}
    write_arrays(tmp_path / "shared.safetensors", "parts", arrays, header)
    assert Parts.load(tmp_path / "shared.safetensors")["head"].trait_share == 0.3
    del arrays["part.0.trait"]
    header["config"] = {k: v for k, v in header["config"].items() if k != "learnt"}
    write_arrays(tmp_path / "old.safetensors", "parts", arrays, header)
    old = Parts.load(tmp_path / "old.safetensors")
    assert len(old["head"].trait) == 0
    without = dataclasses.replace(parts["head"], trait=np.zeros(0))
    expected = locate(dataclasses.replace(parts, aogs=(without,)), world.found)
    np.testing.assert_array_equal(locate(old, world.found).probability, expected.probability)
