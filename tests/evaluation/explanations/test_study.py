"""The table of explanations, on photos of one bright square whose class is its brightness."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.explanations import scores
from explgraph.evaluation.explanations.measures import insertion_deletion
from explgraph.evaluation.explanations.scores import MEASURES, ExplanationProtocol, mean_and_error
from explgraph.evaluation.explanations.study import CONTROLS, boxes_on_input, study_explanations
from explgraph.explanations.questions import ask
from explgraph.networks.backbone import Backbone, load_backbone
from explgraph.networks.preprocess import Preprocess
from explgraph.photos.annotation_files import read_annotations
from explgraph.photos.annotations import Annotations
from explgraph.photos.boxes import Box
from explgraph.photos.images import ImageItem, ImageSource, open_images

SIDE = 8
QUICK = ExplanationProtocol(steps=8, draws=1)


class Brightness(nn.Module):
    """Class 0 has twice the mean of red for its logit, class 1 that of green."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0]])[..., None, None])
            self.head.weight.copy_(torch.tensor([[20.0, 0], [0, 10]]))

    def forward(self, batch):
        return self.head(torch.relu(self.conv(batch)).mean(dim=(2, 3)))


@pytest.fixture
def net():
    same = Preprocess((SIDE, SIDE), mean=(0, 0, 0), std=(1, 1, 1))
    return Backbone(Brightness(), same, name="brightness", device="cpu")


def squares(corners, side=2):
    """Red squares on black, one a photo, by their upper left corners."""
    photos = np.zeros((len(corners), SIDE, SIDE, 3), dtype=np.uint8)
    for photo, (y, x) in zip(photos, corners, strict=True):
        photo[y : y + side, x : x + side, 0] = 250
    return photos


A, B = squares([(1, 1), (5, 4), (2, 6)]), squares([(0, 0), (4, 4)], side=3)
BOXES_A = {"000000": [Box(1, 1, 3, 3)], "000001": [Box(5, 4, 7, 6)]}


def red(question):
    return question.inputs[0, 0].numpy()


def dark(question):
    return 1 - red(question)


def study(net, photos=None, **options):
    rows = {"red": red, "dark": dark}
    categories = photos or {"a": A}
    options = {
        "rows": dict.fromkeys(categories, rows), "against": "dark", "protocol": QUICK, **options,
    }  # fmt: skip
    return study_explanations(net, categories, [], **options)


def row(study, name, category="a"):
    table = study.table
    (line,) = table[(table["row"] == name) & (table["category"] == category)].to_dict("records")
    return line


def test_table__has_the_means_of_what_the_measures_say(net):
    found = study(net, truth={"a": BOXES_A})
    line = row(found, "red")
    alone = [insertion_deletion(net, p, p[..., 0], baseline="blur", steps=8) for p in A]
    differences = [one.difference for one in alone]
    assert line["photos"] == 3
    assert line["insertion"] == pytest.approx(np.mean([one.insertion for one in alone]))
    assert line["deletion"] == pytest.approx(np.mean([one.deletion for one in alone]))
    assert line["difference"] == pytest.approx(np.mean(differences))
    assert line["difference_se"] == pytest.approx(np.std(differences, ddof=1) / math.sqrt(3))
    assert line["pointing"] == line["energy"] == 1
    assert row(found, "dark")["pointing"] == 0
    assert line["difference"] > row(found, "dark")["difference"]
    assert line["sensitivity"] > 0
    assert line["seconds"] >= 0


def test_gains__are_paired(net):
    found = study(net, truth={"a": BOXES_A})
    each = found.each.pivot(index="photo", columns="row", values=list(MEASURES))
    gain = (each["difference"]["red"] - each["difference"]["dark"]).to_numpy()
    line = row(found, "red")
    assert line["difference_gain"] == pytest.approx(gain.mean())
    assert line["difference_gain_se"] == pytest.approx(gain.std(ddof=1) / math.sqrt(3))
    assert (line["pointing_gain"], line["pointing_gain_se"]) == (1, 0)  # the third has no box
    assert row(found, "dark")["difference_gain"] == row(found, "dark")["difference_gain_se"] == 0


def test_categories__are_taken_together(net):
    found = study(net, {"a": A, "b": B}, truth={"a": BOXES_A})
    assert found.table["category"].tolist() == ["a", "a", "b", "b", "all", "all"]
    line, each = row(found, "red", "all"), found.each
    assert line["photos"] == 5
    mine = each[each["row"] == "red"]["insertion"]
    assert line["insertion"] == pytest.approx(mine.mean())
    assert line["pointing"] == 1
    assert math.isnan(row(found, "red", "b")["pointing"])


def test_rows__may_belong_to_one_category(net):
    rows = {"a": {"red": red, "dark": dark}, "b": {"dark": dark}}
    found = study(net, {"a": A, "b": B}, rows=rows)
    assert found.table["row"].tolist() == ["red", "dark", "dark", "red", "dark"]
    assert row(found, "red", "all")["photos"] == 3
    assert row(found, "red", "all")["difference_gain"] == row(found, "red")["difference_gain"]


def test_randomised__is_1_for_what_ignores_the_network(net):
    found = study(net)
    assert row(found, "red")["randomised"] == pytest.approx(1)
    without = study(net, protocol=ExplanationProtocol(steps=4, draws=0, randomise=False))
    assert math.isnan(row(without, "red")["randomised"])
    assert math.isnan(row(without, "red")["sensitivity"])


def test_explanations__that_are_not_possible_are_counted(net):
    def first_two(question):
        if question.name == "000002":
            raise ExplGraphError("too far to the right")
        return red(question)

    found = study(net, rows={"a": {"red": first_two, "dark": dark}})
    assert found.refused == {"a": {"red": "too far to the right (1 of 3 photos)"}}
    line = row(found, "red")
    assert line["photos"] == 2
    both = study(net, {"a": A[:2]})
    assert line["difference_gain"] == pytest.approx(row(both, "red")["difference_gain"])


def test_grid__compares_all_on_the_same_cells(net):
    fine = {"red": lambda q: red(q) + np.arange(SIDE * SIDE).reshape(SIDE, SIDE) / 1e6}
    coarse = {"cells": lambda q: red(q).reshape(4, 2, 4, 2).mean(axis=(1, 3))}
    protocol = ExplanationProtocol(steps=16, draws=0, grid=(4, 4), randomise=False)
    found = study(
        net, {"a": squares([(2, 4), (4, 0)])}, rows={"a": fine | coarse}, against="red",
        protocol=protocol, truth={"a": {"000000": [Box(2, 4, 4, 5)]}},
    )  # fmt: skip
    assert row(found, "cells")["difference"] > 0
    assert row(found, "cells")["pointing"] == 0.5  # of the cell's pixels
    assert found.protocol.to_json()["grid"] == [4, 4]


def test_grid__may_be_a_layer_by_name(net):
    conv = nn.Conv2d(2, 2, 3, stride=2, padding=1)
    net.module.conv = nn.Sequential(net.module.conv, conv)
    layer = next(spec for spec in net.layers() if spec.grid == (4, 4))
    options = {"steps": 4, "draws": 0, "randomise": False}
    by_name, by_layer = (
        study(net, protocol=ExplanationProtocol(grid=grid, **options))
        for grid in (layer.name, layer)
    )
    assert by_name.protocol.to_json() == by_layer.protocol.to_json()
    assert row(by_name, "red")["insertion"] == row(by_layer, "red")["insertion"]
    with pytest.raises(ExplGraphError, match="unknown layer 'top'"):
        study(net, protocol=ExplanationProtocol(grid="top"))


def test_photos__are_the_first_ones(net):
    found = study(net, protocol=ExplanationProtocol(n_photos=2, steps=2, draws=0, randomise=False))
    assert found.photos == {"a": ("000000", "000001")}
    assert len(found.each) == 4


def test_json__holds_the_table_and_how_it_was_made(net):
    value = json.loads(json.dumps(study(net).to_json()))
    assert value["photos"] == {"a": 3}
    assert value["against"] == "dark"
    assert value["protocol"]["steps"] == 8
    assert [line["row"] for line in value["table"]] == ["red", "dark"]
    assert value["table"][0]["pointing"] is None


def test_methods__of_the_library_by_name(net):
    pytest.importorskip("captum")
    found = study_explanations(
        net, {"a": A}, ["input_x_gradient", "random"], against="random", protocol=QUICK,
        truth={"a": BOXES_A},
    )  # fmt: skip
    line = row(found, "input_x_gradient")
    assert line["pointing"] == line["energy"] == 1
    assert line["difference_gain"] > 0


# -- boxes -----------------------------------------------------------------------------------------


def test_annotations__are_boxes_round_pixel_centres(net):
    """Rows 0 and 1, columns 1 and 2, the square's upper half: the centre is (0.5, 1.5), size 2."""
    marks = Annotations(
        ("000000", "000001", "000001"), ("x", "x", "y"), [(0.5, 1.5), (6, 6), (0, 0)],
        [(2, 2), (np.nan, np.nan), (2, 2)], ("0", "1", "1"),
    )  # fmt: skip
    found = study(net, truth={"a": marks}).each
    energy = found[found["row"] == "red"]["energy"].tolist()
    assert energy[:2] == [0.5, 0]
    assert math.isnan(energy[2])


def test_boxes__in_a_photo_that_is_not_square(net):
    """A photo of 40 x 16, stretched to 8 x 8, and the box in its middle, cut out."""
    photo = np.zeros((40, 16, 3), dtype=np.uint8)
    box = Box(10, 4, 20, 8)
    whole = open_images(photo[None])
    question = ask(net, whole)
    assert boxes_on_input([box], whole.load(0), question) == [Box(2, 2, 4, 4)]
    cut = ImageSource([ImageItem("a#0", 0, Box(10, 4, 30, 12))], lambda _: whole.load(0).image)
    question = ask(net, cut.load(0).image)
    assert boxes_on_input([box], cut.load(0), question) == [Box(0, 0, 4, 4)]
    assert boxes_on_input([Box(31, 0, 40, 4)], cut.load(0), question) == []


def test_boxes__of_a_photo_hold_for_what_is_cut_out_of_it(net, tmp_path):
    from PIL import Image

    Image.fromarray(np.pad(A[0], ((8, 0), (8, 0), (0, 0)))).save(tmp_path / "p.png")
    (tmp_path / "boxes.csv").write_text("image,x,y,width,height\np.png,11.5,11.5,8,8\n")
    source = open_images(tmp_path, boxes=tmp_path / "boxes.csv")
    found = study(net, {"a": source}, truth={"a": {"p.png": [Box(9, 9, 11, 11)]}})
    assert found.photos["a"] == ("p.png#0",)
    assert row(found, "red")["energy"] == 1


# -- what knows nothing of the network -------------------------------------------------------------


def test_controls__do_not_hang_on_the_network(net):
    question = ask(net, A[0])
    bump = CONTROLS["centre"](question)
    assert bump.shape == (SIDE, SIDE)
    assert np.unravel_index(bump.argmax(), bump.shape) in {(y, x) for y in (3, 4) for x in (3, 4)}
    np.testing.assert_allclose(bump, bump[::-1, ::-1])
    noise = CONTROLS["random"](question)
    assert (noise == CONTROLS["random"](question)).all()
    assert len(np.unique(noise)) == SIDE * SIDE
    edges = CONTROLS["edges"](question)
    assert edges[5:, 5:].max() == 0
    assert edges[1:3, 1:3].min() > 0


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"against": "grad_cam"}, "unknown row to compare with: 'grad_cam'"),
        ({"truth": {"b": BOXES_A}}, "unknown category 'b'; the nearest are a"),
        ({"photos": {}}, "needs photos of at least one category"),
    ],
)
def test_options__that_make_no_sense_are_refused(net, options, message):
    arguments = {"photos": {"a": A}, "rows": {"a": {"red": red}}, "against": "red", **options}
    with pytest.raises(ExplGraphError, match=message):
        study_explanations(net, methods=[], protocol=QUICK, **arguments)


def test_methods__that_do_not_exist_are_refused(net):
    with pytest.raises(ExplGraphError, match="unknown method 'gradcam'; the nearest are grad_cam"):
        study_explanations(net, {"a": A}, ["gradcam"])


def test_annotations__without_sizes_are_refused(net):
    marks = Annotations(("000000",), ("x",), [(1, 1)], [(np.nan, np.nan)], ("0",))
    with pytest.raises(ExplGraphError, match="none of the 1 annotations has a width and height"):
        study(net, truth={"a": marks})


def test_mean_and_error__leave_out_what_is_missing():
    assert mean_and_error(np.array([2.0, np.nan])) == (2, pytest.approx(math.nan, nan_ok=True))
    assert all(map(math.isnan, mean_and_error(np.array([np.nan]))))
    mean, error = mean_and_error(np.array([1.0, 2, 3, 4, np.nan]))
    assert (mean, error) == (2.5, pytest.approx(math.sqrt(5 / 3) / 2))


def test_protocol__has_its_former_name_too():
    assert scores.Protocol is ExplanationProtocol


# -- a real network --------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.slow
def test_study__of_a_real_network(shared):
    """Every control is beaten by Grad-CAM, and only Grad-CAM hangs on the weights."""
    pytest.importorskip("captum")
    net = load_backbone(
        "squeezenet1_1", shared / "models" / "squeezenet1_1.safetensors", device="cpu"
    )
    folder = shared / "animalpart" / "zebra"
    found = study_explanations(
        net, {"zebra": folder}, ["grad_cam", *CONTROLS],
        truth={"zebra": read_annotations(folder / "annotations.csv")},
        protocol=ExplanationProtocol(n_photos=3, steps=10, grid="features.12", draws=1),
    )  # fmt: skip
    table = found.table.set_index("row")
    assert (table.loc[list(CONTROLS), "difference_gain"] < 0).all()
    assert (table.loc[list(CONTROLS), "randomised"] > 0.99).all()
    assert table.loc["grad_cam", "randomised"] < 0.5
