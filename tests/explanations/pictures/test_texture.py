from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.explanations.pictures import texture as texture_drawing
from explgraph.explanations.pictures.texture import draw_texture
from explgraph.explanations.texture.changes import UNCHANGED, photo_changes, silhouettes
from explgraph.explanations.texture.results import Survival, TextureProbe
from tests.support.planted import planted_graph

BLUE = (0x40, 0x95, 0xC5)  # three quarters of COLORS[0], the rest white
ORANGE, GREEN = (0xE6, 0x9F, 0x00), (0x00, 0x9E, 0x73)
LEFT, TILE, GAP = 200, 118, 14


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


def bar_heights(sheet, ways):
    """Height of the blue in each row of bars, at the left border of each way's column, pixels."""
    rows = []
    columns = [is_color(sheet[:, LEFT + way * (TILE + GAP) + 3], BLUE) for way in range(ways)]
    y, edges = columns[0], []  # unchanged: everything is kept, so every row of bars is seen
    change = np.flatnonzero(np.diff(y.astype(int)))
    for start, stop in zip(change[::2], change[1::2], strict=True):
        edges.append((start + 1, stop + 1))
    gaps = [edges[0]]
    for start, stop in edges[1:]:  # a mark divides a bar
        if start - gaps[-1][1] <= 4:
            gaps[-1] = (gaps[-1][0], stop)
        else:
            gaps.append((start, stop))
    for start, stop in gaps:
        marked = [column[start:stop] for column in columns]
        rows.append([0 if not m.any() else len(m) - int(np.argmax(m)) for m in marked])
    return rows


def test_draw__bars_are_as_high_as_the_shares(tmp_path, photos):
    draw_texture(planted_probe(), photos, tmp_path / "new" / "t.png")
    answers, nodes = bar_heights(drawn(tmp_path / "new" / "t.png"), 5)
    full = answers[0]
    assert full == pytest.approx(84, abs=1)
    assert np.array(answers) / full == pytest.approx([1, 0.8, 0.5, 0, 0.2], abs=0.04)
    assert np.array(nodes) / full == pytest.approx([1, 0.9, 0.6, 0.1, 0.75], abs=0.04)


def test_draw__kinds_of_each_layer_take_their_share(tmp_path, photos):
    draw_texture(planted_probe(), photos, tmp_path / "t.png")
    sheet = drawn(tmp_path / "t.png")
    orange, green = is_color(sheet, ORANGE), is_color(sheet, GREEN)
    wide = orange.sum(axis=1) > 100
    starts = np.flatnonzero(np.diff(wide.astype(int)) == 1) + 1
    assert len(starts) == 2
    shares = [orange[y].sum() / (orange[y].sum() + green[y].sum()) for y in starts]
    assert shares == pytest.approx([1 / 4, 3 / 4], abs=0.01)  # the top layer above


def test_draw__shows_the_changed_photo(tmp_path):
    photo = np.zeros((1, 118, 118, 3), dtype=np.uint8)  # as large as a tile
    photo[0, :59] = (200, 0, 0)
    probe = planted_probe()
    draw_texture(probe, np.repeat(photo, 10, axis=0), tmp_path / "t.png", 3)
    sheet = drawn(tmp_path / "t.png")
    assert is_color(sheet[:, LEFT : LEFT + TILE], (200, 0, 0)).sum() == 59 * 118
    grey = sheet[:, LEFT + TILE + GAP : LEFT + 2 * TILE + GAP]
    assert is_color(grey, (60, 60, 60)).sum() >= 59 * 118  # .299 * 200


def test_draw__without_a_graph_with_truth_and_many_classes(tmp_path, photos):
    many = replace(planted_probe(), n_classes=1000, truth=(frozenset([1]),) * 10)
    draw_texture(replace(many, graph=None, survival=None), photos, tmp_path / "t.png")
    rows = bar_heights(drawn(tmp_path / "t.png"), 5)
    assert len(rows) == 2
    assert rows[0] == rows[1]
    assert not is_color(drawn(tmp_path / "t.png"), ORANGE).any()


def test_draw__by_default_a_photo_that_all_changes_show(tmp_path, photos, monkeypatch):
    probe = planted_probe()
    answers = probe.answers.copy()
    answers[2, :4] = NONE
    shown = []
    each = texture_drawing.load_each

    def load(source, names):
        shown.extend(names)
        return each(source, names)

    monkeypatch.setattr(texture_drawing, "load_each", load)
    draw_texture(replace(probe, answers=answers), photos, tmp_path / "t.png")
    draw_texture(replace(probe, answers=answers), photos, tmp_path / "t.jpg", "000002")
    assert shown == ["000004", "000002"]


def test_draw__a_change_that_a_photo_does_not_allow_leaves_its_place_empty(tmp_path, photos):
    probe = planted_probe()
    changes = list(probe.changes)
    changes[2] = silhouettes({"000000": np.ones((2, 2), dtype=bool)}, "given")
    probe = replace(probe, changes=tuple(changes))
    draw_texture(probe, photos, tmp_path / "a.png", 0)
    draw_texture(probe, photos, tmp_path / "b.png", 1)
    column = slice(LEFT + 2 * (TILE + GAP), LEFT + 2 * (TILE + GAP) + TILE)
    black = [
        is_color(drawn(tmp_path / f)[:240, column], (0, 0, 0)).sum() for f in ("a.png", "b.png")
    ]
    assert black[0] > 5000 > 100 > black[1]


def test_draw__long_and_foreign_names_fit(tmp_path, photos):
    graph = planted_graph(2, 4, 1)
    layers = tuple(replace(one, name=f"{'block.' * 30}{one.name}") for one in graph.layers)
    names = tuple(f"{'très_long_' * 8}{'斑馬'}{i}" for i in range(1000))
    probe = replace(planted_probe(), graph=replace(graph, layers=layers), class_names=names)
    draw_texture(probe, photos, tmp_path / "t.png")
    assert drawn(tmp_path / "t.png").shape[1] == 2 * 28 + 172 + 5 * TILE + 4 * GAP


@pytest.mark.parametrize(
    ("photo", "name", "what"),
    [(10, "t.png", "no photo 10"), ("x", "t.png", "photo of the probe"), (0, "t.svg", "format")],
)
def test_draw__refuses_what_is_not_there(tmp_path, photos, photo, name, what):
    with pytest.raises(ExplGraphError, match=what):
        draw_texture(planted_probe(), photos, tmp_path / name, photo)
    assert not list(tmp_path.iterdir())
