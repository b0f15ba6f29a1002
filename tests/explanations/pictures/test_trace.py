"""The picture of a trace."""

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.look import COLORS
from explgraph.explanations.pictures.trace import draw_trace
from explgraph.explanations.trace import trace


@pytest.fixture(scope="module")
def chain(world):
    return trace(world.graph, world.net, world.source.renamed(world.names).take([0]))


def share_of(picture, color):
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(np.asarray(picture, dtype=int) - rgb).max(axis=-1) < 12).mean()


def test_draw_trace__shows_both_layers_and_is_the_same_again(world, chain, tmp_path):
    shown = draw_trace(chain, world.source, tmp_path / "trace.png")
    assert shown.size[0] > 800 < shown.size[1]
    assert all(share_of(shown, color) > 0.002 for color in COLORS[:2])
    assert share_of(shown, COLORS[2]) < 0.002
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(Image.open(tmp_path / "trace.png")))
    again = draw_trace(chain, Image.fromarray(world.photos[0]))
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(again))


def test_draw_trace__refuses_other_photos_and_names(world, chain, tmp_path):
    with pytest.raises(ExplGraphError, match="picture format"):
        draw_trace(chain, world.source, tmp_path / "trace.svg")
    with pytest.raises(ExplGraphError, match="matches"):
        draw_trace(chain, world.photos[1:4])
