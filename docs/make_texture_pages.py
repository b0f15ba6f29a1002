"""Make the figures and tables of the pages on texture and on segments.

    pip install -e '.[docs,explain]'
    python docs/make_texture_pages.py out/demo
    python docs/make_texture_pages.py out/demo --shared ../shared

Pictures are of the demo's drawings alone. With ``--shared`` the tables of squeezenet1_0 are printed
as well, from photos that its graphs were not mined from.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import find_boundaries

import explgraph as eg
from explgraph.base.arrays import NONE
from explgraph.demo.animals.drawing import SEEDS, SPECIES, Drawing, draw_animal
from explgraph.demo.model import CLASSES
from explgraph.demo.run import MODEL
from explgraph.explanations.pictures.texture import draw_texture
from explgraph.explanations.segments import Segments, score_segments
from explgraph.explanations.texture.probe import probe_texture
from explgraph.explanations.texture.results import KINDS, TextureProbe
from explgraph.photos.images import open_images

IMAGES = Path(__file__).parent / "images" / "pages"

MINED = 100
"""Photos of each category that are mined; all others are probed."""
PER_SPECIES = 40
"""Drawings of each species that are cut into segments."""
SHOWN = (("fish", 0), ("cat", 1), ("bird", 0))
"""The drawings of the segments' figure: species and number."""
ALONE = 4
"""Segments that are shown by themselves, the best first."""
DPI = 110

# Of ImageNet's classes: all species of birds.
BIRDS = {*range(7, 25), *range(80, 101), *range(127, 147)}
PHOTOS: dict[str, int | set[int]] = {"zebra": 340, "bird": BIRDS}


def main() -> None:
    """Draw the figures and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("demo", type=Path, help="what `explgraph demo` has left behind")
    parser.add_argument("--shared", type=Path, help="folder with animalpart/ and models/")
    given = parser.parse_args()
    mpl.use("Agg")
    plt.rcParams.update({"font.size": 10, "axes.titlesize": 10})
    IMAGES.mkdir(parents=True, exist_ok=True)
    net = eg.load_backbone(MODEL)
    probe_demo(net, given.demo)
    segment_drawings(net)
    for category in PHOTOS if given.shared else ():
        probe_photos(category, given.shared)


def probe_demo(net: eg.Backbone, folder: Path) -> None:
    """Probe the demo's graph on its unseen drawings, with their masks."""
    graph = eg.ExplanatoryGraph.load(folder / "graph.safetensors")
    photos = folder / "unseen"
    masks = eg.read_masks(folder / "unseen_masks", open_images(photos).names)
    right = CLASSES.index("fish")
    probe = probe_texture(net, photos, graph=graph, classes=right, masks=masks)
    draw_texture(probe, photos, IMAGES / "texture.png")
    print_probe("the demo's fish", probe)


def probe_photos(category: str, shared: Path) -> None:
    """Mine a category of photos and probe the graph on photos that it has not seen."""
    net = eg.load_backbone("squeezenet1_0", shared / "models" / "squeezenet1_0.safetensors")
    folder = shared / "animalpart"
    files = sorted((folder / category).glob("*.jpg"))
    graph = eg.mine(net, files[:MINED], background=folder / "background", seed=0)
    unseen = files[MINED:]
    probe = probe_texture(net, unseen, graph=graph, classes=PHOTOS[category])
    print_probe(category, probe)


def print_probe(name: str, probe: TextureProbe) -> None:
    """Print the probe's tables."""
    graph = probe.graph
    if graph is None:
        raise ValueError("the probe was made without a graph")
    print(f"\n## {name}: {len(probe)} photos, {len(graph)} nodes\n")
    table = probe.table
    shares = table.drop(columns="photos").map("{:.0%}".format)
    print(markdown(shares.assign(photos=table["photos"])))
    nodes = probe.nodes
    counts = pd.crosstab(nodes["layer"], nodes["kind"], normalize="index")
    layers = [layer.name for layer in reversed(graph.layers)]
    kinds = counts.reindex(index=layers, columns=KINDS, fill_value=0).map("{:.0%}".format)
    print(f"\n{markdown(kinds)}\n")
    for kinds in (probe.kinds, probe.kinds_anywhere):
        print("texture nodes:", f"{(kinds == 'texture').mean():.0%}")
    kind = eg.node_kinds(graph).kind
    if kind is not None:
        print("with node_kinds:", probe.agreement(kind == "texture"))


def markdown(table: pd.DataFrame) -> str:
    """Write a table as Markdown."""
    rows = [["", *map(str, table.columns)], ["---"] * (len(table.columns) + 1)]
    rows += [
        [str(name), *map(str, row)] for name, row in zip(table.index, table.values, strict=True)
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def segment_drawings(net: eg.Backbone) -> None:
    """Show every segment of drawings to the network by itself: a figure and a table."""
    rows: dict[str, list[dict[str, Any]]] = {species: [] for species in SPECIES}
    pictures = {}
    for species in SPECIES:
        for number, seed in enumerate(SEEDS["measure"][:PER_SPECIES]):
            drawing = draw_animal(species, seed, size=net.input_size[0])
            found = score_segments(net, Image.fromarray(drawing.image))
            rows[species].append(segment_row(found, drawing, CLASSES.index(species)))
            if (species, number) in SHOWN:
                pictures[species, number] = drawing, found
    draw_segments([pictures[key] for key in SHOWN])
    means = {species: pd.DataFrame(found).mean() for species, found in rows.items()}
    table = pd.DataFrame(means).T
    text = {
        column: table[column].map("{:.1f}".format if column == "segments" else "{:.0%}".format)
        for column in table
    }
    print(f"\n## segments, {PER_SPECIES} drawings of each species\n")
    print(markdown(pd.DataFrame(text)))


def segment_row(found: Segments, drawing: Drawing, right: int) -> dict[str, Any]:
    """Return what is counted of one drawing."""
    animal = drawing.part_mask != NONE
    best = found.labels == int(np.argmax(found.score))
    top = np.asarray(found.top)
    return {
        "segments": len(found),
        "whole right": found.top_whole == right,
        "best segment keeps the class": top[np.argmax(found.score)] == found.top_whole,
        "all segments that do": (top == found.top_whole).mean(),
        "best segment on the animal": animal[best].mean(),
        "any pixel on the animal": animal.mean(),
    }


def draw_segments(drawings: Sequence[tuple[Drawing, Segments]]) -> None:
    """Draw some drawings, their segments' scores, and the best segments by themselves."""
    figure, panels = plt.subplots(
        len(drawings), 2 + ALONE, figsize=(11, 2.15 * len(drawings)), layout="constrained"
    )
    for row, (drawing, found) in zip(panels, drawings, strict=True):
        show(row[0], drawing.image, f"{CLASSES[found.top_whole or 0]}: the drawing")
        gain = (found.score - found.nothing)[found.labels]
        reach = float(np.abs(gain).max())
        show(row[1], gain, "what each adds", cmap="PuOr", vmin=-reach, vmax=reach)
        border = np.ma.masked_equal(find_boundaries(found.labels, mode="inner"), 0)
        row[1].imshow(border, cmap="gray", vmin=0, vmax=2, interpolation="nearest")
        figure.colorbar(row[1].images[0], ax=row[1], shrink=0.8, label="logit")
        for place, panel in enumerate(row[2:]):
            if place >= len(found):
                panel.axis("off")
                continue
            segment = int(np.argsort(-found.score, kind="stable")[place])
            show(panel, alone(drawing.image, found.labels == segment), title_of(found, segment))
    figure.savefig(IMAGES / "segments.jpg", dpi=DPI, pil_kwargs={"quality": 88})
    plt.close(figure)


def title_of(found: Segments, segment: int) -> str:
    """Return the class of a segment by itself, and how sure it is."""
    if found.top is None or found.probability is None:
        raise ValueError("the segments were not classified")
    return f"{CLASSES[found.top[segment]]}, {found.probability[segment]:.0%} sure"


def alone(image: NDArray[np.uint8], segment: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a segment on the drawing's mean colour, as the network sees it."""
    mean = image.mean(axis=(0, 1)).astype(np.uint8)
    return np.where(segment[..., None], image, mean)


def show(axes: Axes, image: NDArray[Any], title: str, **style: object) -> None:
    """Show a picture without figures along it."""
    axes.imshow(image, interpolation="nearest", **style)
    axes.set(xticks=[], yticks=[], title=title)


if __name__ == "__main__":
    main()
