"""``explgraph gallery``, ``show``, ``report`` and ``export --thumbnails``, on drawn fishes."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.support.commands import ok, refused
from tests.support.world import LAYERS, MODEL

N_PHOTOS = 5


@pytest.fixture(scope="module")
def work(world, tmp_path_factory):
    """A folder of photos and graph.safetensors."""
    folder = tmp_path_factory.mktemp("look")
    (folder / "photos").mkdir()
    for i in range(N_PHOTOS):
        Image.fromarray(world.photos[i]).save(folder / "photos" / f"{i}.png")
    world.graph.rename({0: "7"}).save(folder / "graph.safetensors")
    return folder


def sizes(folder):
    """By name, the size of every picture in a folder; other files would not open."""
    result = {}
    for path in folder.iterdir():
        with Image.open(path) as picture:
            result[path.name] = picture.size
    return result


def gallery(work, out, *options):
    command = ("gallery", work / "graph.safetensors", work / "photos", "--out", out)
    return ok(*command, "--model", MODEL, *options)


def galleries_of(graph, nodes):
    """Names of the pictures of some nodes and of their filters."""
    ids = [graph.node_id(i).split("/") for i in nodes]
    filters = {f"filter_{layer}_{channel}.png" for layer, channel, _ in ids}
    return filters | {f"node_{'_'.join(one)}.png" for one in ids}


def test_gallery__writes_sheets_nodes_and_filters(world, work, tmp_path):
    done = gallery(work, tmp_path / "g", "--json")
    names = {"groups.png", *(f"sheet_{layer}.png" for layer in LAYERS)}
    for layer in range(len(LAYERS)):
        own = [i for i in world.graph.top(len(world.graph)) if world.graph.node_layer[i] == layer]
        names |= galleries_of(world.graph, own[:2])
    found = sizes(tmp_path / "g")
    assert set(found) == names
    assert all(min(size) > 150 for size in found.values())
    data = json.loads(done.stdout)
    assert data["photos"] == N_PHOTOS
    assert {name.split("/")[-1] for name in data["files"]} == names


def test_gallery__of_a_graph_without_part_groups(world, work, tmp_path):
    graph = replace(world.graph, groups=None)
    graph.save(tmp_path / "bare.safetensors")
    command = ("gallery", tmp_path / "bare.safetensors", work / "photos", "--model", MODEL)
    ok(*command, "--out", tmp_path / "g", "--galleries", 1)
    names = {f"sheet_{layer}.png" for layer in LAYERS}
    for layer in range(len(LAYERS)):
        own = [i for i in graph.ranking() if graph.node_layer[i] == layer]
        names |= galleries_of(graph, own[:1])
    assert set(sizes(tmp_path / "g")) == names


def test_gallery__of_nodes_that_are_named(world, work, tmp_path):
    gallery(work, tmp_path / "g", "--node", "3", "--node", "7")  # the second is a name
    assert set(sizes(tmp_path / "g")) == galleries_of(world.graph, [0, 3])


def test_gallery__rows_are_as_many_as_asked_for(work, tmp_path):
    heights = []
    for rows in (2, 5):
        out = tmp_path / str(rows)
        gallery(work, out, "--nodes-per-layer", rows, "--galleries", 0)
        heights.append([sizes(out)[f"sheet_{layer}.png"][1] for layer in LAYERS])
    assert min(np.subtract(*heights[::-1])) > 3 * 100


def show(work, *options):
    command = ("show", work / "graph.safetensors", work / "photos" / "0.png")
    return (*command, "--model", MODEL, *options)


def test_show__draws_the_parse_the_heatmaps_and_the_arrays(world, work, tmp_path):
    parse, heat, arrays = (tmp_path / name for name in ("p.png", "h.jpg", "a.npz"))
    done = ok(*show(work, "--out", parse, "--heatmap", heat, "--arrays", arrays))
    assert done.stdout.split() == [str(path) for path in (parse, heat, arrays)]
    for path in (parse, heat):
        with Image.open(path) as picture:
            assert min(picture.size) > 200
    with np.load(arrays) as maps:
        assert maps["images"].tolist() == ["0.png"]
        for layer in world.graph.layers:
            for name in (f"explained.{layer.name}", f"unexplained.{layer.name}"):
                assert maps[name].shape == (1, *layer.grid)
                assert maps[name].min() >= 0
                assert maps[name].max() > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--out", "p.gif"), ".gif"),
        (("--out", "p.png", "--heatmap", "h.svg"), ".svg"),
        (("--out", "p.png", "--arrays", "a.npy"), "must end in .npz"),
        (("--out", "p.png", "--around", "nose"), "unknown node 'nose'"),
    ],
)
def test_show__wrong_options(work, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    assert said in refused(*show(work, *options))
    assert list(tmp_path.iterdir()) == []


def test_show__part_groups_or_nodes(world, work, tmp_path):
    sizes = {}
    for name, options in {
        "default": (),
        "groups": ("--level", "groups"),
        "nodes": ("--level", "nodes"),
        "some": ("--nodes-per-layer", 12),
    }.items():
        ok(*show(work, "--out", tmp_path / f"{name}.png", *options))
        with Image.open(tmp_path / f"{name}.png") as picture:
            sizes[name] = picture.size
    assert world.graph.groups is not None
    assert sizes["default"] == sizes["groups"] != sizes["nodes"] == sizes["some"]
    assert "level" in refused(*show(work, "--out", tmp_path / "a.png", "--level", "group"))


def test_show__takes_a_photo_not_a_folder(work, tmp_path):
    command = ("show", work / "graph.safetensors", work / "photos", "--model", MODEL)
    assert "is not a photo's file" in refused(*command, "--out", tmp_path / "p.png")


def test_report__is_one_page(work, tmp_path):
    out = tmp_path / "report.html"
    command = ("report", work / "graph.safetensors", work / "photos", "--model", MODEL)
    done = ok(*command, "--out", out, "--title", "Fishes & <friends>", "--nodes", 20, "--json")
    page = out.read_text(encoding="utf-8")
    assert json.loads(done.stdout)["bytes"] == out.stat().st_size
    assert "Fishes &amp; &lt;friends&gt;" in page
    assert "<friends>" not in page


def test_report__measures_parts_where_there_are_annotations(world, work, tmp_path):
    rows = ["image,part,x,y"]
    for i in range(N_PHOTOS):
        y, x = world.points["head"][i] * 128 - 0.5
        rows.append(f"{i}.png,head,{x},{y}")
    (tmp_path / "parts.csv").write_text("\n".join(rows))
    command = ("report", work / "graph.safetensors", work / "photos", "--model", MODEL)
    pages = []
    for name, options in (("a", ()), ("b", ("--annotations", tmp_path / "parts.csv"))):
        ok(*command, "--out", tmp_path / f"{name}.html", *options)
        pages.append((tmp_path / f"{name}.html").read_text(encoding="utf-8"))
    assert "How well nodes follow annotated parts" not in pages[0]
    assert "How well nodes follow annotated parts" in pages[1]


def test_report__must_be_html(work, tmp_path):
    command = ("report", work / "graph.safetensors", work / "photos", "--model", MODEL)
    assert "must end in .html" in refused(*command, "--out", tmp_path / "report.pdf")


def test_export__draws_thumbnails(work, tmp_path):
    out = tmp_path / "g.svg"
    command = ("export", work / "graph.safetensors", "--model", MODEL, "--nodes-per-layer", 6)
    ok(*command, "--out", out, "--thumbnails", "--images", work / "photos")
    links = re.findall(r'<image[^>]* (?:xlink:)?href="([^"]{20})', out.read_text())
    assert len(links) == 6 * len(LAYERS)
    assert all(link.startswith("data:image/") for link in links)


@pytest.mark.parametrize("options", [("--thumbnails",), ("--images", "photos")])
def test_export__thumbnails_and_images_go_together(work, tmp_path, options):
    command = ("export", work / "graph.safetensors", "--out", tmp_path / "g.svg")
    assert "go together" in refused(*command, *options)
