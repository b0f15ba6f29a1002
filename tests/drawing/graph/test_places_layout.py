"""Panels beside each other, and boxes near their places that do not overlap."""

import itertools

import numpy as np
import pytest

from explgraph.drawing.graph.places_layout import HEADING, Boxes, lay_panels, spread_out

FIELD = np.array([[0.0, 0.0], [400.0, 400.0]])


def pictures(count, drop=0.0):
    return Boxes(np.tile([50.0, 40.0], (count, 1)), drop, True)


def labels(widths):
    return Boxes(np.array([[12.0, width] for width in widths]), 0.0, False)


def overlap(a, b, size_a, size_b):
    """Tell whether two boxes share more than a border."""
    return all(
        abs(p - q) < (s + t) / 2 - 1e-6 for p, q, s, t in zip(a, b, size_a, size_b, strict=True)
    )


def covers(box, size, place):
    return all(abs(p - q) < s / 2 - 1e-6 for p, q, s in zip(box, place, size, strict=True))


def test_spread_out__boxes_with_room_stay_at_their_places():
    places = np.array([[60.0, 60.0], [200.0, 60.0], [200.0, 300.0]])
    assert spread_out(places, pictures(3), FIELD).tolist() == places.tolist()
    lower = spread_out(places, pictures(3, drop=7.0), FIELD)
    assert (lower - places).tolist() == [[7, 0]] * 3


@pytest.mark.parametrize("kind", ["pictures", "labels"])
@pytest.mark.parametrize("spread", [0.0, 20.0, 150.0])
def test_spread_out__no_two_boxes_overlap_and_none_leaves(kind, spread):
    rng = np.random.default_rng(3)
    places = np.clip(rng.normal(200, spread, (60, 2)), 5, 395)
    boxes = pictures(60) if kind == "pictures" else labels(rng.uniform(12, 60, 60))
    middles = spread_out(places, boxes, FIELD)
    placed = [i for i in range(60) if np.isfinite(middles[i]).all()]
    assert len(placed) > 5
    for i in placed:
        half = boxes.sizes[i] / 2
        assert np.all(middles[i] - half >= FIELD[0] - 1e-6)
        assert np.all(middles[i] + half <= FIELD[1] + 1e-6)
        assert np.all(np.abs(middles[i] - places[i]) <= 2 * boxes.sizes[i] + 1e-6)
    for i, j in itertools.combinations(placed, 2):
        assert not overlap(middles[i], middles[j], boxes.sizes[i], boxes.sizes[j])


def test_spread_out__labels_hide_no_place():
    rng = np.random.default_rng(4)
    places = rng.normal(200, 40, (30, 2))
    boxes = labels([30.0] * 30)
    middles = spread_out(places, boxes, FIELD)
    for middle in middles[np.isfinite(middles[:, 0])]:
        assert not any(covers(middle, (12.0, 30.0), place) for place in places)


def test_spread_out__pictures_move_aside_for_a_place_they_would_hide():
    places = np.array([[200.0, 200.0], [200.0, 210.0]])
    first, second = spread_out(places, pictures(2), FIELD)
    assert not covers(first, (50, 40), places[1])
    assert not covers(second, (50, 40), places[0])
    # Nothing is hidden: the picture alone stays.
    assert spread_out(places[:1], pictures(1), FIELD).tolist() == places[:1].tolist()


def test_spread_out__the_first_come_first():
    places = np.full((40, 2), 200.0)
    middles = spread_out(places, pictures(40), FIELD)
    has_room = np.isfinite(middles[:, 0])
    assert 9 <= has_room.sum() < 40
    assert not has_room[int(has_room.sum()) :].any()
    away = np.linalg.norm((middles[has_room] - 200) / (50, 40), axis=1)
    assert away[1] <= away[-1]


def test_spread_out__a_field_too_small_for_a_box():
    field = np.array([[0.0, 0.0], [30.0, 30.0]])
    assert np.isnan(spread_out(np.full((2, 2), 15.0), pictures(2), field)).all()


@pytest.mark.parametrize("n_panels", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("aspect", [1.0, 1.6, 0.5])
def test_lay_panels__frames_stand_apart_with_room_for_headings(n_panels, aspect):
    panel = np.repeat(np.arange(n_panels), 4)
    share = np.random.default_rng(0).random((len(panel), 2))
    panels = lay_panels(panel, share, np.arange(len(panel)), pictures(len(panel)), aspect)
    height, width = panels.frame
    assert width / height == pytest.approx(aspect)
    assert max(width, height) >= 300
    for top, left in panels.corners:
        assert top - panels.margin[0] >= HEADING - 1e-6
        assert left >= panels.margin[1] - 1e-6
        assert top + height + panels.margin[0] <= panels.size[0] + 1e-6
        assert left + width + panels.margin[1] <= panels.size[1] + 1e-6
    for a, b in itertools.combinations(panels.corners, 2):
        below = abs(a[0] - b[0]) >= height + 2 * panels.margin[0] + HEADING
        assert below or abs(a[1] - b[1]) >= width + 2 * panels.margin[1]
    np.testing.assert_allclose((panels.yx - panels.corners[panel]) / panels.frame, share)
    rows = len(np.unique(panels.corners[:, 0]))
    columns = len(np.unique(panels.corners[:, 1]))
    assert rows * columns - n_panels < max(columns, 2)
    if n_panels == 4:
        assert rows in (1, 2, 4)  # never three and one


def test_lay_panels__many_nodes_get_a_larger_frame():
    sides = []
    for count in (5, 50, 1000):
        share = np.random.default_rng(0).random((count, 2))
        panel = np.zeros(count, dtype=int)
        panels = lay_panels(panel, share, np.arange(count), pictures(count), 1.0)
        sides.append(panels.frame[0])
    assert sides[0] < sides[1] < sides[2] <= 800


def test_lay_panels__the_best_ranked_keep_their_place():
    share = np.full((6, 2), 0.5)
    rank = np.array([5, 4, 3, 0, 1, 2])
    panels = lay_panels(np.zeros(6, dtype=int), share, rank, labels([20.0] * 6), 1.0)
    away = np.linalg.norm(panels.boxes - panels.yx, axis=1)
    assert np.argmin(away) == 3
