"""Patches: cut where they should be, in the right size, from the right photos."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.patches import (
    best_photos,
    cut_field,
    cut_patch,
    field_size,
    load_each,
    node_patches,
    patch_share,
)
from explgraph.photos.images import LoadedImage, open_images
from tests.support.planted import planted_graph
from tests.support.planted_dots import photo_with_dot, planted_matches

GREY = (0xD9, 0xDB, 0xDF)
WHOLE = np.array([[0.0, 1.0], [0.0, 1.0]])


def cut_by_hand(photo: np.ndarray, y: float, x: float, height: int, width: int) -> np.ndarray:
    """The same out of an array with a wide grey border."""
    padded = np.empty((120 + 800, 160 + 800, 3), dtype=np.uint8)
    padded[:] = GREY
    padded[400:520, 400:560] = photo
    top, left = round(y - height / 2 + 1e-9) + 400, round(x - width / 2 + 1e-9) + 400
    return padded[top : top + height, left : left + width]


@pytest.mark.parametrize(("y", "x"), [(60.5, 80.5), (60.0, 81.0), (3.2, 158.9), (119.9, 0.1)])
@pytest.mark.parametrize("size", [(0.25, 0.5), (0.6, 0.1), (1.5, 2.2)])
def test_cuts__against_a_padded_array(y, x, size):
    photo, place = photo_with_dot(60, 80), np.array([y / 120, x / 160])
    loaded = LoadedImage(Image.fromarray(photo), WHOLE, (120, 160))
    height, width = round(size[0] * 120), round(size[1] * 160)
    expected = cut_by_hand(photo, y, x, height, width)
    np.testing.assert_array_equal(cut_field(loaded, place, size), expected)
    expected = cut_by_hand(photo, y, x, height, height)  # a share of the shorter side
    np.testing.assert_array_equal(cut_patch(loaded, place, size[0]), expected)


def test_cuts__of_a_box_are_placed_and_sized_by_the_whole_photo():
    photo = photo_with_dot(70, 100)
    frame = np.array([[50 / 120, 60 / 120], [60 / 160, 90 / 160]])
    loaded = LoadedImage(Image.fromarray(photo[50:110, 60:150]), frame, (120, 160))
    centre = np.array([70.5 / 120, 100.5 / 160])
    patch = cut_field(loaded, centre, (21 / 120, 31 / 160))
    np.testing.assert_array_equal(patch, photo[60:81, 85:116])
    # A share of the box's shorter side, 60 pixels.
    np.testing.assert_array_equal(cut_patch(loaded, centre, 0.35), photo[60:81, 90:111])


def test_patch_share__is_the_field_within_bounds():
    layer = planted_graph().layers[0]
    for field, share in (((10, 10), 0.25), ((90, 110), 100 / 224), ((500, 500), 0.6)):
        assert patch_share(replace(layer, field=field), (224, 224)) == pytest.approx(share)


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_node_patches__are_the_photos_pixels(rng, is_mirrored):
    # A quarter of the shorter side is as large as a patch: nothing is resampled.
    photo = rng.integers(0, 256, (448, 600, 3), dtype=np.uint8)
    graph = planted_graph(1, 1, 1)
    graph = replace(graph, layers=(replace(graph.layers[0], field=(3, 3)),))
    source = open_images(photo[None])
    matches = planted_matches(graph, source.names, np.array([[100 / 448, 200 / 600]]))
    matches = replace(matches, mirrored=np.array([is_mirrored]))
    wanted = photo[100 - 56 : 100 + 56, 200 - 56 : 200 + 56]
    wanted = wanted[:, ::-1] if is_mirrored else wanted
    patches = node_patches(graph, matches, source, {0: [0]}, 112)
    np.testing.assert_array_equal(patches[0, 0], wanted)


def test_field_size__follows_the_frame():
    graph = planted_graph(1, 1, 1)
    layer = replace(graph.layers[0], field=(56, 112))
    found = planted_matches(graph, ("a", "b"), np.full((2, 2), 0.5))
    assert field_size(layer, found, 0, (224, 224)) == pytest.approx((0.25, 0.5))
    # b is letterboxed: its photo takes the middle half of the input's height, 112 of 224 px.
    frames = np.array([[[0, 1 / 224], [0, 1 / 224]], [[-0.5, 1 / 112], [0, 1 / 224]]])
    found = replace(found, frames=frames)
    assert field_size(layer, found, 0, (224, 224)) == pytest.approx((0.25, 0.5))
    assert field_size(layer, found, 1, (224, 224)) == pytest.approx((0.5, 0.5))


def test_best_photos__highest_first_ties_by_order_and_none_without_a_peak():
    graph = planted_graph(1, 1, 2)
    found = planted_matches(graph, tuple("abcde"), np.full((5, 2), 0.5))
    score = np.array([[1, 0], [3, 0], [0, 0], [3, 2], [2, 0]], dtype=np.float32)
    found = replace(found, score=score)
    assert best_photos(found, 0, 3) == (1, 3, 4)
    assert best_photos(found, 0, 9) == (1, 3, 4, 0)
    assert best_photos(found, 1, 9) == (3,)


def test_load_each__each_once_in_the_order_of_mention():
    source = open_images(np.arange(4, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2))
    pairs = list(load_each(source, ["000002", "000000", "000002"]))
    assert [name for name, _ in pairs] == ["000002", "000000"]
    assert [loaded.image.getpixel((0, 0))[0] for _, loaded in pairs] == [2, 0]
    with pytest.raises(ExplGraphError, match="unknown photo of the matches: '7'"):
        next(load_each(source, ["000001", "7"]))
