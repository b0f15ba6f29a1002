"""Odd photos: what mining says of them, once, or refuses if it is told to."""

import warnings

import numpy as np
import pytest

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from tests.support.world import LAYERS

pytestmark = pytest.mark.filterwarnings("error")  # also of doubtful data


@pytest.fixture(scope="module")
def net(world):
    return world.net


@pytest.fixture(scope="module")
def background(world):
    return eg.extract(world.net, world.background, layers=LAYERS, progress=False)


def mined(net, photos, background, **options):
    return eg.mine(net, photos, background=background, progress=False, **options)


def kinds(graph, severity="warning"):
    return {doubt.kind for doubt in graph.doubts if doubt.severity == severity}


def test_mine__is_silent_of_sound_photos(net, world, background):
    graph = mined(net, world.photos, background, strict=True)
    assert kinds(graph) == set()
    share = graph.mu / np.array(graph.input_size)
    found = graph.header["material"]
    assert found["border_nodes"] == np.sum(((share < 0.1) | (share > 0.9)).any(axis=1))
    assert found["nodes"] == np.bincount(graph.node_layer, minlength=len(LAYERS)).tolist()


def test_mine__warns_once_of_copies(net, world, background):
    """C8: six identical photos give hundreds of nodes."""
    copies = np.stack([world.photos[0]] * 6)
    with pytest.warns(eg.DoubtfulDataWarning) as said:
        graph = mined(net, copies, background)
    assert len(said) == 1
    assert said[0].filename == __file__
    assert "5 of 6 photos nearly repeat an earlier one" in str(said[0].message)
    assert "only 1 different photo:" in str(said[0].message)
    assert {"few photos", "repeats"} <= kinds(graph)


def test_mine__the_warning_can_be_filtered(net, world, background):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", eg.DoubtfulDataWarning)
        mined(net, world.photos[:6], background)


def test_mine__frames_of_a_film_are_few_photos(net, world, background):
    """Each moved by some pixels, of 128."""
    frames = [np.roll(world.photos[i % 2], i // 2 % 3, axis=1) for i in range(20)]
    with pytest.warns(eg.DoubtfulDataWarning):
        graph = mined(net, np.stack(frames), background)
    assert {"few photos", "repeats"} <= kinds(graph)


def test_mine__constant_photos(net, world, background):
    """C8: photos in which there is nothing; what fires, fires at the border."""
    grey = np.stack([np.full_like(world.photos[0], 40 * i) for i in range(6)])
    with pytest.warns(eg.DoubtfulDataWarning):
        graph = mined(net, grey, background)
    assert {"few photos", "repeats", "border"} <= kinds(graph)


def test_mine__noise(net, world, background, rng):
    noise = rng.integers(0, 256, (40, *world.photos[0].shape), dtype=np.uint8)
    with pytest.warns(eg.DoubtfulDataWarning):
        graph = mined(net, noise, background)
    assert kinds(graph) == {"border"}


def test_mine__photos_alike_on_both_sides(net, world, background):
    halves = world.photos[:, :, : world.photos.shape[2] // 2]
    alike = np.concatenate([halves, halves[:, :, ::-1]], axis=2)
    photos = np.concatenate([alike, alike[:, ::-1]])  # enough of them
    with pytest.warns(eg.DoubtfulDataWarning):
        graph = mined(net, photos, background)
    assert "orientation" in kinds(graph)


def test_mine_strict__refuses_before_the_long_work(net, world, background, monkeypatch):
    monkeypatch.setattr("explgraph.pipeline.mine_peaks", lambda *_, **__: pytest.fail("was mined"))
    with pytest.raises(ExplGraphError, match=r"\(strict\): Mined from only 1 different photo"):
        mined(net, np.stack([world.photos[0]] * 6), background, strict=True)


def test_mine_strict__refuses_what_only_the_graph_shows(net, world, background, rng):
    noise = rng.integers(0, 256, (40, *world.photos[0].shape), dtype=np.uint8)
    with pytest.raises(ExplGraphError, match="of the nodes lie within a tenth"):
        mined(net, noise, background, strict=True)


def test_mine__a_spool_says_the_same(net, world, background, tmp_path):
    copies = np.stack([world.photos[0], *world.photos[:13]])
    graph = mined(net, copies, background)
    spooled = mined(net, copies, background, spool=tmp_path / "spool")
    assert graph.header["material"]["repeats"] == 1
    assert spooled.header == graph.header
    assert spooled.doubts == graph.doubts
