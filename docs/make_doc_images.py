"""Draw the pictures of the pages on the method and on reading a graph, from the demo's drawings.

    pip install -e '.[docs]'
    python docs/make_doc_images.py out/demo

All are of one filter, that whose nodes follow the most parts. The parts' names come from the demo's
masks, which mining never sees.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

import explgraph as eg
from explgraph.demo.run import MODEL
from explgraph.groups.naming import node_parts
from mining import MiningConfig

IMAGES = Path(__file__).parent / "images" / "pages"

# Okabe and Ito's colours, which colour-blind readers can tell apart; markers say the same again.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "^", "D")
INK, PALE = "#1A1A1A", "#C4C7CC"
EDGED = {"edgecolor": "white", "linewidth": 0.8}
AT_TOP = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "top"}
DPI = 110
WIDTH = 10.0  # inches

Places = NDArray[np.floating]


class Demo(NamedTuple):
    """What the demo has left behind, found again in its unseen drawings."""

    folder: Path
    net: eg.Backbone
    graph: eg.ExplanatoryGraph
    peaks: eg.PeakSet
    found: eg.Matches

    @property
    def side(self) -> int:
        """Side of the network's input, and of the drawings, pixels."""
        return self.graph.input_size[0]

    @property
    def mined(self) -> MiningConfig:
        """The settings of mining."""
        return MiningConfig.from_json(self.graph.header["config"])

    def drawing(self, photo: int, *, turned: bool = False) -> NDArray[np.uint8]:
        """Return a drawing as given, or as the graph sees it."""
        image = np.asarray(Image.open(self.folder / "unseen" / self.found.images[photo]))
        return image[:, ::-1] if turned and self.found.mirrored[photo] else image

    def filter_peaks(self, node: int) -> tuple[Places, Places]:
        """Return the peaks of a node's filter as the graph sees the photos: (N, K, 2), (N, K)."""
        layer, channel = self.graph.node_layer[node], self.graph.node_channel[node]
        given, mirrored = self.peaks.peaks[layer], (self.peaks.mirrored or self.peaks.peaks)[layer]
        flip = self.found.mirrored.astype(bool)
        return (
            np.where(flip[:, None, None], mirrored.yx[:, channel], given.yx[:, channel]),
            np.where(flip[:, None], mirrored.weight[:, channel], given.weight[:, channel]),
        )

    def own_peak(self, node: int) -> Places:
        """Return the peak on which a node was found, (N, 2) network pixels; NaN where none."""
        yx, _ = self.filter_peaks(node)
        chosen = self.found.peak[:, node]
        own = yx[np.arange(len(yx)), np.maximum(chosen, 0)]
        return np.where((chosen >= 0)[:, None], own, np.nan)

    def predicted(self, node: int) -> Places:
        """Return where a node was expected, (N, 2) network pixels: Eq. 7 the other way round."""
        pull, peak = self.mined.pull, self.own_peak(node)
        place = self.found.canonical_yx[:, node] * self.side
        return np.where(np.isnan(peak), place, (place - pull * peak) / (1 - pull))


def read_demo(folder: Path) -> Demo:
    """Load the demo's graph, and find it in the unseen drawings."""
    net = eg.load_backbone(MODEL)
    graph = eg.ExplanatoryGraph.load(folder / "graph.safetensors")
    peaks = eg.extract(net, folder / "unseen", background=graph)
    return Demo(folder, net, graph, peaks, eg.match(graph, net, folder / "unseen"))


def mixing_nodes(graph: eg.ExplanatoryGraph) -> list[int]:
    """Return the nodes, best first, of the filter whose nodes follow the most parts."""
    best: dict[tuple[int, int], dict[str, int]] = {}
    for node in np.argsort(-graph.gain, kind="stable").tolist():
        if node in graph.names:
            key = int(graph.node_layer[node]), int(graph.node_channel[node])
            best.setdefault(key, {}).setdefault(graph.names[node], node)
    chosen = max(
        best.values(), key=lambda by_part: (len(by_part), graph.gain[[*by_part.values()]].sum())
    )
    return list(chosen.values())


def draw_response(demo: Demo, nodes: list[int], photo: int) -> Figure:
    """Draw a drawing, the response map of a filter in it, and the map's peaks."""
    layer = demo.graph.layers[demo.graph.node_layer[nodes[0]]]
    response = response_map(demo, nodes[0], photo)
    figure, (plain, mapped, peaked) = plt.subplots(1, 3, figsize=(WIDTH, 3.3), layout="constrained")
    for axes in (plain, mapped, peaked):
        show(axes, demo.drawing(photo), demo.side)
    plain.set_title("a drawing")
    edges = [
        offset + stride * (np.arange(cells + 1) - 0.5)
        for offset, stride, cells in zip(layer.offset, layer.stride, layer.grid, strict=True)
    ]
    mapped.set_title(f"response of filter {demo.graph.node_channel[nodes[0]]} of {layer.name}")
    mesh = mapped.pcolormesh(edges[1], edges[0], response, cmap="cividis", alpha=0.9)
    figure.colorbar(mesh, ax=mapped, label="response f (Eq. 1)", shrink=0.8)
    yx, weight = (array[photo] for array in demo.filter_peaks(nodes[0]))
    yx, weight = yx[weight > 0], weight[weight > 0]
    peaked.set_title("the map's strongest peaks")
    peaked.scatter(yx[:, 1], yx[:, 0], areas(weight), color=COLOURS[1], alpha=0.9, **EDGED)
    for rank, (y, x) in enumerate(yx, start=1):
        peaked.annotate(
            str(rank), (x, y), (5, 5), textcoords="offset points", fontsize=9, weight="bold",
            color="white", path_effects=outlined(),
        )  # fmt: skip
    return figure


def response_map(demo: Demo, node: int, photo: int) -> Places:
    """Return a filter's response (Eq. 1) in a drawing as given, (H, W)."""
    index, channel = int(demo.graph.node_layer[node]), int(demo.graph.node_channel[node])
    name = demo.graph.layers[index].name
    pixels, _ = demo.net.preprocess(Image.fromarray(demo.drawing(photo)))
    with torch.no_grad():
        activation = demo.net.capture(pixels[None], [name])[name][0, channel].numpy()
    mean, scale = (
        rows[index][channel] for rows in (demo.graph.channel_mean, demo.graph.channel_scale)
    )
    return np.maximum((activation - mean) / scale, 0)


def draw_turning(demo: Demo, photos: list[int]) -> Figure:
    """Draw drawings as given and as the graph sees them, and where head and tail are in all."""
    figure = plt.figure(figsize=(WIDTH, 3.7), layout="constrained")
    grid = figure.subplots(2, len(photos) + 1, width_ratios=[*[1] * len(photos), 1.5])
    for row, axes in enumerate(grid):
        for photo, panel in zip(photos, axes, strict=False):
            show(panel, demo.drawing(photo, turned=row == 1), demo.side)
            if row == 1 and demo.found.mirrored[photo]:
                panel.set_xlabel("turned", color=COLOURS[1])
        axes[0].set_ylabel(("as given", "as the graph sees them")[row])
        draw_truth(demo, axes[-1], turned=row == 1)
    grid[0, -1].set_title(f"heads and tails of all {len(demo.found)}")
    grid[1, -1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, frameon=False)
    return figure


def draw_truth(demo: Demo, axes: Axes, *, turned: bool) -> None:
    """Draw the annotated places of head and tail in all drawings."""
    marks = eg.read_annotations(demo.folder / "parts.csv")
    flipped = dict(zip(demo.found.images, demo.found.mirrored.astype(bool) & turned, strict=True))
    for part, colour, marker in zip(("head", "tail"), COLOURS, MARKERS, strict=False):
        rows = [i for i, name in enumerate(marks.part) if name == part]
        flip = np.array([flipped[marks.image[i]] for i in rows])
        y, x = marks.yx_from_corner[rows].T
        x = np.where(flip, demo.side - x, x)
        axes.scatter(x, y, 12, color=colour, marker=marker, label=part, alpha=0.8, linewidth=0)
    frame(axes, demo.side)


def draw_mixture(demo: Demo, nodes: list[int]) -> Figure:
    """Draw a filter's peaks in all drawings: as given, turned, and against the prediction."""
    layer, channel = demo.graph.node_layer[nodes[0]], demo.graph.node_channel[nodes[0]]
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 3.9), layout="constrained")
    given, turned, centred = panels
    peaks = demo.peaks.peaks[layer]
    given.set_title("all peaks, drawings as given")
    dots(given, peaks.yx[:, channel], peaks.weight[:, channel])
    turned.set_title("turned: peaks that nodes are found on")
    dots(turned, *demo.filter_peaks(nodes[0]))
    centred.set_title("the same, from where they are expected")
    for node, colour, marker in zip(nodes, COLOURS, MARKERS, strict=False):
        own, mean = demo.own_peak(node), demo.graph.mu[node]
        label = f"{demo.graph.node_id(node)}: {demo.graph.names[node]}"
        style = {"color": colour, "marker": marker, "label": label}
        cloud(turned, own, mean, style)
        cloud(centred, own - demo.predicted(node) + mean, mean, style)
    for axes in panels:
        frame(axes, demo.side)
    handles = centred.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def cloud(axes: Axes, yx: Places, mean: Places, style: dict[str, str]) -> None:
    """Draw places about a node's mean place, and how far they stray from it per axis."""
    axes.scatter(yx[:, 1], yx[:, 0], 16, linewidth=0, alpha=0.75, **style)
    axes.plot(*mean[::-1], "+", color=INK, markersize=15, markeredgewidth=2)
    axes.annotate(
        f"± {np.sqrt(np.nanmean((yx - mean) ** 2)):.0f} px",
        mean[::-1],
        (0, -24),
        textcoords="offset points",
        ha="center",
        weight="bold",
        path_effects=outlined("white"),
    )


def draw_prediction(demo: Demo, node: int, photo: int) -> Figure:
    """Draw how far a node's parents have moved in a drawing, and what follows for the node."""
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH * 0.85, 5.6), layout="constrained")
    for axes in panels:
        show(axes, demo.drawing(photo, turned=True), demo.side, faded=True)
    draw_parents(demo, panels[0], node, photo)
    draw_node(demo, panels[1], node, photo)
    for axes in panels:
        axes.legend(
            loc="upper left", bbox_to_anchor=(0, -0.02), frameon=False, fontsize=9, markerscale=0.7
        )
    return figure


def draw_parents(demo: Demo, axes: Axes, node: int, photo: int) -> None:
    """Draw how far each parent of a node is from its mean place in a drawing."""
    parents = demo.graph.parents(node)
    mean = demo.graph.mu[parents]
    place = demo.found.canonical_yx[photo, parents] * demo.side
    axes.set_title(f"its {len(parents)} parents: how far have they moved?")
    for start, end in zip(mean, place, strict=True):
        arrow(axes, start, end, COLOURS[0])
    hollow = {"facecolor": "white", "edgecolor": COLOURS[0]}
    axes.scatter(mean[:, 1], mean[:, 0], 26, label="mean place over all photos", **hollow)
    axes.scatter(place[:, 1], place[:, 0], 34, COLOURS[0], label="place in this drawing", **EDGED)


def draw_node(demo: Demo, axes: Axes, node: int, photo: int) -> None:
    """Draw where a node is expected in a drawing, and where it is then found."""
    mean, expected, own = (
        demo.graph.mu[node],
        *(places[photo] for places in (demo.predicted(node), demo.own_peak(node))),
    )
    axes.set_title(f"{demo.graph.node_id(node)}, the node itself")
    yx, weight = (array[photo] for array in demo.filter_peaks(node))
    yx, weight = yx[weight > 0], weight[weight > 0]
    axes.scatter(
        yx[:, 1], yx[:, 0], areas(weight), COLOURS[1], label="peaks of its filter", **EDGED
    )
    arrow(axes, mean, expected, INK)
    reach = mpl.patches.Circle(
        expected[::-1], demo.mined.spread * demo.side, fill=False, color=INK, lw=1.5, ls="--"
    )
    axes.add_patch(reach)
    final = demo.found.canonical_yx[photo, node] * demo.side
    ink = {"color": INK, "mfc": "white", "linestyle": ""}
    axes.plot(*mean[::-1], marker="o", ms=8, label="mean place over all photos", **ink)
    axes.plot(
        *expected[::-1], marker="x", ms=10, mew=2.5,
        label="expected: moved as the parents have (circle: s)", **ink,
    )  # fmt: skip
    ink["mfc"] = "none"
    axes.plot(*own[::-1], marker="o", ms=19, mew=2, label="the peak it is found on", **ink)
    ink |= {"color": COLOURS[2], "mfc": COLOURS[2], "mec": "white"}
    axes.plot(*final[::-1], marker="*", ms=16, label="its place: a quarter of the way", **ink)


def draw_grouping(demo: Demo, node: int, photo: int) -> Figure:
    """Draw what a group's nodes say of where it is, and how far a node strays without and with it.

    ``node`` is a node of the best group.
    """
    groups = demo.graph.groups
    members = groups[int(groups.node_group[node])].nodes
    place = eg.group_places(demo.graph, demo.found).canonical_yx[:, groups.node_group[node]]
    place = place * demo.side
    figure, (agreed, still, moved) = plt.subplots(1, 3, figsize=(WIDTH, 3.9), layout="constrained")
    show(agreed, demo.drawing(photo, turned=True), demo.side, faded=True)
    said = (
        np.array([demo.own_peak(other)[photo] for other in members]) - groups.node_offset[members]
    )
    agreed.scatter(said[:, 1], said[:, 0], 16, COLOURS[0], alpha=0.6, linewidth=0)
    agreed.plot(*place[photo][::-1], marker="*", ms=17, color=COLOURS[1], mec="white")
    agreed.set_title(f"where {len(members)} nodes say it is")
    own = demo.own_peak(node)
    for axes, centre, title in (
        (still, np.zeros_like(own), "from its usual place"),
        (moved, place, "from its group's place"),
    ):
        away = own - centre
        away = away - np.nanmedian(away, axis=0) + demo.side / 2
        axes.scatter(away[:, 1], away[:, 0], 16, COLOURS[0], alpha=0.6, linewidth=0)
        stray = float(np.nanmean(np.linalg.norm(away - demo.side / 2, axis=1)))
        ring = mpl.patches.Circle((demo.side / 2,) * 2, stray, fill=False, color=COLOURS[1], lw=2)
        axes.add_patch(ring)
        axes.set_title(f"one node, {title}: {stray:.0f} px")
        frame(axes, demo.side)
    return figure


def draw_contrast(demo: Demo) -> Figure:
    """Draw the contrast and the group gain of nodes that lie on a part, and of all others."""
    graph = demo.graph
    masks = eg.read_masks(demo.folder / "unseen_masks", demo.found.images)
    _, part = node_parts(graph, demo.found, masks)
    kinds = {"mostly on a part of the fish": part >= 0, "mostly off it": part < 0}
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 3), layout="constrained", sharey=True)
    figures = {"contrast": graph.contrast, "group gain": graph.groups.node_gain}
    for axes, (name, values) in zip(panels, figures.items(), strict=True):
        bins = np.linspace(*np.percentile(values, [0.5, 99.5]), 31)
        shown = [values[which] for which in kinds.values()]
        axes.hist(shown, bins, stacked=True, color=COLOURS[:2], label=[*kinds])
        axes.set(xlabel=name, ylabel="nodes" if name == "contrast" else "")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].axvline(0.2, color=INK, lw=1, ls="--")
    panels[0].annotate("in groups from .2 on", (0.2, 1), (5, -4), **AT_TOP)
    panels[1].legend(frameon=False)
    return figure


def draw_looks(demo: Demo, nodes: list[int], photo: int) -> None:
    """Draw what a reader can draw of any graph: its parts, a filter, and a drawing."""
    graph, found, photos = demo.graph, demo.found, demo.folder / "unseen"
    path = IMAGES.parent / "parts_at_a_glance.jpg"
    eg.draw_groups(graph, found, photos, path, title="What the demo network has learned of a fish")
    path = IMAGES.parent / "photo_groups.jpg"
    eg.draw_match(graph, found, photos, path, clear_photo(demo))
    layer, channel = int(graph.node_layer[nodes[0]]), int(graph.node_channel[nodes[0]])
    path = IMAGES / "filter.jpg"
    eg.draw_filter(graph, found, demo.peaks, photos, path, layer, channel, patches=5)
    eg.draw_match(graph, found, photos, IMAGES / "photo.jpg", photo, nodes_per_layer=8)
    maps = eg.explained_maps(graph, demo.net, [photos / found.images[photo]])
    ends = [0, len(graph.layers) - 1]
    path = IMAGES / "explained.jpg"
    eg.draw_explained(maps, [photos / found.images[photo]], path, 0, layers=ends)


def clear_photo(demo: Demo) -> int:
    """Return a drawing in which every part group is surer than usually."""
    usual = np.maximum(demo.graph.groups.sureness, 1e-9)
    places = eg.group_places(demo.graph, demo.found)
    return int(np.argmax((places.sureness / usual).min(axis=1)))


def telling_photo(demo: Demo, nodes: list[int]) -> int:
    """Return an unturned drawing in which all nodes of a filter score well."""
    score = demo.found.score[:, nodes] / np.maximum(demo.graph.score[nodes], 1e-9)
    return int(np.argmax(np.where(demo.found.mirrored == 0, score.min(axis=1), -1)))


def moved_photo(demo: Demo, node: int) -> int:
    """Return a drawing in which a node was expected far from its mean place, and was there."""
    expected, own = demo.predicted(node), demo.own_peak(node)
    moved = np.linalg.norm(expected - demo.graph.mu[node], axis=1)
    missed = np.linalg.norm(own - expected, axis=1)
    return int(np.nanargmax(np.where(missed < moved, moved - missed, np.nan)))


def show(axes: Axes, image: NDArray[np.uint8], side: int, *, faded: bool = False) -> None:
    """Show a drawing, in network pixels."""
    shown = 255 - (255 - image.astype(float)) * 0.45 if faded else image
    axes.imshow(shown.astype(np.uint8), extent=(0, side, side, 0), interpolation="nearest")
    frame(axes, side)


def frame(axes: Axes, side: int) -> None:
    """Show the square of the network's input, without figures along it."""
    axes.set(xlim=(0, side), ylim=(side, 0), xticks=[], yticks=[], aspect="equal")


def dots(axes: Axes, yx: Places, weight: Places) -> None:
    """Draw the peaks of all photos, by response."""
    seen = weight > 0
    axes.scatter(yx[seen, 1], yx[seen, 0], areas(weight[seen]) / 6, color=PALE, linewidth=0)


def arrow(axes: Axes, start: Places, end: Places, colour: str) -> None:
    """Draw an arrow from one place (y, x) to another."""
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end[::-1], start[::-1], arrowprops=style)


def areas(weight: Places) -> Places:
    """Return the areas of discs, by response."""
    return 14 + 160 * weight / weight.max()


def outlined(colour: str = INK) -> list[object]:
    """Return what makes text readable on any ground."""
    import matplotlib.patheffects as effects

    return [effects.withStroke(linewidth=2.5, foreground=colour)]


def save(figure: Figure, name: str) -> None:
    """Write a figure to the folder of the pages' pictures."""
    figure.savefig(IMAGES / name, dpi=DPI, bbox_inches="tight", pil_kwargs={"quality": 88})
    plt.close(figure)


def main(folder: Path) -> None:
    """Draw all pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    mpl.use("Agg")
    plt.rcParams.update({"font.size": 10, "axes.titlesize": 11, "axes.edgecolor": PALE})
    demo = read_demo(folder)
    nodes = mixing_nodes(demo.graph)
    photo = telling_photo(demo, nodes)
    draw_looks(demo, nodes, photo)
    save(draw_response(demo, nodes, photo), "response.jpg")
    save(draw_turning(demo, list(range(6))), "turning.jpg")
    save(draw_mixture(demo, nodes), "mixture.png")
    follower = int(demo.graph.groups[0].nodes[0])
    save(draw_grouping(demo, follower, photo), "grouping.jpg")
    save(draw_contrast(demo), "contrast.png")
    save(draw_prediction(demo, nodes[1], moved_photo(demo, nodes[1])), "prediction.jpg")
    traced = folder / "unseen" / "020.png"
    eg.draw_trace(eg.trace(demo.graph, demo.net, traced, "fish"), traced, IMAGES / "trace.jpg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
