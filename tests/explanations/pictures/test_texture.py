from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.explanations.pictures.texture import bars, draw_texture, kind_shares, shown_row
from explgraph.explanations.texture.changes import UNCHANGED, photo_changes, silhouettes
from explgraph.explanations.texture.results import KINDS, Survival, TextureProbe
from tests.support.planted import planted_graph

BLUE = (0x40, 0x95, 0xC5)  # three quarters of COLORS[0], the rest white
ORANGE, GREEN = (0xE6, 0x9F, 0x00), (0x00, 0x9E, 0x73)


def planted_probe(**options):
    """Ten photos in five ways; the answer stays in 10, 8, 5, 0 and 2 of them."""
    changes = photo_changes()
    n, kept = 10, (10, 8, 5, 0, 2)
    answers = np.ones((5, n, 5), dtype=np.int32)
    for row, count in enumerate(kept):
        answers[row, count:, 0] = 0
    graph = planted_graph(2, 4, 1)
    fired = np.full((5, 8), 10)
    survives = fired.copy()
    survives[3, :] = 0  # edges
    survives[2, [0, 1, 2, 4]] = 0  # silhouettes: half of the nodes are textures, half both
    share = np.tile(np.array([1, 0.9, 0.6, 0.1, 0.75])[:, None], (1, n))
    return TextureProbe(
        images=tuple(f"{i:06d}" for i in range(n)),
        changes=(
            UNCHANGED,
            changes["grey"],
            silhouettes({f"{i:06d}": np.ones((2, 2), dtype=bool) for i in range(n)}, "given"),
            changes["edges"],
            changes["shuffled"],
        ),
        skipped={},
        answers=answers,
        confidence=np.full((5, n), 0.25, dtype=np.float32),
        n_classes=7,
        **{
            "graph": graph,
            "survival": Survival(fired, fired, survives, share, share / 2),
            **options,
        },
    )


@pytest.fixture
def photos(rng):
    return rng.integers(0, 256, (10, 40, 60, 3), dtype=np.uint8)


def drawn(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def is_color(pixels, color):
    return (np.abs(pixels - color) <= 1).all(axis=-1)


KEPT, NODES = [1, 0.8, 0.5, 0, 0.2], [1, 0.9, 0.6, 0.1, 0.75]


def test_bars__are_the_shares():
    answers, nodes = bars(planted_probe())
    np.testing.assert_allclose(answers.values, KEPT)
    np.testing.assert_allclose(nodes.values, NODES)
    assert answers.marks is None  # of seven classes, the best five say nothing
    np.testing.assert_allclose(nodes.marks, np.array(NODES) / 2)
    many = replace(planted_probe(), n_classes=1000, truth=(frozenset([1]),) * 10)
    kept, right = bars(replace(many, graph=None, survival=None))
    np.testing.assert_allclose(kept.values, right.values)
    np.testing.assert_allclose(kept.marks, right.marks)
    assert kept.marks is not None


def test_kind_shares__are_those_of_each_layer():
    probe = planted_probe()
    shares = dict(zip(KINDS, kind_shares(probe.graph, probe.kinds).T, strict=True))
    assert shares["texture"].tolist() == [0.75, 0.25]
    assert shares["both"].tolist() == [0.25, 0.75]


def test_shown_row__is_by_default_a_photo_that_all_changes_show():
    answers = planted_probe().answers.copy()
    answers[2, :4] = NONE
    probe = replace(planted_probe(), answers=answers)
    assert [shown_row(probe, photo) for photo in (None, "000002", 3)] == [4, 2, 3]


def test_draw__marks_are_as_large_as_the_shares(tmp_path, photos):
    draw_texture(planted_probe(), photos, tmp_path / "new" / "t.png")
    sheet = drawn(tmp_path / "new" / "t.png")
    blue = is_color(sheet, BLUE).sum(axis=0)
    heights = [column[0] for column in np.split(blue, np.flatnonzero(np.diff(blue > 0)) + 1)]
    expected = np.array(KEPT) + NODES
    assert np.array(heights[1::2]) / heights[1] == pytest.approx(expected / 2, abs=0.04)
    orange, green = (is_color(sheet, color).sum(axis=1) for color in (ORANGE, GREEN))
    wide = orange + green > 100
    share = orange[wide] / (orange + green)[wide]
    assert share[[0, -1]] == pytest.approx([1 / 4, 3 / 4], abs=0.01)  # the top layer above
    draw_texture(replace(planted_probe(), graph=None, survival=None), photos, tmp_path / "u.png")
    assert not is_color(drawn(tmp_path / "u.png"), ORANGE).any()


def test_draw__shows_the_photo_in_all_changes_that_it_allows(tmp_path):
    photo = np.zeros((1, 118, 118, 3), dtype=np.uint8)  # as large as a tile
    photo[0, :59] = (200, 0, 0)
    probe, photos = planted_probe(), np.repeat(photo, 10, axis=0)
    changes = list(probe.changes)
    changes[2] = silhouettes({"000000": np.ones((2, 2), dtype=bool)}, "given")
    probe = replace(probe, changes=tuple(changes))
    draw_texture(probe, photos, tmp_path / "a.png", 0)
    draw_texture(probe, photos, tmp_path / "b.png", 3)
    whole, without = (drawn(tmp_path / name) for name in ("a.png", "b.png"))
    red, grey = is_color(without, (200, 0, 0)), is_color(without, (60, 60, 60))  # .299 * 200
    assert red[:, : np.flatnonzero(grey.sum(axis=0) > 50)[0]].sum() == 59 * 118
    assert grey.sum() >= 59 * 118
    assert is_color(whole, (0, 0, 0)).sum() - is_color(without, (0, 0, 0)).sum() > 118 * 118 / 2


def test_draw__long_and_foreign_names_fit(tmp_path, photos):
    graph = planted_graph(2, 4, 1)
    layers = tuple(replace(one, name=f"{'block.' * 30}{one.name}") for one in graph.layers)
    names = tuple(f"{'très_long_' * 8}{'斑馬'}{i}" for i in range(1000))
    probe = replace(planted_probe(), graph=replace(graph, layers=layers), class_names=names)
    draw_texture(probe, photos, tmp_path / "t.png")
    draw_texture(planted_probe(), photos, tmp_path / "u.png")
    assert drawn(tmp_path / "t.png").shape[1] == drawn(tmp_path / "u.png").shape[1]


@pytest.mark.parametrize(
    ("photo", "name", "what"),
    [(10, "t.png", "no photo 10"), ("x", "t.png", "photo of the probe"), (0, "t.svg", "format")],
)
def test_draw__refuses_what_is_not_there(tmp_path, photos, photo, name, what):
    with pytest.raises(ExplGraphError, match=what):
        draw_texture(planted_probe(), photos, tmp_path / name, photo)
    assert not list(tmp_path.iterdir())
