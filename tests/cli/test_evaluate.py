"""``explgraph evaluate``, on a small network and drawings."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import explgraph as eg
from explgraph.cli.evaluate import measures as entries
from explgraph.evaluation.protocol import study_peaks
from explgraph.evaluation.tables import raw_peaks
from tests.support.commands import ok, refused, write_csv
from tests.support.world import N_PHOTOS, SMALL_LAYERS

LAYERS = ",".join(SMALL_LAYERS)
PARTS = ("head", "tail")


@pytest.fixture(scope="module")
def options(files):
    return (
        "--model", files.small_model, "--background", files.background,
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


def test_measures__means_over_seeds_and_every_seed_in_json(files, options, fakes):
    common = ("evaluate", files.photos, files.annotated, *options, "--seeds", "1,4")
    data = json.loads(ok(*common, "--measures", "one,two", "--json").stdout)
    assert "means" not in data  # of tracking, which was not asked for
    assert list(data["measures"]) == ["one", "two"]
    found = data["measures"]["one"]
    assert found["categories"] == [
        {"category": "photos", "seeds": [1, 4]},
        {"category": "annotated", "seeds": [1, 4]},
    ]
    ours = {"row": "ours", "share": 2.5 / 8, "nodes": 7}
    control = {"row": "control", "share": 2.5 / 8, "nodes": None}
    assert found["means"] == [
        {"category": category, **row}
        for category in ("photos", "annotated")
        for row in (ours, control)
    ]


def test_measures__one_table_each_with_a_row_for_each_category(files, options, fakes):
    text = ok(
        "evaluate", files.photos, files.annotated, *options, "--seeds", "1,4", "--measures", "one"
    ).stdout
    lines = [line.split() for line in text.splitlines() if line.strip()]
    assert lines[0] == ["figures", "of", "one"]
    assert lines[1] == ["category", "row", "share", "nodes"]
    assert lines[3:] == [
        ["photos", "ours", "0.312", "7"],
        ["photos", "control", "0.312"],
        ["annotated", "ours", "0.312", "7"],
        ["annotated", "control", "0.312"],
    ]


def test_measures__share_one_run_of_the_network(files, options, fakes, monkeypatch):
    seen, extract = [], eg.pipeline.extract

    def counted(net, images, **more):
        seen.append(Path(images).name)
        return extract(net, images, **more)

    monkeypatch.setattr("explgraph.pipeline.extract", counted)
    ok("evaluate", files.photos, files.annotated, *options, "--measures", "one,two")
    assert seen == ["background", "photos", "annotated"]
    for first, second in zip(fakes["one"], fakes["two"], strict=True):
        assert first.peaks is second.peaks
        assert first.background is second.background


def test_measures__groups_come_from_annotations_that_are_there(files, options, fakes):
    ok("evaluate", files.photos, files.annotated, *options, "--measures", "one")
    plain, annotated = fakes["one"]
    assert plain.annotations is None
    assert plain.groups == plain.peaks.images
    assert annotated.groups == tuple(f"photo {i // 2}" for i in range(N_PHOTOS))


def test_measures__tracking_alone_is_the_default_and_what_the_library_gives(files, options):
    common = ("evaluate", files.annotated, *options, "--layers", "relu3", "--seeds", "0")
    data = json.loads(ok(*common, "--parts", "head", "--json").stdout)
    assert set(data) == {
        *("model", "weight_hash", "preprocess", "seeds"),
        *("categories", "means", "means_over_categories"),
        *("seconds", "photos_per_second"),
    }
    net = eg.load_backbone(files.small_model, device="cpu")
    peaks = eg.extract(net, files.annotated, background=files.background, layers=("relu3",))
    marks = eg.read_annotations(files.annotated / "annotations.csv")
    size = dict(zip(peaks.images, peaks.photo_size.tolist(), strict=True))
    study = study_peaks(peaks, marks, size, category="annotated", seeds=(0,), parts=("head",))
    assert data["categories"] == [json.loads(json.dumps(study.to_json()))]


def test_measures__tracking_beside_another_keeps_its_place_in_json(files, options, fakes):
    common = ("evaluate", files.annotated, *options, "--layers", "relu3", "--seeds", "0")
    data = json.loads(ok(*common, "--measures", "one,tracking", "--json").stdout)
    assert data["means"][0]["row"] == "raw peaks"
    assert list(data["measures"]) == ["one"]


def test_measures__purity_of_masked_photos(files, options):
    """The rows, and the raw peaks' figure against the library's."""
    common = ("evaluate", files.photos, *options, "--measures", "purity", "--seeds", "0,1")
    data = json.loads(ok(*common, "--masks", files.masks, "--json").stdout)["measures"]["purity"]
    assert [row["row"] for row in data["means"]] == [
        *("raw maps", "raw peaks", "raw peaks, 200 best", "nodes", "nodes, 200 best"),
    ]
    net = eg.load_backbone(files.small_model, device="cpu")
    peaks = eg.extract(
        net, files.photos, background=files.background, layers=LAYERS.split(","),
        progress=False,
    )  # fmt: skip
    masks = eg.read_masks(files.masks, peaks.images)
    raw = eg.part_purity(raw_peaks(peaks), masks)
    assert data["means"][1]["purity"] == pytest.approx(raw.purity)
    by_seed = [found["nodes"]["purity"] for found in data["categories"][0]["seeds"].values()]
    assert data["means"][3]["purity"] == pytest.approx(np.mean(by_seed))
    lines = ok(*common, "--masks", files.masks).stdout.splitlines()
    line = next(line.split() for line in lines if " raw peaks  " in line)
    assert f"{raw.purity:.3f}" in line


def test_measures__stability_needs_nothing_but_photos(files, options):
    data = json.loads(
        ok(
            *("evaluate", files.photos, *options, "--measures", "stability", "--seeds", "0"),
            "--json",
        ).stdout
    )
    rows = data["measures"]["stability"]["means"]
    assert [row["kind"] for row in rows] == ["other half of the photos", "other seed"]
    assert all(0 <= row["found_all"] <= 1 for row in rows)


def test_measures__explained_and_fidelity_of_the_other_half(files, options):
    data = json.loads(
        ok(
            *("evaluate", files.annotated, *options, "--measures", "explained,fidelity"),
            *("--seeds", "0,1", "--json"),
        ).stdout
    )["measures"]
    means = data["explained"]["means"]
    first = ("annotated", "all_peaks", "relu2", "graph")
    assert tuple(means[0][key] for key in ("category", "count", "layer", "row")) == first
    assert 0 < means[0]["explained"] < 1
    assert means[0]["on_object"] is None
    assert len(means) == 3 * 3 * 3  # counts, layers and all of them, rows
    # Mined on the photos of every other group, measured on the rest: half of them.
    curves = data["fidelity"]["categories"][0]["seeds"]
    assert [curve["photos"] for curve in curves.values()] == [N_PHOTOS / 2] * 2
    last = {row["row"]: row for row in data["fidelity"]["means"]}["all"]
    by_seed = [curve["points"][-1]["kept"] for curve in curves.values()]
    assert last["kept"] == pytest.approx(np.mean(by_seed))


def test_measures__edges_beside_their_controls(files, options):
    common = ("evaluate", files.photos, *options, "--seeds", "0", "--measures", "edges")
    rows = json.loads(ok(*common, "--json").stdout)["measures"]["edges"]["means"]
    assert [row["row"] for row in rows][::4] == ["largest effect", "random"]
    assert rows[0]["again"] > 0 < rows[0]["by_chance"]
    assert rows[-1]["lost"] <= 1 <= rows[-1]["parents"]


def test_measures__explained_and_kinds_of_masked_photos(files, options, tmp_path):
    """Masks say where the object is; boxes as large as the photos hold everything."""
    common = ("evaluate", files.photos, *options, "--seeds", "0")
    masked = (*common, "--measures", "explained,kinds", "--masks", files.masks)
    data = json.loads(ok(*masked, "--json").stdout)["measures"]
    row = data["explained"]["means"][0]
    assert 0 < row["on_object"] < 1
    (kinds,) = data["kinds"]["means"]
    assert kinds["part"] + kinds["texture"] + kinds["background"] == pytest.approx(1)
    printed = ok(*masked).stdout
    assert "on_object" in printed
    assert "relu2" not in printed  # people see all layers together
    boxes = tmp_path / "boxes.csv"
    names = eg.open_images(files.photos).names
    lines = [f"{name},500,500,1e4,1e4" for name in names]
    boxes.write_text("\n".join(["image,x,y,width,height", *lines]))
    boxed = (*common, "--measures", "explained", "--object-boxes", boxes)
    rows = json.loads(ok(*boxed, "--json").stdout)["measures"]["explained"]["means"]
    assert {row["on_object"] for row in rows if row["row"] == "graph"} == {1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{.photos}", "--measures", "purety"], "unknown measure 'purety'"),
        (["{.photos}", "--measures", ","], "at least one of tracking"),
        (["{.photos}", "--measures", "purity"], "give --masks DIR"),
        (["{.photos}", "--measures", "tracking,stability"], "annotations.csv does not exist"),
        (["{.photos}", "--measures", "explained"], "give --background DIR"),
        (
            ["{.photos}", "--measures", "stability", "--masks", "{.masks}"],
            "add one of them to --measures",
        ),
        (
            ["{.photos}", "--measures", "stability", "--object-boxes", "b"],
            "add --measures explained",
        ),
        (["{.photos}", "--measures", "kinds"], "give --background DIR"),
        (["{.photos}", "--measures", "stability", "--parts", "head"], "unknown part 'head'"),
        (["{.annotated}", "--masks", "{.masks}"], "add one of them to --measures"),
        (
            ["{.photos}", "{.annotated}", "--measures", "purity", "--masks", "{.masks}"],
            "one folder of photos, got 2",
        ),
        (["{.folder}", "--measures", "purity", "--masks", "{.masks}"], "taken for photos"),
        (
            ["{.photos}", "--measures", "purity", "--masks", "{.background}"],
            "parts.json is missing",
        ),
    ],
)
def test_measures__wrong_input(files, arguments, said):
    filled = [a.format(files) for a in arguments]
    assert said in refused("evaluate", *filled, "--model", files.small_model, "--layers", LAYERS)


# --- tracking alone -------------------------------------------------------------------------------


def test_evaluate_prints_every_row(files):
    common = (
        "evaluate", files.annotated, "--model", files.small_model,
        "--background", files.background, "--layers", LAYERS, "--seeds", "0,4",
    )  # fmt: skip
    data = json.loads(ok(*common, "--json").stdout)
    assert data["seeds"] == [0, 4]
    assert [c["category"] for c in data["categories"]] == ["annotated"]
    assert list(data["categories"][0]["seeds"]) == ["0", "4"]
    rows = [(m["part"], m["row"]) for m in data["means"]]
    names = ("raw peaks", "raw peaks, mirrored", "no edges", "graph", "supervised ceiling")
    assert rows == [(part, row) for part in PARTS for row in names]
    by_seed = [
        next(p for p in found["parts"] if p["part"] == "head")["tracking"]["graph"]["t100"]
        for found in data["categories"][0]["seeds"].values()
    ]
    head = next(m for m in data["means"] if (m["part"], m["row"]) == ("head", "graph"))
    assert head["t100"] == pytest.approx(np.mean(by_seed))
    text = ok(*common, "--parts", "head").stdout
    assert "annotated, head" in text
    assert "tail" not in text
    line = next(line.split() for line in text.splitlines() if line.startswith("  graph"))
    assert line[2] == f"{head['t100']:.3f}"


def test_evaluate_per_class_gives_the_mean_of_categories(files, tmp_path):
    for name, part in (("fish", "tail"), ("shark", "fin")):
        shutil.copytree(files.zoo / "fish", tmp_path / name)
        text = (files.annotated / "annotations.csv").read_text()
        photos = "|".join(path.name for path in (tmp_path / name).iterdir())
        rows = [row for row in text.splitlines() if re.match(f"image|{photos}", row)]
        text = "\n".join(rows).replace("tail", part)
        (tmp_path / name / "annotations.csv").write_text(text)
    (tmp_path / "unlabelled").mkdir()
    common = (
        "evaluate", tmp_path, "--per-class", "--model", files.small_model, "--layers", "relu3",
        "--background", files.background, "--seeds", "0",
    )  # fmt: skip
    data = json.loads(ok(*common, "--json").stdout)
    assert [c["category"] for c in data["categories"]] == ["fish", "shark"]
    over = {(m["part"], m["row"]): m["t100"] for m in data["means_over_categories"]}
    assert {part for part, _ in over} == {"head", "other parts"}
    fish = {(m["part"], m["row"]): m["t100"] for m in data["means"] if m["category"] == "fish"}
    assert over["head", "graph"] == pytest.approx(fish["head", "graph"])  # equal photos
    assert over["other parts", "graph"] == pytest.approx(fish["tail", "graph"])
    text = ok(*common, "--categories", "shark,fish").stdout
    assert "T100, head" in text
    data = json.loads(ok(*common, "--categories", "fish", "--json").stdout)
    assert [c["category"] for c in data["categories"]] == ["fish"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{.photos}"], "annotations.csv does not exist"),
        (["{.photos}/nowhere"], "expected a folder"),
        (["{.zoo}/fish", "{.zoo}/cat", "--annotations", "{.clicks}"], "one folder"),
        (["{.zoo}", "--per-class"], "annotations.csv"),
        (["{.photos}", "--categories", "zebra"], "--per-class"),
        (["{.photos}", "--annotations", "{.clicks}", "--parts", "heart"], "head"),
        (["{.photos}", "--annotations", "{.clicks}", "--seeds", "one"], "--seeds"),
        (["{.photos}", "--annotations", "{.clicks}", "--seeds", "-1"], "--seeds"),
        (["{.photos}", "--annotations", "{.clicks}", "--seeds", "1,1"], "different"),
        (["{.zoo}/cat", "--annotations", "boxes.csv"], "columns"),
    ],
)
def test_evaluate__wrong_input(files, monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "boxes.csv", ("image", "x", "y"), [("00.png", 1, 1)])
    filled = [a.format(files) for a in arguments]
    assert said in refused("evaluate", *filled, "--model", files.small_model, "--layers", "relu3")
