"""Which clicks disagree: planted ones, told in Python, on the command line, and kept in files."""

import dataclasses
import math
import warnings

import numpy as np
import pytest

import explgraph as eg
from aog import ClickedPhotos, PartConfig, Parts, fit_clicks
from aog.clicks import Clicks
from tests.support.damage import rewrite
from tests.support.plain import plain_marks
from tests.support.planted_parts import SIDE, clicks_on, planted_world

CONFIG = PartConfig(width=0.0625, merge=0.0)


@pytest.fixture(scope="module")
def world():
    return planted_world(14)


def together(*marks):
    """Clicks for one part, put together."""
    return Clicks(
        "head",
        np.concatenate([one.index for one in marks]),
        np.concatenate([one.yx for one in marks]),
        np.concatenate([one.size for one in marks]),
    )


def test_clicks_on_the_part__agree(world):
    """Rows 1 and 4 are mirrored."""
    said = fit_clicks(world.graph, world.found, [clicks_on(world, [0, 1, 3, 4])], config=CONFIG)
    clicked = said["head"].clicked
    assert clicked.images == ("00.jpg", "01.jpg", "03.jpg", "04.jpg")
    assert clicked.mirrored.tolist() == [0, 1, 0, 1]
    assert not clicked.disagrees.any()
    assert clicked.view_probability.min() > 0.9
    assert clicked.distance.max() < 0.02
    assert said.doubts() == []


def test_click_beside_the_part__is_named_with_its_distance(world):
    """Of four clicks one is 40 pixels to the right."""
    marks = together(clicks_on(world, [0, 1, 3]), clicks_on(world, [5], offset=(0, 40)))
    parts = fit_clicks(world.graph, world.found, [marks], config=CONFIG)
    clicked = parts["head"].clicked
    assert clicked.disagrees.tolist() == [False, False, False, True]
    assert clicked.elsewhere[3] > 0.95 > clicked.elsewhere[:3].max()
    assert clicked.distance[3] == pytest.approx(40 / math.hypot(SIDE, SIDE), abs=0.02)
    (doubt,) = parts.doubts()
    assert doubt.startswith("the click for 'head' in '05.jpg': the other clicks find the part 26%")


def test_photo_that_the_graph_sees_the_wrong_way_round__is_turned_and_named(world):
    facing = world.found.facing.copy()
    facing[3] = -2.0
    found = dataclasses.replace(world.found, facing=facing)
    parts = fit_clicks(world.graph, found, [clicks_on(world, [0, 1, 3])], config=CONFIG)
    clicked = parts["head"].clicked
    assert clicked.turned.tolist() == [0, 0, 1]
    assert clicked.mirrored.tolist() == [0, 1, 0]
    assert clicked.disagrees.tolist() == [False, False, True]
    (doubt,) = parts.doubts()
    assert doubt.startswith("the click for 'head' in '03.jpg': the graph alone sees the photo the")


def test_one_click__has_no_others_to_disagree_with(world):
    clicked = fit_clicks(world.graph, world.found, [clicks_on(world, [0])])["head"].clicked
    assert np.isnan(clicked.distance).all()
    assert np.isnan(clicked.elsewhere).all()
    assert not clicked.disagrees.any()


def test_view_that_is_not_known__is_named():
    clicked = ClickedPhotos(
        ("a.jpg", "b.jpg"), *np.array([[0, 1], [0.69, 0.71], [0, 0], [0.1, 0.1], [0.5, 0.95]])
    )
    assert clicked.disagrees.tolist() == [True, False]
    assert clicked.doubts() == ["'a.jpg': which way round the photo is to be seen is not known"]
    row = clicked.table.iloc[1]
    assert (row["image"], row["mirrored"], row["disagrees"]) == ("b.jpg", True, False)


def test_fit_parts__warns_of_the_photo(world):
    at = {row: world.centre[row] * SIDE - 0.5 for row in (0, 1, 3)}
    at[5] = world.centre[5] * SIDE - 0.5 + [0, 40]
    names = [f"{row:02d}.jpg" for row in at]
    marks = plain_marks(names, ["head"] * 4, list(at.values()))
    with pytest.warns(UserWarning, match=r"click for 'head' in '05\.jpg': the other .* look at it"):
        eg.fit_parts(world.graph, world.found, marks, config=CONFIG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eg.fit_parts(world.graph, world.found, marks.take(np.arange(3)), config=CONFIG)


def test_file__keeps_what_clicks_say_and_older_ones_load(world, tmp_path):
    path = tmp_path / "parts.safetensors"
    marks = together(clicks_on(world, [0, 1, 3]), clicks_on(world, [5], offset=(0, 40)))
    parts = fit_clicks(world.graph, world.found, [marks], config=CONFIG)
    parts.save(path)
    loaded = Parts.load(path)
    assert loaded.doubts() == parts.doubts()
    assert loaded["head"].clicked.images == parts["head"].clicked.images
    for name, array in parts["head"].clicked.to_arrays().items():
        np.testing.assert_array_equal(loaded["head"].clicked.to_arrays()[name], array)
    rewrite(path, "parts", "parts", lambda about: [{**about[0], "clicked": None}])
    for name in parts["head"].clicked.to_arrays():
        rewrite(path, "parts", f"part.0.clicked.{name}")
    whole = np.ones(len(parts["head"]), dtype=np.int32)
    rewrite(path, "parts", "part.0.clicks", lambda _: whole)
    older = Parts.load(path)
    assert older["head"].clicked is None
    assert older.doubts() == []
    assert older["head"].clicks.tolist() == whole.tolist()
