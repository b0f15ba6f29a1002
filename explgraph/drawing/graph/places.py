"""A graph drawn layer by layer, nodes where they lie in the photo, as DOT text of fixed positions.

Lengths are points; DOT measures y upwards from the bottom, `explgraph.drawing.graph.places_layout`
downwards from the top.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8
from explgraph.base.text import columns, cut_end
from explgraph.drawing.dot import (
    Markup,
    Value,
    attributes,
    background_disc,
    background_line,
    background_polygon,
    background_text,
    escape_markup,
    point,
    quoted,
)
from explgraph.drawing.legend import Item, Legend, disc_item, line_item
from explgraph.drawing.look import (
    FAINT,
    FONT,
    INK,
    LINE,
    PAPER,
    RULE,
    SMALL,
    WIDE,
    layer_color,
    with_opacity,
)
from explgraph.drawing.page import Page, layer_cluster, layer_heading, title_of
from explgraph.drawing.thumbnails import Thumbnails
from explgraph.graphs.graph import ExplanatoryGraph

from .nodes import NAME_COLUMNS, PICTURE_NOTE, card, card_size, node_statements, picture_middle
from .places_layout import HEADING, Boxes, Panels, lay_panels

_NOTE = "where the parts that its filters respond to lie in the photo, layer by layer"
_SIDE = 40.0  # of a thumbnail
_GAP = 3.0  # between boxes
_LINE_HEIGHT = 9.0
_DOT = 4.5
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_TICK_SIZE = 6.0
_FILLED, _PALEST, _OUTLINED = 0.9, 0.1, 0.35  # opacity of the circles: of all, at most, of the rim
_LEAST_LINE = 3.0  # shorter lines from a label to its place are left out


def places_text(
    graph: ExplanatoryGraph, whole: ExplanatoryGraph, thumbnails: Thumbnails | None
) -> str:
    """Return the drawing of where a graph's nodes lie, a panel for each layer, as DOT text.

    Parameters
    ----------
    graph
        What to draw, at least one node.
    whole
        The graph that ``graph`` is a part of, for the counts in the captions.
    thumbnails
        Pictures of the nodes, or None.
    """
    height, width = graph.input_size
    has_pictures = thumbnails is not None
    panel = np.unique(-graph.node_layer, return_inverse=True)[1]  # the top layer first
    boxes = _boxes(graph, has_pictures)
    share = graph.mu.astype(np.float64) / graph.input_size
    panels = lay_panels(panel, share, np.argsort(graph.ranking()), boxes, width / height)
    with_box = np.flatnonzero(np.isfinite(panels.boxes[:, 0])).tolist()
    labels = _labels(graph, with_box, thumbnails)
    legend = Legend.of(_explained(graph, whole, len(with_box), has_pictures), panels.size[1])
    page = Page(panels.size, title_of(graph), _NOTE, legend)
    lines = [
        *page.begin(_frames(graph, panels, panel, page.base)),
        *_clusters(graph, whole, panels, page.base, has_pictures),
        *_box_nodes(graph, labels, boxes, panels, page.base),
        *_dots(graph, boxes, panels, page.base),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _boxes(graph: ExplanatoryGraph, has_pictures: bool) -> Boxes:
    if has_pictures:
        size = np.array(card_size(graph, _SIDE))
        return Boxes(np.tile(size + _GAP, (len(graph), 1)), picture_middle(graph), True)
    widths = [WIDE * SMALL * columns(_label(graph, node)) for node in range(len(graph))]
    sizes = np.stack([np.full(len(graph), _LINE_HEIGHT), np.array(widths)], axis=-1)
    return Boxes(sizes + _GAP, 0.0, False)


def _label(graph: ExplanatoryGraph, node: int) -> str:
    name = cut_end(graph.names.get(node, ""), NAME_COLUMNS)
    return name or f"{graph.node_channel[node]}/{graph.node_part[node]}"


def _labels(
    graph: ExplanatoryGraph, nodes: list[int], thumbnails: Thumbnails | None
) -> dict[int, Markup]:
    """Return what stands in the nodes' boxes."""
    if thumbnails is None:
        return {node: escape_markup(_label(graph, node)) for node in nodes}
    files = thumbnails.save(thumbnails.cut(graph, nodes))
    return {node: card(graph, node, files[node], _SIDE) for node in nodes}


def _explained(
    graph: ExplanatoryGraph, whole: ExplanatoryGraph, n_boxes: int, has_pictures: bool
) -> list[list[Item] | str]:
    """Return the groups of a legend: what marks, boxes and frames mean."""
    what = "picture" if has_pictures else "label"
    counts = f"{len(graph):,} of {len(whole):,} nodes."
    if n_boxes < len(graph):
        counts += (
            f" {n_boxes:,} of them have room for a {what}, the best first; the others are dots."
        )
    place = "mean place of a node (of a picture without dot: its middle)"
    return [
        [
            disc_item(place if has_pictures else "mean place of a node", _DOT / 2, INK, INK),
            disc_item("its spread: one standard deviation along each axis", 5.0, INK),
            line_item(f"from a {what} that had to be moved to its place", 0.8, INK),
        ],
        f"{counts} "
        + (PICTURE_NOTE if has_pictures else "A label is filter/part, or the user's name."),
        "A frame is the network's input: the whole photo, or what of it the network is shown, in "
        "the graph's own orientation. Ticks are shares of its height (y, downwards) and width (x).",
    ]


def _frames(graph: ExplanatoryGraph, panels: Panels, panel: NDArray[np.int64], base: float) -> str:
    """Return the operations that draw the panels' frames and the circles in them."""
    operations = [_frame(corner, panels.frame, base) for corner in panels.corners]
    pixel = panels.frame[0] / graph.input_size[0]
    crowd = np.bincount(panel)[panel].tolist()
    radii = (graph.spread.astype(np.float64) * pixel).tolist()
    for (y, x), radius, layer, n in zip(
        panels.yx.tolist(), radii, graph.node_layer.tolist(), crowd, strict=True
    ):
        color = layer_color(layer)
        fill = with_opacity(color, min(_FILLED / n, _PALEST))
        rim = with_opacity(color, _OUTLINED)
        operations.append(background_disc(x, base - y, radius, rim, fill, 0.4))
    return "".join(operations)


def _frame(corner: F8, size: tuple[float, float], base: float) -> str:
    (top, left), (height, width) = corner.tolist(), size
    low, right = base - top - height, left + width
    outline = [(left, low), (right, low), (right, low + height), (left, low + height)]
    operations = [background_polygon(outline, 0.8, LINE, PAPER)]
    for tick in _TICKS:
        x, y = left + tick * width, low + (1 - tick) * height
        operations += [
            background_line([(x, low), (x, low + height)], 0.4, RULE),
            background_line([(left, y), (right, y)], 0.4, RULE),
            background_text(f"{tick:g}", x, low - 8, _TICK_SIZE, FONT, FAINT, centred=True),
            background_text(f"{tick:g}", left - 9, y - 2, _TICK_SIZE, FONT, FAINT, centred=True),
        ]
    return "".join(operations)


def _clusters(
    graph: ExplanatoryGraph,
    whole: ExplanatoryGraph,
    panels: Panels,
    base: float,
    has_pictures: bool,
) -> Iterator[str]:
    """Yield a cluster for each panel, with its layer's heading above the frame."""
    (height, width), (above, aside) = panels.frame, panels.margin
    layers = np.unique(graph.node_layer)[::-1]
    for layer, (top, left) in zip(layers.tolist(), panels.corners.tolist(), strict=True):
        corners = (
            (left - aside, base - top - height - above),
            (
                left + width + aside,
                base - top + above + HEADING,
            ),
        )
        values: dict[str, Value] = {
            "bb": ",".join(point(x, y) for x, y in corners),
            "lp": point(left + width / 2, base - top + above + HEADING / 2),
            "label": layer_heading(graph, whole, layer, width, has_pictures=has_pictures),
            "pencolor": "transparent",
        }
        yield layer_cluster(graph, layer, values)


def _box_nodes(
    graph: ExplanatoryGraph, labels: dict[int, Markup], boxes: Boxes, panels: Panels, base: float
) -> Iterator[str]:
    """Yield the nodes that have a box."""
    statements = list(node_statements(graph))
    look: dict[str, Value] = {}
    if not boxes.are_pictures:
        look = {"style": "", "penwidth": 0, "fontsize": SMALL}
    for node, label in labels.items():
        identity, values = statements[node]
        (y, x), (height, width) = panels.boxes[node], boxes.sizes[node] - _GAP
        shape: dict[str, Value] = {
            "label": label,
            "pos": point(x, base - y),
            "height": height / 72,
            "width": width / 72,
        }
        yield f"{quoted(identity)} {attributes(shape | values | look)};"


def _dots(graph: ExplanatoryGraph, boxes: Boxes, panels: Panels, base: float) -> Iterator[str]:
    """Yield the places of nodes that are not in the middle of their box, and lines to them."""
    lines = []
    for node, (identity, values) in enumerate(node_statements(graph)):
        middle, place = panels.boxes[node], panels.yx[node]
        if boxes.are_pictures and np.allclose(middle, place + np.array([boxes.drop, 0.0])):
            continue
        has_box = bool(np.isfinite(middle[0]))
        shape: dict[str, Value] = {
            "shape": "circle",
            "style": "filled",
            "label": "",
            "pos": point(place[1], base - place[0]),
            "width": _DOT / 72,
            "height": _DOT / 72,
        }
        look = {"color": PAPER, "fillcolor": values["color"], "penwidth": 0.6}
        name = f"{identity} (place)" if has_box else identity
        said = {"tooltip": values["tooltip"]} if has_box else values
        yield f"{quoted(name)} {attributes(shape | said | look)};"
        if has_box:
            end = _border(place, middle, boxes.sizes[node] - _GAP)
            if np.hypot(*(place - end)) >= _LEAST_LINE:
                curve = " ".join(point(x, base - y) for y, x in (end, end, place, place))
                line = {"pos": curve, "color": values["color"], "penwidth": 0.9}
                lines.append(f"{quoted(identity)} -> {quoted(name)} {attributes(line)};")
    yield from lines


def _border(place: F8, middle: F8, size: F8) -> F8:
    """Return the point of a box that is nearest to a place."""
    return np.clip(place, middle - size / 2, middle + size / 2)
