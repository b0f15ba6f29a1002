import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import nn

import explgraph.pipeline
from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.demo.model import CLASSES
from explgraph.demo.run import MODEL
from explgraph.explanations.texture import probe as texture_probe
from explgraph.explanations.texture.changes import UNCHANGED, photo_changes, silhouettes
from explgraph.explanations.texture.probe import probe_texture
from explgraph.explanations.texture.results import Survival, TextureProbe
from explgraph.networks.backbone import Backbone, load_backbone
from explgraph.photos.images import open_images
from explgraph.photos.masks import PartMasks
from tests.support.plain import plain_matches
from tests.support.planted import planted_graph

WAYS = ["unchanged", "grey", "silhouettes", "edges", "shuffled", "low-passed", "high-passed"]
RED, BLUE, NEITHER = 0, 1, 2


class MeanColour(nn.Module):
    """Class 0 where the photo is red on the whole, 1 where it is blue, 2 where it is neither."""

    def __init__(self, class_names=None):
        super().__init__()
        if class_names:
            self.class_names = class_names

    def forward(self, x):
        red, _, blue = x.mean(dim=(2, 3)).T
        return torch.stack([red - blue, blue - red, torch.full_like(red, 0.05)], dim=1)


def colour_net(**options):
    def transform(image):
        small = image.resize((32, 32), Image.Resampling.BOX)
        return torch.from_numpy(np.asarray(small).transpose(2, 0, 1) / np.float32(255))

    return Backbone(MeanColour(**options), transform, input_size=(32, 32), device="cpu")


def coloured(*colours, size=(48, 64)):
    """Plain photos with a brighter square in the middle, sides (height, width)."""
    photos = np.zeros((len(colours), *size, 3), dtype=np.uint8)
    photos[:] = np.array(colours, dtype=np.uint8)[:, None, None]
    photos[:, 16:32, 20:40] += 40
    return photos


REDDISH, BLUISH = (120, 30, 30), (30, 30, 120)


def test_probe__answers_that_hang_on_the_mean_colour_stay_where_it_does():
    probe = probe_texture(colour_net(), coloured(REDDISH, BLUISH, REDDISH), progress=False)
    table = probe.table
    assert list(table.index) == WAYS
    # Black, white and grey are neither red nor blue; all else keeps the mean colour.
    assert table["kept_top1"].tolist() == [1, 0, 0, 0, 1, 1, 1]
    assert (table["photos"] == 3).all()
    assert probe.answers[0, :, 0].tolist() == [RED, BLUE, RED]
    assert (probe.answers[1:4, :, 0] == NEITHER).all()
    logits = torch.tensor([90 / 255, -90 / 255, 0.05])
    assert probe.confidence[0, 0] == pytest.approx(float(logits.softmax(0)[0]), abs=1e-3)
    assert "right_top1" not in table
    assert "nodes" not in table
    assert json.loads(json.dumps(probe.to_json()))["photos"] == 3


@pytest.mark.parametrize(
    ("classes", "right"), [(RED, 2 / 3), ({RED, BLUE}, 1), ([RED, BLUE, BLUE], 2 / 3)]
)
def test_probe__true_classes_in_three_forms(classes, right):
    photos = coloured(REDDISH, BLUISH, REDDISH)
    probe = probe_texture(colour_net(), photos, classes=classes, progress=False)
    table = probe.table
    assert table["right_top1"].tolist() == pytest.approx([right, 0, 0, 0, right, right, right])
    assert (table["right_top5"] == 1).all()  # there are three classes


@pytest.mark.parametrize(
    ("classes", "what"), [(7, "no classes"), (set(), "empty set"), ([RED], "1 for 2 photos")]
)
def test_probe__refuses_classes_that_do_not_fit(classes, what):
    with pytest.raises(ExplGraphError, match=what):
        probe_texture(colour_net(), coloured(REDDISH, BLUISH), classes=classes, progress=False)


def test_probe__one_photo_and_names_of_classes():
    net = colour_net(class_names=("red", "blue", "neither"))
    probe = probe_texture(net, coloured(REDDISH), progress=False)
    assert probe.class_names == ("red", "blue", "neither")
    assert len(probe) == 1


def test_probe__a_photo_that_cannot_be_read_is_left_out(tmp_path):
    for name, photo in zip("ac", coloured(REDDISH, BLUISH), strict=True):
        Image.fromarray(photo).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    classes = [RED, RED, BLUE]
    probe = probe_texture(colour_net(), tmp_path, classes=classes, progress=False)
    assert probe.images == ("a.png", "c.png")
    assert probe.table.loc["unchanged", "right_top1"] == 1


def test_probe__photos_without_a_mask_have_no_silhouette():
    labels = np.full((12, 16), NONE)
    labels[4:8, 5:10] = 0
    nothing = np.full((12, 16), NONE)
    masks = PartMasks(("000000", "000001"), ("square",), (nothing, labels))
    photos = coloured(REDDISH, BLUISH, REDDISH)
    probe = probe_texture(colour_net(), photos, masks=masks, progress=False)
    assert probe.table["photos"].tolist() == [3, 3, 1, 3, 3, 3, 3]
    assert probe.shown[2].tolist() == [False, True, False]
    assert (probe.answers[2, [0, 2]] == NONE).all()
    assert np.isnan(probe.confidence[2]).tolist() == [True, False, True]
    assert probe.table.loc["silhouettes", "kept_top1"] == 0


def test_probe__masks_of_boxes_are_cut_out_of_their_photos(tmp_path, monkeypatch):
    Image.fromarray(coloured(REDDISH)[0]).save(tmp_path / "p.png")
    (tmp_path / "boxes.csv").write_text(
        "image,x,y,width,height\np.png,15.5,23.5,32,48\np.png,47.5,31.5,32,32\n"
    )
    source = open_images(tmp_path / "p.png", boxes=tmp_path / "boxes.csv")
    labels = np.full((24, 32), NONE)  # half the photo's resolution
    labels[12:20, 20:30] = 0  # in the second box alone
    kept = {}

    def keep(objects, origin):
        kept.update(objects)
        return silhouettes(objects, origin)

    monkeypatch.setattr(texture_probe, "silhouettes", keep)
    masks = PartMasks(("p.png",), ("thing",), (labels,))
    probe = probe_texture(colour_net(), source, masks=masks, progress=False)
    assert probe.images == ("p.png#0", "p.png#1")
    assert probe.table.loc["silhouettes", "photos"] == 1
    wanted = np.zeros((16, 16), dtype=bool)
    wanted[4:12, 4:14] = True
    np.testing.assert_array_equal(kept["p.png#1"], wanted)


def test_probe__without_scikit_image_says_what_is_left_out(monkeypatch):
    monkeypatch.setattr(texture_probe, "has_skimage", lambda: False)
    probe = probe_texture(colour_net(), coloured(REDDISH), progress=False)
    assert set(probe.skipped) == {"edges", "silhouettes"}
    assert all("explgraph[explain]" in reason for reason in probe.skipped.values())
    assert list(probe.table.index) == [way for way in WAYS if way not in probe.skipped]


def test_probe__without_any_object_there_are_no_silhouettes():
    plain = np.full((2, 40, 40, 3), (120, 30, 30), dtype=np.uint8)
    probe = probe_texture(colour_net(), plain, progress=False)
    assert "no object" in probe.skipped["silhouettes"]
    assert "silhouettes" not in probe.table.index


# -- nodes ---------------------------------------------------------------------------------------

PLACE = np.array([0.5, 0.3])
# On either side of .05 diagonals = .0707.
NEAR, FAR = np.array([0.5, 0.36]), np.array([0.5, 0.38])


def planted(names, yx, score, mirrored):
    graph = planted_graph(1, 1, 2)
    yx = np.asarray(yx, dtype=float).reshape(len(names), 2, 2)
    return plain_matches(names, yx, score, graph.node_layer, mirrored=np.asarray(mirrored))


@pytest.fixture
def matched(monkeypatch):
    """Stand in for `match`: two nodes in four photos; the second photo is seen mirrored.

    Unchanged both nodes are at PLACE as the graph sees it, but the second does not fire in the last
    photo. Changed, the first node moves by less than a twentieth of the diagonal, the second by
    more; in the third photo nothing fires.
    """
    graph = replace(planted_graph(1, 1, 2), score=np.ones(2, dtype=np.float32))
    seen = []

    def match(given, net, source, *, mirror, batch_size, progress):
        assert given is graph
        names = source.names
        seen.append([source.load(i).image for i in range(len(source))])
        if mirror:
            flip = np.array([0, 1, 0, 0])
            yx = np.tile(PLACE, (4, 2, 1))
            yx[1, :, 1] = 1 - yx[1, :, 1]
            return planted(names, yx, [[1, 1], [1, 1], [1, 1], [1, 0.4]], flip)
        score = [[1, 1], [1, 1], [0, 0], [0.6, 0.6]]
        rows = [int(name) for name in names]
        moved = np.tile([NEAR, FAR], (len(rows), 1, 1))
        return planted(names, moved, np.array(score)[rows], np.zeros(len(rows)))

    monkeypatch.setattr(explgraph.pipeline, "match", match)
    return graph, seen


@pytest.fixture
def four_photos(rng):
    photos = coloured(REDDISH, REDDISH, REDDISH, REDDISH)
    photos[:, :4, :4] = 255  # tells left from right
    return photos


def test_survival__is_to_fire_where_the_node_did(matched, four_photos):
    graph, _ = matched
    probe = probe_texture(colour_net(), four_photos, graph=graph, progress=False)
    survival = probe.survival
    grey, mixed = WAYS.index("grey"), WAYS.index("shuffled")
    assert survival.fired[grey].tolist() == [4, 3]
    assert survival.fires[grey].tolist() == [3, 2]
    assert survival.survives[grey].tolist() == [3, 0]
    assert survival.survives[mixed].tolist() == [3, 2]  # anywhere
    assert survival.survives[0].tolist() == [4, 3]
    np.testing.assert_allclose(survival.by_photo[grey], [0.5, 0.5, 0, 1])
    np.testing.assert_allclose(survival.by_photo[mixed], [1, 1, 0, 1])
    # Photos 2, 3, 0, 1 are changed instead of 0, 1, 2, 3.
    np.testing.assert_allclose(survival.by_chance[grey], [0, 0.5, 0.5, 1])
    np.testing.assert_allclose(survival.by_chance[mixed], [0, 1, 1, 1])
    assert probe.table.loc["grey", ["nodes", "by_chance"]].tolist() == [0.5, 0.5]


def test_survival__photos_are_shown_as_the_graph_sees_them(matched, four_photos):
    graph, seen = matched
    probe_texture(colour_net(), four_photos, graph=graph, progress=False)
    whole, grey = seen[0], seen[1]
    for i, (before, after) in enumerate(zip(whole, grey, strict=True)):
        shown = ImageOps.mirror(after) if i == 1 else after
        np.testing.assert_array_equal(
            np.asarray(shown)[..., 0], np.asarray(before.convert("L"), dtype=np.uint8)
        )


def test_survival__counts_photos_with_a_silhouette_alone(matched, four_photos):
    graph, _ = matched
    labels = np.zeros((48, 64), dtype=int)
    masks = PartMasks(("000001", "000003"), ("all",), (labels, labels))
    probe = probe_texture(colour_net(), four_photos, graph=graph, masks=masks, progress=False)
    outline = WAYS.index("silhouettes")
    assert probe.survival.fired[outline].tolist() == [2, 1]
    assert probe.survival.survives[outline].tolist() == [2, 0]
    assert np.isnan(probe.survival.by_photo[outline, [0, 2]]).all()
    assert probe.nodes["silhouettes"].tolist() == [1, 0]


def by_hand(fired, survives):
    """A probe of four ways (unchanged, silhouettes, edges, shuffled) and P nodes."""
    changes = photo_changes()
    graph = planted_graph(1, 1, np.shape(fired)[1])
    shares = np.full((4, 9), np.nan)
    return TextureProbe(
        images=tuple("abcdefghi"),
        changes=(UNCHANGED, silhouettes({}, "given"), changes["edges"], changes["shuffled"]),
        skipped={},
        answers=np.zeros((4, 9, 1), dtype=np.int32),
        confidence=np.ones((4, 9), dtype=np.float32),
        n_classes=3,
        graph=graph,
        survival=Survival(*np.array([fired, fired, survives]), shares, shares),
    )


def test_kinds__by_hand():
    whole = [8, 8, 8, 8, 8, 2, 8, 8]
    # The last but one has no silhouettes, but edges; the last has hardly either.
    fired = [whole, [8, 8, 8, 8, 8, 2, 0, 0], [8, 8, 8, 8, 8, 2, 8, 2], whole]
    survives = [
        whole,
        [3, 4, 0, 8, 3, 2, 0, 0],  # silhouettes
        [3, 0, 5, 8, 3, 2, 4, 0],  # edges
        [4, 3, 3, 8, 3, 2, 0, 8],  # shuffled
    ]
    probe = by_hand(fired, survives)
    wanted = ["texture", "shape", "shape", "both", "neither", "rare", "shape", "rare"]
    assert probe.kinds.tolist() == wanted
    nodes = probe.nodes
    assert nodes["kind"].tolist() == wanted
    assert nodes["shuffled"].tolist() == pytest.approx([1 / 2, 3 / 8, 3 / 8, 1, 3 / 8, 1, 0, 1])
    assert math.isnan(nodes["silhouettes"].iloc[6])
    assert nodes["id"].iloc[0] == probe.graph.node_id(0)
    assert probe.to_json()["kinds"] == dict(
        zip(("texture", "shape", "both", "neither", "rare"), (1, 3, 1, 1, 2), strict=True)
    )


def test_kinds_anywhere__ask_of_all_changes_only_that_nodes_fire():
    probe = by_hand([[8, 8]] * 4, [[8, 8], [0, 0], [0, 0], [8, 8]])
    fires = np.array([[8, 8], [0, 0], [3, 4], [8, 8]])
    probe = replace(probe, survival=replace(probe.survival, fires=fires))
    assert probe.kinds.tolist() == ["texture", "texture"]
    assert probe.kinds_anywhere.tolist() == ["texture", "both"]
    assert probe.nodes["kind_anywhere"].tolist() == ["texture", "both"]


def test_agreement__is_cohens_kappa_over_the_nodes_that_are_not_rare():
    # Textures by us: 0, 1; by the other: 0, 2; node 5 is rare.
    fired = [[8, 8, 8, 8, 8, 2]] * 4
    probe = by_hand(fired, [fired[0], [0] * 6, [0] * 6, [8, 8, 0, 0, 0, 2]])
    found = probe.agreement(np.array([1, 0, 1, 0, 0, 1], dtype=bool))
    assert found[:4] == pytest.approx((5, 2 / 5, 2 / 5, 1 / 5))
    chance = 0.4 * 0.4 + 0.6 * 0.6
    assert found.kappa == pytest.approx((3 / 5 - chance) / (1 - chance))
    assert probe.agreement(np.ones(6, dtype=bool)).kappa == pytest.approx(0)
    with pytest.raises(ExplGraphError, match="texture"):
        probe.agreement(np.ones(5, dtype=bool))


def test_kinds__need_a_graph_and_both_sorts_of_changes():
    probe = by_hand([[8]] * 4, [[8]] * 4)
    with pytest.raises(ExplGraphError, match="without a graph"):
        _ = replace(probe, survival=None, graph=None).kinds
    rows = Survival(*(array[:3] for array in (
        probe.survival.fired, probe.survival.fires, probe.survival.survives,
        probe.survival.by_photo, probe.survival.by_chance,
    )))  # fmt: skip
    less = replace(
        probe, changes=probe.changes[:3], survival=rows, answers=probe.answers[:3],
        skipped={"shuffled": "no patience"},
    )  # fmt: skip
    with pytest.raises(ExplGraphError, match=r"texture alone.*no patience"):
        _ = less.kinds


# -- with a real network -------------------------------------------------------------------------


@pytest.mark.slow
def test_probe__leaves_the_network_as_it_was_and_repeats_itself(world):
    net, photos, graph = load_backbone(MODEL), world.photos, world.graph
    net.module.train()
    before = {name: tensor.clone() for name, tensor in net.module.state_dict().items()}
    first, again = (
        probe_texture(net, photos[:6], graph=graph, batch_size=size, seed=5, progress=False)
        for size in (6, 6)
    )
    assert net.module.training
    net.module.eval()
    after = net.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in net.module.parameters())
    assert not any(m._forward_hooks for m in net.module.modules())
    assert (first.answers == again.answers).all()
    assert (first.survival.survives == again.survival.survives).all()


@pytest.mark.slow
def test_probe__of_drawn_fish(world):
    options = {"graph": world.graph, "classes": CLASSES.index("fish"), "progress": False}
    probe = probe_texture(world.net, world.photos, **options)
    table = probe.table
    assert table.loc["unchanged", "nodes"] == 1
    assert table.loc["grey", "nodes"] > 2 * table.loc["grey", "by_chance"]
    assert table.loc["grey", "nodes"] > table.loc["low-passed", "nodes"]
    assert table.loc["grey", "right_top1"] > 0.7
    assert set(probe.kinds) <= {"texture", "shape", "both", "neither", "rare"}


@pytest.mark.shared
def test_probe__a_photo_network_goes_by_the_zebras_texture(shared):
    """As Geirhos et al. found of networks trained on ImageNet; figures in docs/texture.md."""
    from explgraph.networks.backbone import load_backbone

    net = load_backbone("squeezenet1_0", shared / "models" / "squeezenet1_0.safetensors")
    photos = sorted((shared / "animalpart" / "zebra").glob("*.jpg"))[::10]
    table = probe_texture(net, photos, classes=340, progress=False).table
    assert table.loc["unchanged", "right_top1"] > 0.8
    assert table.loc["shuffled", "kept_top1"] > 0.6
    assert table.loc[["silhouettes", "edges"], "kept_top5"].max() < 0.2
