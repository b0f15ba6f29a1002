"""``explgraph evaluate --measures``, on a small network and a dozen drawings."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import explgraph as eg
from explgraph.cli.evaluate import measures as entries
from explgraph.demo.animals.drawing import draw_animal, draw_background
from explgraph.evaluation.protocol import study_peaks
from explgraph.evaluation.tables import raw_peaks
from explgraph.photos.masks import PartMasks, write_masks
from tests.cli.test_app import PARTS, ok, refused, write_csv

N_PHOTOS = 16
LAYERS = "relu2,relu3"

FACTORY = """
from collections import OrderedDict

import torch
from torch import nn

from explgraph import Preprocess

def net():
    torch.manual_seed(0)
    widths, parts = (3, 8, 12, 16), OrderedDict()
    for i in (1, 2, 3):
        parts[f"conv{i}"] = nn.Conv2d(widths[i - 1], widths[i], 4, 2, 1)
        parts[f"relu{i}"] = nn.ReLU()
    parts |= {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "top": nn.Linear(16, 5)}
    return nn.Sequential(parts), Preprocess((64, 64))
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Folders zebra (annotated, two crops of each photo), plain, background and masks."""
    folder = tmp_path_factory.mktemp("evaluate")
    drawings = [draw_animal("zebra", 100 + i) for i in range(N_PHOTOS)]
    names = tuple(f"{i:02d}.png" for i in range(N_PHOTOS))
    for name in ("zebra", "plain", "background"):
        (folder / name).mkdir()
    rows = []
    for i, (name, drawing) in enumerate(zip(names, drawings, strict=True)):
        for category in ("zebra", "plain"):
            Image.fromarray(drawing.image).save(folder / category / name)
        for part in PARTS:
            y, x = drawing.centres[drawing.parts.index(part)] * 128 - 0.5
            rows += [(name, part, x, y, f"photo {i // 2}")] * int(not np.isnan(y))
    write_csv(folder / "zebra" / "annotations.csv", ("image", "part", "x", "y", "group"), rows)
    labels = tuple(drawing.part_mask for drawing in drawings)
    write_masks(folder / "masks", PartMasks(names, drawings[0].parts, labels))
    for i in range(6):
        Image.fromarray(draw_background(i)).save(folder / "background" / f"{i}.png")
    (folder / "net.py").write_text(FACTORY)
    return folder


@pytest.fixture(scope="module")
def options(work):
    return (
        "--model", f"{work / 'net.py'}:net", "--background", work / "background",
        "--layers", LAYERS, "--device", "cpu",
    )  # fmt: skip


class Fake:
    """A measure's result: figures that say which category and seed they are of."""

    def __init__(self, category, seeds):
        self.category, self.seeds = category, seeds

    @property
    def table(self):
        rows = [
            {"category": self.category, "seed": seed, "row": row, "share": seed / 8, "nodes": n}
            for seed in self.seeds
            for row, n in (("ours", 7), ("control", float("nan")))
        ]
        return pd.DataFrame(rows)

    def to_json(self):
        return {"category": self.category, "seeds": list(self.seeds)}


@pytest.fixture
def fakes(monkeypatch):
    """Two more measures, `one` and `two`, and the categories that each was given."""
    given = {"one": [], "two": []}

    def entry(name):
        def run(category):
            given[name].append(category)
            return Fake(category.name, category.seeds)

        return entries.Measure(f"figures of {name}", run, ("row",))

    added = dict(entries.MEASURES) | {name: entry(name) for name in given}
    monkeypatch.setattr(entries, "MEASURES", added)
    return given


def test_measures__means_over_seeds_and_every_seed_in_json(work, options, fakes):
    common = ("evaluate", work / "plain", work / "zebra", *options, "--seeds", "1,4")
    data = json.loads(ok(*common, "--measures", "one,two", "--json").stdout)
    assert "means" not in data  # of tracking, which was not asked for
    assert list(data["measures"]) == ["one", "two"]
    found = data["measures"]["one"]
    assert found["categories"] == [
        {"category": "plain", "seeds": [1, 4]},
        {"category": "zebra", "seeds": [1, 4]},
    ]
    ours = {"row": "ours", "share": 2.5 / 8, "nodes": 7}
    control = {"row": "control", "share": 2.5 / 8, "nodes": None}
    assert found["means"] == [
        {"category": category, **row} for category in ("plain", "zebra") for row in (ours, control)
    ]


def test_measures__one_table_each_with_a_row_for_each_category(work, options, fakes):
    text = ok(
        "evaluate", work / "plain", work / "zebra", *options, "--seeds", "1,4", "--measures", "one"
    ).stdout
    lines = [line.split() for line in text.splitlines() if line.strip()]
    assert lines[0] == ["figures", "of", "one"]
    assert lines[1] == ["category", "row", "share", "nodes"]
    assert lines[3:] == [
        ["plain", "ours", "0.312", "7"],
        ["plain", "control", "0.312"],
        ["zebra", "ours", "0.312", "7"],
        ["zebra", "control", "0.312"],
    ]


def test_measures__share_one_run_of_the_network(work, options, fakes, monkeypatch):
    seen, extract = [], eg.pipeline.extract

    def counted(net, images, **more):
        seen.append(images.name)
        return extract(net, images, **more)

    monkeypatch.setattr("explgraph.pipeline.extract", counted)
    ok("evaluate", work / "plain", work / "zebra", *options, "--measures", "one,two")
    assert seen == ["background", "plain", "zebra"]
    for first, second in zip(fakes["one"], fakes["two"], strict=True):
        assert first.peaks is second.peaks
        assert first.background is second.background


def test_measures__groups_come_from_annotations_that_are_there(work, options, fakes):
    ok("evaluate", work / "plain", work / "zebra", *options, "--measures", "one")
    plain, zebra = fakes["one"]
    assert plain.annotations is None
    assert plain.groups == plain.peaks.images
    assert zebra.groups == tuple(f"photo {i // 2}" for i in range(N_PHOTOS))


def test_measures__tracking_alone_is_the_default_and_what_the_library_gives(work, options):
    common = ("evaluate", work / "zebra", *options, "--layers", "relu3", "--seeds", "0")
    data = json.loads(ok(*common, "--parts", "head", "--json").stdout)
    assert set(data) == {
        *("model", "weight_hash", "preprocess", "seeds"),
        *("categories", "means", "means_over_categories"),
    }
    net = eg.load_backbone(f"{work / 'net.py'}:net", device="cpu")
    peaks = eg.extract(net, work / "zebra", background=work / "background", layers=("relu3",))
    marks = eg.read_annotations(work / "zebra" / "annotations.csv")
    size = dict(zip(peaks.images, peaks.photo_size.tolist(), strict=True))
    study = study_peaks(peaks, marks, size, category="zebra", seeds=(0,), parts=("head",))
    assert data["categories"] == [json.loads(json.dumps(study.to_json()))]


def test_measures__tracking_beside_another_keeps_its_place_in_json(work, options, fakes):
    common = ("evaluate", work / "zebra", *options, "--layers", "relu3", "--seeds", "0")
    data = json.loads(ok(*common, "--measures", "one,tracking", "--json").stdout)
    assert data["means"][0]["row"] == "raw peaks"
    assert list(data["measures"]) == ["one"]


def test_measures__purity_of_masked_photos(work, options):
    """The rows, and the raw peaks' figure against the library's."""
    common = ("evaluate", work / "plain", *options, "--measures", "purity", "--seeds", "0,1")
    data = json.loads(ok(*common, "--masks", work / "masks", "--json").stdout)["measures"]["purity"]
    assert [row["row"] for row in data["means"]] == [
        *("raw maps", "raw peaks", "raw peaks, 200 best", "nodes", "nodes, 200 best"),
    ]
    net = eg.load_backbone(f"{work / 'net.py'}:net", device="cpu")
    peaks = eg.extract(
        net, work / "plain", background=work / "background", layers=LAYERS.split(","),
        progress=False,
    )  # fmt: skip
    masks = eg.read_masks(work / "masks", peaks.images)
    raw = eg.part_purity(raw_peaks(peaks), masks)
    assert data["means"][1]["purity"] == pytest.approx(raw.purity)
    by_seed = [found["nodes"]["purity"] for found in data["categories"][0]["seeds"].values()]
    assert data["means"][3]["purity"] == pytest.approx(np.mean(by_seed))
    lines = ok(*common, "--masks", work / "masks").stdout.splitlines()
    line = next(line.split() for line in lines if " raw peaks  " in line)
    assert f"{raw.purity:.3f}" in line


def test_measures__stability_needs_nothing_but_photos(work, options):
    data = json.loads(
        ok(
            *("evaluate", work / "plain", *options, "--measures", "stability", "--seeds", "0"),
            "--json",
        ).stdout
    )
    rows = data["measures"]["stability"]["means"]
    assert [row["kind"] for row in rows] == ["other half of the photos", "other seed"]
    assert all(0 <= row["found_all"] <= 1 for row in rows)


def test_measures__explained_and_fidelity_of_the_other_half(work, options):
    data = json.loads(
        ok(
            *("evaluate", work / "zebra", *options, "--measures", "explained,fidelity"),
            *("--seeds", "0,1", "--json"),
        ).stdout
    )["measures"]
    graph = data["explained"]["means"][0]
    assert (graph["category"], graph["layer"], graph["row"]) == ("zebra", "relu2", "graph")
    assert graph["part"] + graph["texture"] + graph["unexplained"] == pytest.approx(1)
    # Mined on the photos of every other group, measured on the rest: eight of sixteen.
    curves = data["fidelity"]["categories"][0]["seeds"]
    assert [curve["photos"] for curve in curves.values()] == [N_PHOTOS / 2] * 2
    last = {row["row"]: row for row in data["fidelity"]["means"]}["all"]
    by_seed = [curve["points"][-1]["kept"] for curve in curves.values()]
    assert last["kept"] == pytest.approx(np.mean(by_seed))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{}/plain", "--measures", "purety"], "unknown measure 'purety'"),
        (["{}/plain", "--measures", ","], "at least one of tracking"),
        (["{}/plain", "--measures", "purity"], "give --masks DIR"),
        (["{}/plain", "--measures", "tracking,stability"], "annotations.csv is not a file"),
        (["{}/plain", "--measures", "explained"], "give --background DIR"),
        (["{}/plain", "--measures", "stability", "--masks", "{}/masks"], "add --measures purity"),
        (["{}/plain", "--measures", "stability", "--parts", "head"], "unknown part 'head'"),
        (["{}/zebra", "--masks", "{}/masks"], "add --measures purity"),
        (
            ["{}/plain", "{}/zebra", "--measures", "purity", "--masks", "{}/masks"],
            "one folder of photos, got 2",
        ),
        (["{}", "--measures", "purity", "--masks", "{}/masks"], "taken for photos"),
        (["{}/plain", "--measures", "purity", "--masks", "{}/background"], "parts.json is missing"),
    ],
)
def test_measures__wrong_input(work, arguments, said):
    filled = [a.format(work) for a in arguments]
    model = f"{work / 'net.py'}:net"
    assert said in refused("evaluate", *filled, "--model", model, "--layers", LAYERS)
