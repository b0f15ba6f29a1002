"""The example scripts run as they stand and make what they say."""

import re
from pathlib import Path

import pytest
from PIL import Image

import explgraph as eg
from explgraph.demo.animals.drawing import SEEDS, draw_animal, draw_background
from tests.support.scripts import run_script

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


@pytest.fixture
def run_example(tmp_path, monkeypatch):
    """Run a script in a folder, the last of its arguments; return what it printed."""

    def run(name, *arguments, folder=tmp_path):
        return run_script(
            EXAMPLES / name, *arguments, folder, folder=tmp_path, monkeypatch=monkeypatch
        )

    return run


def assert_pictures(folder, *names):
    for name in names:
        path = folder / name
        if path.suffix == ".svg":
            assert "<svg" in path.read_text(encoding="utf-8")
            continue
        with Image.open(path) as picture:
            assert min(picture.size) > 200
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 100  # not empty


@pytest.mark.slow
def test_own_network__mines_and_shows_a_module_of_the_user(run_example, tmp_path):
    printed = run_example("own_network.py")
    assert "middle.relu1 middle.relu2 high.relu1 high.relu2" in printed
    graph = eg.ExplanatoryGraph.load(tmp_path / "birds.safetensors")
    assert f"{len(graph)} nodes in 24 drawings" in printed
    assert len(graph) > 200
    assert graph.header["model"] == "bird_net"
    assert_pictures(
        tmp_path,
        *("best_node.png", "its_filter.png", "best_nodes.png", "one_drawing.png"),
        *("parts.png", "graph.svg", "explained.png"),
    )
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "</html>" in page


@pytest.mark.slow
@pytest.mark.shared
def test_torchvision_network__runs_with_a_file_of_weights(run_example, shared, tmp_path):
    weights = shared / "models" / "squeezenet1_1.safetensors"
    printed = run_example("torchvision_network.py", weights)
    assert len(re.findall(r"^features\.\d+: \d+ filters, 13 x 13 cells$", printed, re.M)) == 4
    assert re.search(r"features\.12/\d+/0: a node of filter \d+", printed)
    assert_pictures(tmp_path, "parts.png", "best_nodes.png", "one_drawing.png", "graph.svg")


@pytest.mark.slow
def test_and_or_graph__finds_heads_far_better_than_the_mean_of_the_clicks(run_example, tmp_path):
    printed = run_example("and_or_graph.py")
    assert (tmp_path / "clicks.csv").read_text().splitlines()[0] == "image,part,x,y"
    assert len((tmp_path / "clicks.csv").read_text().splitlines()) == 4
    found = float(re.search(r"And-Or graph: ([\d.]+)", printed)[1])
    constant = float(re.search(r"mean of the clicks: ([\d.]+)", printed)[1])
    assert found < 0.05 < 0.15 < constant
    assert eg.Parts.load(tmp_path / "head.safetensors").names == ("head",)
    assert_pictures(tmp_path, "heads.png", "and_or.svg", "parse.png")


def lay_out_as_pets(root, drawings):
    """Write drawings, by their names, in the layout in which torchvision keeps Pets and the DTD."""
    pets, textures = root / "oxford-iiit-pet", root / "dtd" / "dtd"
    for folder in (pets / "images", pets / "annotations" / "xmls"):
        folder.mkdir(parents=True)
    for name, drawing in drawings.items():
        picture = Image.fromarray(drawing.image)
        picture.save(pets / "images" / f"{name}.jpg", quality=95)
        head = drawing.parts.index("head")
        y, x = drawing.centres[head] * picture.height
        corners = {"xmin": x - 9, "ymin": y - 9, "xmax": x + 8, "ymax": y + 8}
        box = "".join(f"<{edge}>{value + 1:.0f}</{edge}>" for edge, value in corners.items())
        (pets / "annotations" / "xmls" / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.jpg</filename><object><name>dog</name>"
            f"<bndbox>{box}</bndbox></object></annotation>"
        )
    (pets / "annotations" / "trainval.txt").write_text(
        "".join(f"{name} 1 2 1\n" for name in drawings)
    )
    for folder in (textures / "images" / "dotted", textures / "labels", textures / "imdb"):
        folder.mkdir(parents=True)
    for seed in SEEDS["mine"][:20]:
        scene = Image.fromarray(draw_background(seed, size=224))
        scene.save(textures / "images" / "dotted" / f"{seed}.jpg")
    (textures / "labels" / "train1.txt").write_text("dotted/x.jpg\n")


@pytest.mark.slow
@pytest.mark.shared
def test_real_photos__all_but_the_download(run_example, shared, tmp_path):
    seeds = SEEDS["measure"][:48]
    boxers = {f"boxer_{i}": draw_animal("zebra", seed, size=224) for i, seed in enumerate(seeds)}
    lay_out_as_pets(tmp_path / "data", boxers)
    weights = shared / "models" / "squeezenet1_1.safetensors"
    out = tmp_path / "out"
    out.mkdir()
    printed = run_example("real_photos.py", tmp_path / "data", "squeezenet1_1", weights, folder=out)
    assert "36 photos to mine, 12 to look at" in printed
    found = float(re.search(r"And-Or graph: ([\d.]+)", printed)[1])
    constant = float(re.search(r"mean of the clicks: ([\d.]+)", printed)[1])
    assert found < constant
    assert_pictures(out, "parts.png", "one_photo.png", "heads.png")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_examples__open_as_notebooks(path):
    """Percent cells: every cell begins with its mark, and Markdown cells are comments alone."""
    head, *cells = re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.M)
    assert head == ""
    kinds = [cell.partition("\n")[0].strip() for cell in cells]
    assert set(kinds) == {"", "[markdown]"}
    assert kinds[0] == "[markdown]"
    for kind, cell in zip(kinds, cells, strict=True):
        lines = cell.splitlines()[1:]
        if kind == "[markdown]":
            assert all(line.startswith("#") or not line for line in lines)
        else:
            compile("\n".join(lines), path.name, "exec")
