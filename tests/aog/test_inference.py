"""Locating planted parts: within a fraction of a cell, both ways round, whatever goes astray."""

import dataclasses
import math
from pathlib import Path

import numba
import numpy as np
import pytest

from aog import PartConfig, fit_clicks, locate
from aog.clicks import Clicks
from explgraph.base.errors import ExplGraphError
from tests.support.planted_parts import GRID, SIDE, clicks_on, planted_world

VOTES = PartConfig(width=0.0625, floor=1e-3, look=0.0, scene=0.0, doubt=0.0, merge=0.0)
"""Votes alone, and sure of them: what is off then is the patterns' fault."""

ALL = PartConfig()
FIELDS = ("yx", "size", "confidence", "evidence", "visible", "template", "mirrored", "probability")


@pytest.fixture(scope="module")
def world():
    return planted_world(12)


@pytest.fixture(scope="module")
def parts(world):
    """Fitted on a photo as it is given; photos 1, 4, 7 and 10 are mirrored."""
    return fit_clicks(world.graph, world.found, [clicks_on(world, [0])], config=VOTES)


def cells_off(where, centre):
    """How far the answers are from the truth, cells of the grid, by axis."""
    inside = (np.asarray(centre) - where.frames[..., 0]) / where.frames[..., 1]
    return np.abs((where.yx - where.frames[..., 0]) / where.frames[..., 1] - inside).max(1) * GRID


def with_views(world, **changes):
    views = dataclasses.replace(world.found.views, **changes)
    return dataclasses.replace(world.found, views=views)


def same(ours, theirs):
    assert (ours.images, ours.parts) == (theirs.images, theirs.parts)
    for name in (*FIELDS, "frames"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


# -- planted parts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [[0], [1], [0, 1], [2, 4, 5]], ids=str)
def test_planted_part__is_found_in_photos_as_given_and_mirrored(world, rows):
    """Clicks on mirrored photos (1, 4) serve those as given, and the other way round."""
    marks = clicks_on(world, rows)
    where = locate(fit_clicks(world.graph, world.found, [marks], config=VOTES), world.found)
    assert cells_off(where, world.centre).max() < 0.25
    np.testing.assert_array_equal(where.mirrored, world.mirrored)
    assert where.images == world.found.images
    assert where.parts == ("head",) * 12


def test_planted_part__is_found_with_the_defaults(world):
    parts = fit_clicks(world.graph, world.found, [clicks_on(world, [0, 1, 2])], config=ALL)
    where = locate(parts, world.found)
    assert cells_off(where, world.centre).max() < 1
    np.testing.assert_array_equal(where.mirrored, world.mirrored)


def test_planted_part__beside_its_nodes_is_found_there(world):
    """A part 15 pixels above and 10 left of the middle of the nodes."""
    beside = clicks_on(world, np.arange(12), offset=(-15, -10)).yx
    marks = clicks_on(world, [4], offset=(-15, -10))
    where = locate(fit_clicks(world.graph, world.found, [marks], config=VOTES), world.found)
    assert cells_off(where, beside).max() < 0.5


def test_new_photos__are_located_without_clicks(world, parts):
    new = planted_world(30, seed=0)
    np.testing.assert_array_equal(new.mu, world.mu)
    where = locate(parts, new.found)
    assert len(where) == 30
    assert cells_off(where, new.centre).max() < 0.25


def test_astray_patterns__do_not_move_the_answer(world, parts):
    """A third of the nodes is found on one wrong place, as strongly as ever."""
    clean = locate(parts, world.found)
    yx = world.found.views.yx.copy()
    rows = np.arange(12)
    yx[rows, world.mirrored.astype(int), :6] = [8.0, 104.0]
    found = with_views(world, yx=yx)
    where = locate(parts, found)
    assert np.abs(where.yx - clean.yx).max() * GRID < 0.25
    assert cells_off(where, world.centre).max() < 0.4
    votes = yx[rows, world.mirrored.astype(int)] + parts["head"].displacement
    mean = votes.mean(axis=1) / SIDE * GRID
    truth = (world.part + world.shift) / SIDE * GRID
    assert np.abs(mean - truth).max(axis=1).min() > 1  # what averaging the votes would cost


def test_more_photos__do_not_change_an_answer(world, parts):
    whole = locate(parts, world.found)
    few = np.array([7, 2])
    same(locate(parts, world.found.take(few)), whole.take(few))


# -- what an answer holds --------------------------------------------------------------------------


def test_probability__is_that_of_the_photo_as_given(world, parts):
    where = locate(parts, world.found)
    np.testing.assert_allclose(where.probability.sum(axis=(1, 2)), 1, rtol=1e-5)
    for probability, centre in zip(where.probability, world.centre, strict=True):
        top = np.array(np.unravel_index(probability.argmax(), (GRID, GRID)))
        assert np.abs(top + 0.5 - centre * GRID).max() <= 1


def test_confidence__is_the_probability_near_the_answer(world, parts):
    where = locate(parts, world.found)
    for i in range(12):
        near = 0.0
        for y, x in np.ndindex(GRID, GRID):
            at = ((y + 0.5) / GRID, (x + 0.5) / GRID)
            if math.dist(at, where.yx[i]) <= 0.1 * math.sqrt(2):
                near += float(where.probability[i, y, x])
        assert where.confidence[i] == pytest.approx(near, abs=1e-4)
    assert where.confidence.min() > 0.8


def test_confidence__falls_where_nothing_is_found(world, parts):
    score = world.found.views.score.copy()
    score[3] = 0
    where = locate(parts, with_views(world, score=score))
    sure, unsure = np.delete(where.confidence, 3), where.confidence[3]
    assert unsure < 0.1 < sure.min()
    np.testing.assert_allclose(where.yx[3], 0.5, atol=1e-3)
    np.testing.assert_allclose(where.probability[3], 1 / GRID**2, rtol=1e-5)
    assert where.evidence[3] < np.delete(where.evidence, 3).min()


def test_visible__is_evidence_from_the_parts_threshold_on(world, parts):
    evidence = np.sort(locate(parts, world.found).evidence)
    limit = float(evidence[5])
    head = dataclasses.replace(parts["head"], visible_from=limit)
    where = locate(dataclasses.replace(parts, aogs=(head,)), world.found)
    np.testing.assert_array_equal(where.visible, where.evidence >= limit)
    assert 0 < where.visible.sum() < 12


def test_visible__not_where_the_part_is_hidden(world):
    """In photo 5 other responses, and no peaks, stand where the part and its nodes were."""
    parts = fit_clicks(world.graph, world.found, [clicks_on(world, [0, 1, 2])], config=ALL)
    whole = locate(parts, world.found)
    maps, score = world.found.views.maps.copy(), world.found.views.score.copy()
    y, x = (world.centre[5] * 7).astype(int)
    rng = np.random.default_rng(0)
    hidden = maps[5, 0]
    hidden[y - 1 : y + 2, x - 1 : x + 2] = rng.uniform(0, 2, (3, 3, hidden.shape[-1]))
    maps[5, 1] = hidden[:, ::-1]
    score[5] = 0
    where = locate(parts, with_views(world, maps=maps, score=score))
    assert whole.visible.all()
    assert where.visible.tolist() == [i != 5 for i in range(12)]
    assert where.evidence[5] < 0.7 * whole.evidence.min()
    np.testing.assert_array_equal(np.delete(where.evidence, 5), np.delete(whole.evidence, 5))


def test_template__is_the_one_that_fits_and_its_size_is_told(world):
    """Two poses: in every second photo the nodes keep half their distance from the part."""
    yx = world.found.views.yx.copy()
    rows, view = np.arange(12), world.mirrored.astype(int)
    near = rows % 2 == 1
    middle = world.part + world.shift
    right = yx[rows, view]
    right[near] = middle[near, None] + 0.2 * (right[near] - middle[near, None])
    yx[rows, view] = right
    found = with_views(world, yx=yx)
    two = clicks_on(world, [0, 1])
    marks = Clicks("head", two.index, two.yx, np.array([[0.5, 0.25], [0.2, 0.1]]))
    where = locate(fit_clicks(world.graph, found, [marks], config=VOTES), found)
    np.testing.assert_array_equal(where.template, near)
    expected = np.where(near[:, None], [0.2, 0.1], [0.5, 0.25])
    np.testing.assert_allclose(where.size, expected, rtol=1e-5)
    assert cells_off(where, world.centre).max() < 0.4


def test_size__of_a_template_without_one_is_the_others_mean(world):
    three = clicks_on(world, [0, 2, 3])
    sizes = np.array([[0.4, 0.2], [np.nan, np.nan], [0.2, 0.1]])
    marks = Clicks("head", three.index, three.yx, sizes)
    parts = fit_clicks(world.graph, world.found, [marks], config=VOTES)
    where = locate(parts, world.found)
    table = np.array([[0.4, 0.2], [0.3, 0.15], [0.2, 0.1]])
    np.testing.assert_allclose(where.size, table[where.template], rtol=1e-5)
    alone = fit_clicks(world.graph, world.found, [clicks_on(world, [2])], config=VOTES)
    assert np.isnan(locate(alone, world.found).size).all()


def test_table__has_a_row_for_each_answer(world, parts):
    where = locate(parts, world.found)
    table = where.table
    assert list(table.columns) == [
        *("image", "part", "y", "x", "height", "width"),
        *("confidence", "evidence", "visible", "template", "mirrored"),
    ]
    np.testing.assert_array_equal(table[["y", "x"]], where.yx)
    assert table["mirrored"].tolist() == world.mirrored.tolist()


# -- several parts ---------------------------------------------------------------------------------


def test_several_parts__are_interleaved_and_equal_each_on_its_own(world):
    marks = [clicks_on(world, [0, 1], "head"), clicks_on(world, [3], "tail", offset=(10, 5))]
    together = locate(fit_clicks(world.graph, world.found, marks, config=ALL), world.found)
    assert together.parts == ("head", "tail") * 12
    assert together.images == tuple(name for name in world.found.images for _ in "ab")
    for one in marks:
        alone = fit_clicks(world.graph, world.found, [one], config=ALL)
        same(together.of(one.part), locate(alone, world.found))


# -- matches without views -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:the matches have no views")
def test_without_views__is_close_on_mirrored_photos_too(world):
    blind = dataclasses.replace(world.found, views=None)
    for rows in ([0], [1]):
        marks = clicks_on(world, rows)
        where = locate(fit_clicks(world.graph, blind, [marks], config=VOTES), blind)
        assert where.mirrored.tolist() == world.mirrored.tolist()
        assert cells_off(where, world.centre).max() < 0.25


@pytest.mark.filterwarnings("ignore:the matches have no views")
def test_without_views__parts_fitted_with_them_may_be_located(world, parts):
    blind = dataclasses.replace(world.found, views=None)
    assert cells_off(locate(parts, blind), world.centre).max() < 0.25


@pytest.mark.filterwarnings("ignore:the matches have no views")
def test_without_views__where_the_wrong_way_round_was_chosen_the_answer_is_in_the_photo(world):
    """The same nodes, but called mirrored in all photos: canonical places are turned back."""
    blind = dataclasses.replace(world.found, views=None)
    turned = dataclasses.replace(blind, mirrored=np.ones(12))
    marks = clicks_on(world, [0])
    where = locate(fit_clicks(world.graph, turned, [marks], config=VOTES), turned)
    given = ~world.mirrored
    assert cells_off(where, world.centre)[given].max() < 0.25
    assert where.mirrored.all()


def test_without_views__a_warning_says_what_to_do(world, parts):
    blind = dataclasses.replace(world.found, views=None)
    with pytest.warns(UserWarning, match="views=True") as caught:
        locate(parts, blind)
    assert [Path(one.filename).name for one in caught] == [Path(__file__).name]


def test_one_view__photos_that_were_not_mirrored():
    world = planted_world(6, mirror=False)
    views = world.found.views
    single = with_views(
        world,
        yx=views.yx[:, :1],
        score=views.score[:, :1],
        gain=views.gain[:, :1],
        maps=views.maps[:, :1],
    )
    where = locate(fit_clicks(world.graph, single, [clicks_on(world, [0])], config=VOTES), single)
    assert cells_off(where, world.centre).max() < 0.25
    assert not where.mirrored.any()


# -- frames ----------------------------------------------------------------------------------------


def test_frames__answers_are_in_the_photos_unit_square():
    """Photos of which the network sees a part each, two of them with rims around (letterbox)."""
    frames = np.array(
        [
            [[0.1, 0.75 / SIDE], [0.25, 0.5 / SIDE]],
            [[0.0, 1 / SIDE], [0.3, 0.4 / SIDE]],
            [[-0.5, 2 / SIDE], [0.0, 1 / SIDE]],
            [[0.2, 0.3 / SIDE], [-0.1, 1.2 / SIDE]],
        ]
    )
    whole, world = planted_world(4), planted_world(4, frames=frames)
    marks = clicks_on(world, [1], size=(0.2, 0.1))
    where = locate(fit_clicks(world.graph, world.found, [marks], config=VOTES), world.found)
    assert cells_off(where, world.centre).max() < 0.25
    expected = frames[..., 0] + frames[..., 1] * SIDE * whole.centre
    np.testing.assert_allclose(where.yx, expected, atol=0.25 / GRID * 2)
    np.testing.assert_allclose(where.frames[..., 0], frames[..., 0], atol=1e-6)
    np.testing.assert_allclose(where.frames[..., 1], frames[..., 1] * SIDE, rtol=1e-6)
    # A box as large for the network is larger in a photo that is shown smaller.
    size = np.array([0.2 / 1.0, 0.1 / 0.4]) * frames[..., 1] * SIDE
    np.testing.assert_allclose(where.size, size, rtol=1e-5)


# -- files, threads --------------------------------------------------------------------------------


def test_saved_parts__locate_alike(world, tmp_path):
    marks = [clicks_on(world, [0, 1, 2], "head"), clicks_on(world, [3], "tail", offset=(10, 5))]
    parts = fit_clicks(world.graph, world.found, marks, config=ALL)
    parts.save(tmp_path / "parts.safetensors")
    again = type(parts).load(tmp_path / "parts.safetensors")
    same(locate(again, world.found), locate(parts, world.found))


def test_answers__do_not_depend_on_the_number_of_threads(world):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("Numba was started with one thread")
    marks, before, each = [clicks_on(world, [0, 1])], numba.get_num_threads(), []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            each.append(locate(fit_clicks(world.graph, world.found, marks), world.found))
    finally:
        numba.set_num_threads(before)
    same(*each)


# -- what cannot be located ------------------------------------------------------------------------


def test_no_photos__no_answers(world, parts):
    none = locate(parts, world.found.take(np.array([], dtype=int)))
    assert len(none) == 0
    assert none.probability.shape == (0, GRID, GRID)
    everything = fit_clicks(world.graph, world.found, [clicks_on(world, [0])], config=ALL)
    assert len(locate(everything, world.found.take(np.array([], dtype=int)))) == 0


def test_matches_of_another_graph__are_an_error(world, parts):
    other = dataclasses.replace(world.found, header={"graph_hash": "another"})
    for matches in (other, planted_world(12, nodes=10).found):
        with pytest.raises(ExplGraphError, match=r"those of another graph: match .* parts\.graph"):
            locate(parts, matches)


def test_boxes_without_views__are_an_error(world, parts):
    images = tuple(f"a.jpg#{i}" for i in range(12))
    boxes = dataclasses.replace(world.found, images=images)
    assert locate(parts, boxes).images == images
    with pytest.raises(ExplGraphError, match=r"boxes in photos need matches with views"):
        locate(parts, dataclasses.replace(boxes, views=None))


@pytest.mark.parametrize(("look", "scene"), [(4, 0), (0, 12)])
def test_locate__maps_of_another_layer_are_refused(world, parts, look, scene):
    changes = {"look": np.zeros((1, 9, look)), "scene": np.zeros((1, scene)), "trait": np.zeros(0)}
    aogs = (dataclasses.replace(parts.aogs[0], **changes),)
    others = dataclasses.replace(parts, aogs=aogs, look_mean=np.zeros(look))
    with pytest.raises(ExplGraphError, match="not those of the layer that the parts were fitted"):
        locate(others, world.found)
