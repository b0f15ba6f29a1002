"""Pictures of And-Or graphs: part, templates, latent patterns, terminals, from left to right.

OR nodes are round, AND nodes square; lines to alternatives are dashed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from aog.structures import AndOrGraph, Parts
from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.base.text import counted, one_line
from explgraph.drawing.dot import Markup, Value, escape_tooltip, point
from explgraph.drawing.look import FAINT, INK, layer_color
from explgraph.drawing.rendering import Drawing, picture_format, render
from explgraph.drawing.thumbnails import Thumbnails, medallion, open_thumbnails
from explgraph.graphs.matches import Matches

from .cards import (
    CARD_WIDTH,
    CARD_X,
    ROW,
    SKETCH,
    Card,
    Frame,
    drawing_name,
    lay_cards,
    sketch_template,
)
from .page import (
    FOOT_GAP,
    LONGEST,
    OR_X,
    PART_X,
    PATTERN_X,
    TERMINAL_X,
    Statements,
    draw_headings,
    draw_legend,
    draw_title,
    legend_of,
    shortened,
)

_PART, _OR, _PATTERN, _TERMINAL = (48.0, 116.0), (16.0, 26.0), (22.0, 156.0), (22.0, 138.0)
_MEDALLION, _PICTURE_ROW = (50.0, 50.0), 66.0
_LEVEL = 60.0  # of a line to a pattern: what is written on it has room there
_LONGEST_PART = 14  # columns of a part's name
_WIDTHS = (0.4, 1.8)  # of the lines to patterns, by their weight over the heaviest one's
_TINT = "24"  # opacity of a pattern's fill
_TERMINAL_FILL = "#EEF0F3"


def draw_parts(
    parts: Parts,
    path: PathLike | None = None,
    *,
    part: str | None = None,
    patterns_per_template: int = 8,
    thumbnails: bool = False,
    found: Matches | None = None,
    images: object = None,
) -> Drawing:
    """Draw And-Or graphs in four layers, from left to right.

    A part is one of its templates (OR). In a template all latent patterns vote (AND); those of one
    filter are alternatives (OR). A pattern is found on one of the peaks of its filter, the
    terminals. OR nodes are round and the lines from them to their alternatives dashed, AND nodes
    are square. The line to a pattern tells how far the part's centre is from its peak; a template's
    square shows where its patterns are around the part.

    Parameters
    ----------
    parts
        What `fit_parts` made.
    path
        File to write; its suffix says how: svg, pdf, png, or dot for Graphviz' own text, which
        ``neato -n2`` draws and which holds no thumbnails. Missing folders are made.
        None: no file; the drawing is SVG.
    part
        The part to draw; None draws all of them, one below the other.
    patterns_per_template
        Patterns to draw of each template, those of the filters that weigh most; a third of them
        of one filter at most.
    thumbnails
        Show patterns as pictures: each the patch of the photo in which its node scores best, in
        the graph's own orientation.
    found
        Where the nodes of ``parts.graph`` are in N photos, for thumbnails.
    images
        The photos that ``found`` names, and perhaps others, in any form that `open_images` takes.
        Each is loaded once at most.

    Returns
    -------
    The drawing, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If the suffix or the part is unknown, no pattern is to be drawn, or thumbnails are asked
        for without matches and photos of this graph.
    """
    suffix = picture_format(path, thumbnails=thumbnails)
    require(
        patterns_per_template >= 1,
        f"patterns_per_template must be at least 1, got {patterns_per_template}",
    )
    aogs = parts.aogs if part is None else (parts[part],)
    opened = open_thumbnails(parts.graph, found, images) if thumbnails else nullcontext()
    with opened as tiles:
        drawing = render(_dot_text(parts, aogs, patterns_per_template, tiles), suffix)
    return drawing.save(path)


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What is drawn of the parts, and the pictures of their patterns' nodes, if there are any."""

    parts: Parts
    text: Statements
    pictures: Mapping[int, str]

    @property
    def pattern_size(self) -> tuple[float, float]:
        return _MEDALLION if self.pictures else _PATTERN


def _dot_text(
    parts: Parts, aogs: Sequence[AndOrGraph], count: int, tiles: Thumbnails | None
) -> str:
    cards, bottom = lay_cards(aogs, count, ROW if tiles is None else _PICTURE_ROW)
    legend = legend_of(parts.graph, cards, has_pictures=tiles is not None)
    pictures = {} if tiles is None else _pictures(parts, cards, tiles)
    drawing = _Drawing(parts, Statements(bottom + FOOT_GAP + legend.height), pictures)
    height, pixel = drawing.text.height, SKETCH / max(parts.graph.input_size)
    operations = [draw_headings(height), draw_legend(legend)]
    for card in cards:
        frame = Frame(CARD_X, height - card.sketch_middle, pixel)
        operations.append(sketch_template(parts, card.aog, card.template, frame))
        operations.append(draw_title(card, height))
    for aog in aogs:
        _add_part(drawing.text, [card for card in cards if card.aog is aog])
    for card in cards:
        _add_template(drawing, card)
    return drawing.text.written("".join(operations))


def _pictures(parts: Parts, cards: Sequence[Card], tiles: Thumbnails) -> dict[int, str]:
    """Return the files of the pictures of all patterns drawn, by node."""
    graph = parts.graph
    nodes = {int(card.aog.node[q]) for card in cards for group in card.groups for q in group}
    cut = tiles.cut(graph, sorted(nodes))
    colors = {node: layer_color(int(graph.node_layer[node])) for node in cut}
    return tiles.save({node: medallion(tile, colors[node]) for node, tile in cut.items()})


def _add_part(text: Statements, cards: Sequence[Card]) -> None:
    """Add a part, halfway down its templates, and the lines to them."""
    aog, middle = cards[0].aog, (cards[0].top + cards[-1].top + cards[-1].height) / 2
    name = drawing_name(aog.part)
    bold = f'<FONT POINT-SIZE="11"><B>{shortened(aog.part, _LONGEST_PART)}</B></FONT><BR/>'
    bold += '<FONT POINT-SIZE="3"> <BR/></FONT>'
    counts = f"{counted(len(aog), 'template')}, {counted(aog.n_clicks, 'click')}"
    small = f'<FONT POINT-SIZE="8" COLOR="{FAINT}">{counts}</FONT>'
    text.node(
        name,
        (PART_X, middle),
        _PART,
        label=Markup(f"{bold}{small}"),
        tooltip=escape_tooltip(aog.part),
        color=INK,
        penwidth=1.4,
        kind="part",
    )
    for card in cards:
        start, stop = (PART_X + _PART[1] / 2, middle), (CARD_X - CARD_WIDTH / 2, card.middle)
        text.edge((name, card.name), start, stop, penwidth=1.2, style="dashed")


def _add_template(drawing: _Drawing, card: Card) -> None:
    """Add a template, the rows of its patterns, and their terminals."""
    text = drawing.text
    text.node(
        card.name,
        (CARD_X, card.middle),
        (card.height, CARD_WIDTH),
        label="",
        tooltip=escape_tooltip(f"{card.aog.part}, template {card.template}"),
        shape="box",
        style="solid",
        color=INK,
        penwidth=1.2,
        kind="template",
    )
    row = 0
    for group in card.groups:
        _add_group(drawing, card, group, row)
        row += len(group)
    if card.rest:
        name, place = f"{card.name} / others", (PATTERN_X, card.row(row))
        label = f"and {counted(card.rest, 'more pattern')}"
        text.node(name, place, _PATTERN, label=label, shape="plaintext", fontcolor=FAINT)
        stop = (PATTERN_X - _PATTERN[1] / 2, place[1])
        text.edge((card.name, name), card.right, stop, _LEVEL, style="dotted", penwidth=0.6)


def _add_group(drawing: _Drawing, card: Card, group: tuple[int, ...], row: int) -> None:
    """Add the patterns of one filter, an OR node if there are several, and its peaks."""
    text, graph = drawing.text, drawing.parts.graph
    middle = (card.row(row) + card.row(row + len(group) - 1)) / 2
    parent, start, style = card.name, card.right, "solid"
    filter_name = graph.node_id(int(card.aog.node[group[0]])).rpartition("/")[0]
    if len(group) > 1:
        parent = f"{card.name} / {filter_name}"
        text.node(parent, (OR_X, middle), _OR, label="or", fontsize=8, kind="group")
        text.edge((card.name, parent), start, (OR_X - _OR[1] / 2, middle), penwidth=1)
        start, style = (OR_X + _OR[1] / 2, middle), "dashed"
    terminal = f"{card.name} / peaks of {filter_name}"
    _add_terminal(drawing, terminal, middle, group[0], card)
    half = drawing.pattern_size[1] / 2
    for i, q in enumerate(group):
        place = (PATTERN_X, card.row(row + i))
        _add_pattern(drawing, card, q, place)
        name = _pattern_name(drawing.parts, card, q)
        vote = _vote(drawing, card, q, place[1])
        text.edge((parent, name), start, (PATTERN_X - half, place[1]), _LEVEL, style=style, **vote)
        begin, end = (PATTERN_X + half, place[1]), (TERMINAL_X - _TERMINAL[1] / 2, middle)
        text.edge((name, terminal), begin, end, penwidth=0.8, style="dashed")


def _add_terminal(drawing: _Drawing, name: str, middle: float, q: int, card: Card) -> None:
    """Add the peaks of the filter that pattern ``q`` is of: a grey box without a border."""
    graph, node = drawing.parts.graph, int(card.aog.node[q])
    filter_name = graph.node_id(node).rpartition("/")[0]
    grid = graph.layers[int(graph.node_layer[node])].grid
    drawing.text.node(
        name,
        (TERMINAL_X, middle),
        _TERMINAL,
        label=shortened(f"peaks of {filter_name}", LONGEST),
        tooltip=escape_tooltip(f"{filter_name}\n{grid[0]} by {grid[1]} cells"),
        shape="box",
        color=_TERMINAL_FILL,
        fillcolor=_TERMINAL_FILL,
        fontsize=8,
        kind="terminal",
    )


def _pattern_name(parts: Parts, card: Card, q: int) -> str:
    return f"{card.name} / {parts.graph.node_id(int(card.aog.node[q]))}"


def _add_pattern(drawing: _Drawing, card: Card, q: int, place: tuple[float, float]) -> None:
    """Add a latent pattern: its label in an ellipse, or a round picture with the label below."""
    graph, aog, node = drawing.parts.graph, card.aog, int(card.aog.node[q])
    color, size = layer_color(int(graph.node_layer[node])), drawing.pattern_size
    identity, given = graph.node_id(node), one_line(graph.names.get(node, ""))
    tooltip = (
        f"{given}\n{identity}\n".lstrip("\n")
        + f"weight {aog.weight[q]:.2%} of the template's votes\n"
        f"score {aog.scale[q]:.3g} where it is seen best"
    )
    label = shortened(given or identity, LONGEST)
    look: dict[str, Value] = {"label": label, "fillcolor": color + _TINT}
    if drawing.pictures:
        below = drawing.text.height - place[1] - size[0] / 2 - 6
        look = {"label": "", "image": drawing.pictures[node], "imagescale": "both"}
        look |= {"xlabel": label, "xlp": point(place[0], below), "fontsize": 8}
    drawing.text.node(
        _pattern_name(drawing.parts, card, q),
        place,
        size,
        tooltip=escape_tooltip(tooltip),
        color=color,
        kind="pattern",
        **look,
    )


def _vote(drawing: _Drawing, card: Card, q: int, y: float) -> dict[str, Value]:
    """Return how a line to a pattern looks, and what is written on it."""
    aog = card.aog
    first, stop = aog.start[card.template : card.template + 2].tolist()
    share = float(aog.weight[q]) / (float(aog.weight[first:stop].max()) or 1.0)
    dy, dx = np.round(aog.displacement[q]).astype(int).tolist()
    x = PATTERN_X - (drawing.pattern_size[1] + _LEVEL) / 2
    return {
        "penwidth": _WIDTHS[0] + share * (_WIDTHS[1] - _WIDTHS[0]),
        "label": f"{dy:+d}, {dx:+d} ± {aog.spread[q]:.0f}",
        "lp": point(x, drawing.text.height - y + 5),
        "vote_weight": float(aog.weight[q]),
        "dy_px": float(aog.displacement[q, 0]),
        "dx_px": float(aog.displacement[q, 1]),
        "spread_px": float(aog.spread[q]),
    }
