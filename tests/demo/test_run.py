"""The demo, with few drawings: what it writes, and that its figures are those of its files."""

import io
import json
import math
import shutil
from functools import cache

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.demo.animals.drawing import SEEDS, draw_animal
from explgraph.demo.pictures import mixing_filter
from explgraph.demo.run import MODEL, run_demo
from explgraph.photos.annotation_files import read_annotations
from tests.support.planted import planted_graph
from tests.support.world import SMALL_DEMO

SIDE = 128


@cache
def measured():
    """The drawings that the demo measures on."""
    return [draw_animal("fish", seed) for seed in SEEDS["measure"][:16]]


@pytest.fixture
def result(small_demo):
    return small_demo


def test_run_demo__writes_all_it_promises(result):
    for folder, count in (("mined", 16), ("background", 8), ("unseen", 16), ("unseen_masks", 16)):
        assert len(list((result.out / folder).glob("*.png"))) == count
    names = ("graph.svg", "graph.png", "nodes.png", "parts.csv", "summary.json")
    assert all((result.out / name).stat().st_size > 1000 for name in names)
    for name in ("nodes.png", "parts_at_a_glance.png", "photo.png", "photo_nodes.png"):
        with Image.open(result.out / name) as sheet:
            assert min(sheet.size) > 500


def test_run_demo__files_hold_what_it_returns(result):
    graph = eg.ExplanatoryGraph.load(result.out / "graph.safetensors")
    np.testing.assert_array_equal(graph.mu, result.graph.mu)
    assert dict(graph.names) == dict(result.graph.names)
    assert graph.header["model"] == MODEL
    matches = eg.Matches.load(result.out / "matches.safetensors")
    np.testing.assert_array_equal(matches.yx, result.matches.yx)
    assert json.loads((result.out / "summary.json").read_text()) == json.loads(
        json.dumps(result.to_json())
    )


def test_run_demo__measures_on_drawings_that_nothing_has_seen(result):
    used = {seed for name in ("train", "test", "mine") for seed in SEEDS[name]}
    assert used.isdisjoint(SEEDS["measure"])
    for index, drawing in enumerate(measured()):
        with Image.open(result.out / "unseen" / f"{index:03d}.png") as written:
            np.testing.assert_array_equal(np.asarray(written), drawing.image)


def test_run_demo__parts_are_where_the_masks_say(result):
    annotations = read_annotations(result.out / "parts.csv")
    for row in range(0, len(annotations), 7):
        index = int(annotations.image[row].removesuffix(".png"))
        drawing = measured()[index]
        label = drawing.parts.index(annotations.part[row])
        pixels = np.argwhere(drawing.part_mask == label)
        np.testing.assert_allclose(annotations.yx[row], pixels.mean(axis=0), atol=1e-6)


def test_run_demo__masks_are_those_of_the_unseen_drawings(result):
    """0 is the background and i the i-th part: as anybody's masks for ``explgraph evaluate``."""
    parts = json.loads((result.out / "unseen_masks" / "parts.json").read_text())
    for index, drawing in list(enumerate(measured()))[::5]:
        assert tuple(parts) == drawing.parts
        with Image.open(result.out / "unseen_masks" / f"{index:03d}.png") as mask:
            np.testing.assert_array_equal(np.asarray(mask), drawing.part_mask + 1)


def test_run_demo__purity_of_raw_peaks_counted_by_hand(result):
    """One filter's best drawings and the part under its strongest peak, by plain loops."""
    net = eg.load_backbone(MODEL, device="cpu")
    graph = eg.ExplanatoryGraph.load(result.out / "graph.safetensors")
    peaks = eg.extract(net, result.out / "unseen", background=graph, progress=False)
    drawings = measured()
    shares = []
    for layer in peaks.peaks:
        for channel in range(layer.layer.channels):
            weight = layer.weight[:, channel, 0].astype(np.float64)
            if not weight.any():
                continue
            order = sorted(range(16), key=lambda i: (-weight[i], i))
            carried = np.cumsum(weight[order])
            under = []
            for i in order[: int(np.argmax(carried >= 0.3 * carried[-1])) + 1]:
                y, x = layer.yx[i, channel, 0].astype(int)  # the input has the drawing's pixels
                under.append(int(drawings[i].part_mask[y, x]))
            counts = [under.count(part) for part in range(len(drawings[0].parts))]
            shares.append(max(counts) / len(under))
    row = result.purity.table.set_index("row").loc["raw peaks"]
    assert row["nodes"] == len(shares)
    assert row["purity"] == pytest.approx(np.mean(shares))


def test_run_demo__best_node_is_the_lowest_ratio_counted_by_hand(result):
    """The ratio of the head's best node, from the files' own numbers and plain loops."""
    best = result.best["head"][0]
    drawings = measured()
    head = drawings[0].parts.index("head")
    seen = [i for i in range(16) if drawings[i].visible[head]]
    half_b = seen[1::2]  # every drawing is a group of its own, sorted by name
    score = result.matches.score[:, best.node]
    taken = sorted(half_b, key=lambda i: (-score[i], i))[: math.ceil(len(half_b) / 2)]
    strays, moves = [], []
    for i in taken:
        y, x = drawings[i].centres[head]
        node_y, node_x = result.matches.yx[i, best.node]
        flip = -1 if result.matches.mirrored[i] else 1
        strays.append((y - node_y, flip * (x - node_x)))
        moves.append((y, 1 - x if x > 0.5 else x))
    spread = [
        np.linalg.norm(np.array(points) - np.median(points, axis=0), axis=1).mean()
        for points in (strays, moves)
    ]
    assert best.ratio == pytest.approx(spread[0] / spread[1], rel=1e-4)


def test_run_demo__names_agree_with_the_masks(result):
    """Every named node lies on its part in at least 80 % of the photos that it is sure of."""
    drawings = measured()
    assert len(result.graph.names) > 50
    for node in list(result.graph.names)[::25]:
        score = result.matches.score[:, node].astype(np.float64)
        order = sorted(range(16), key=lambda i: (-score[i], i))
        carried = np.cumsum(score[order])
        photos = order[: int(np.argmax(carried >= 0.3 * carried[-1])) + 1]
        hits = 0
        for i in photos:
            y, x = np.minimum((result.matches.yx[i, node] * SIDE).astype(int), SIDE - 1)
            label = drawings[i].part_mask[y, x]
            hits += label >= 0 and drawings[i].parts[label] == result.graph.names[node]
        assert hits >= 0.8 * len(photos)


def test_mixing_filter__is_that_of_most_names_and_of_these_the_best():
    graph = planted_graph(2, 3, 3)
    names = {0: "head", 1: "head", 2: "head", 3: "head", 4: "tail", 12: "head", 13: "fin"}
    named = graph.rename(names)
    sums = {(0, 1): graph.gain[3:6].sum(), (1, 1): graph.gain[12:15].sum()}
    assert mixing_filter(named) == max(sums, key=sums.get)


def test_run_demo__heads_are_followed_better_than_by_a_fixed_point(result):
    head = next(part for part in result.evaluation.parts if part.part == "head")
    assert head.tracking["graph"].t100 < 0.6 * head.tracking["graph"].constant
    assert head.tracking["graph"].t100 < head.tracking["raw peaks, mirrored"].t100


def test_report__says_the_figures(result):
    written = io.StringIO()
    Console(width=80, file=written).print(result.report())
    text = written.getvalue()
    assert f"{len(result.graph):,} nodes" in text
    groups, rest = text.split("How far nodes and raw peaks stray")
    for part in result.evaluation.parts:
        row = next(line for line in rest.splitlines() if f"│ {part.part} " in line)
        assert result.best[part.part][0].id in row
        assert f"{part.tracking['graph'].t100:.2f}" in row
    assert len(result.graph.groups) > 1
    for group in result.graph.groups:
        row = next(line for line in groups.splitlines() if f"│ {group.name} " in line)
        assert f" {len(group.nodes)} " in row
        assert result.graph.node_id(group.nodes[0]) in row
    rows = result.purity.table.to_dict(orient="records")
    assert [row["row"] for row in rows] == [
        *("raw maps", "raw peaks", "raw peaks, 200 best", "nodes", "nodes, 200 best"),
    ]
    for row in rows:
        line = next(line for line in text.splitlines() if f"│ {row['row']} " in line)
        assert f"{row['purity']:.0%}" in line
        assert f"{row['frozen']:.0%}" in line
    assert f"{rows[-2]['gap_closed']:.0%}" in text
    assert "…" not in text  # fits a terminal of 80 columns


def test_run_demo__again_gives_the_same_graph_and_leaves_no_old_drawings(
    result, tmp_path, monkeypatch
):
    monkeypatch.setattr("explgraph.demo.run.write_pictures", lambda *_: None)  # they take longest
    out = tmp_path / "demo"
    shutil.copytree(result.out, out)
    (out / "mined" / "999.png").write_bytes(b"left over")
    run_demo(out, sizes=SMALL_DEMO, progress=False)
    graph = "graph.safetensors"
    assert (out / graph).read_bytes() == (result.out / graph).read_bytes()
    assert not (out / "mined" / "999.png").exists()


def test_run_demo__unknown_species(tmp_path):
    with pytest.raises(ExplGraphError, match="unknown species 'fisch'; the nearest are fish"):
        run_demo(tmp_path, species="fisch", progress=False)


def test_run_demo__says_what_it_does_unless_told_not_to(tmp_path, capfd):
    with pytest.raises(ExplGraphError, match="unknown species"):
        run_demo(tmp_path, species="unicorn")
    assert "Drawing the unicorn" in capfd.readouterr().err
    with pytest.raises(ExplGraphError, match="unknown species"):
        run_demo(tmp_path, species="unicorn", progress=False)
    assert capfd.readouterr().err == ""
