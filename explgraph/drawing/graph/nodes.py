"""A node in a drawing: its label, its card if it is a picture, its tooltip and its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from explgraph.base.text import columns, cut_beginning, cut_end, one_line
from explgraph.drawing.dot import Markup, Value, escape_file, escape_markup, escape_tooltip
from explgraph.drawing.look import FAINT, FONT_SIZE, SMALL, WIDE, layer_color, tint
from explgraph.graphs.attributes import node_attributes
from explgraph.graphs.graph import ExplanatoryGraph

NAME_COLUMNS = 18
"""Longer user's names lose their end."""

_LAYER_COLUMNS = 14  # longer layer names lose their beginning in a node's label
_HEIGHT, _PADDING = 25.0, 10.0
_FRAME, _SPACE, _LINE = 4.0, 2.5, 9.0  # of a card: around, below its picture; a line of text


PICTURE_NOTE = (
    "A picture is the patch of the photo in which the node scores best, around its place there, "
    "mirrored where the graph sees the photo mirrored; a grey one: no peak in any photo. Beneath "
    "it stands filter/part, or the user's name; its frame has its layer's colour."
)


@dataclass(frozen=True, slots=True)
class Label:
    """A node's two lines: the user's name over "layer/filter/part", or "layer/" over the rest."""

    above: str
    below: str
    is_named: bool

    @classmethod
    def of(cls, graph: ExplanatoryGraph, node: int) -> Label:
        """Label a node."""
        layer = cut_beginning(graph.layers[graph.node_layer[node]].name, _LAYER_COLUMNS)
        number = _number(graph, node)
        name = cut_end(graph.names.get(node, ""), NAME_COLUMNS)
        return cls(name, f"{layer}/{number}", True) if name else cls(f"{layer}/", number, False)

    @property
    def width(self) -> float:
        """Points that the node needs."""
        large, small = (self.above, self.below) if self.is_named else (self.below, self.above)
        return _PADDING + WIDE * max(FONT_SIZE * columns(large), SMALL * columns(small))

    def markup(self) -> Markup:
        """Return the label as DOT text holds it."""
        above, below = escape_markup(self.above), escape_markup(self.below)
        small = f'<FONT POINT-SIZE="{SMALL:g}" COLOR="{FAINT}">{{}}</FONT>'
        if self.is_named:
            return Markup(f"<B>{above}</B><BR/>{small.format(below)}")
        return Markup(f"{small.format(above)}<BR/><B>{below}</B>")


@dataclass(frozen=True, slots=True)
class Looks:
    """How the nodes of a drawing look: as labels, or as cards with a picture.

    Attributes
    ----------
    size
        (height, width) of every node, points; a label may be narrower.
    labels
        The P nodes' markup.
    widths
        Their widths, points.
    are_pictures
        Whether they are cards.
    """

    size: tuple[float, float]
    labels: tuple[Markup, ...]
    widths: tuple[float, ...]
    are_pictures: bool

    @classmethod
    def as_labels(cls, graph: ExplanatoryGraph) -> Looks:
        """Show each node as its layer, filter and part number, and the user's name for it."""
        labels = [Label.of(graph, node) for node in range(len(graph))]
        widths = tuple(label.width for label in labels)
        return cls((_HEIGHT, max(widths)), tuple(label.markup() for label in labels), widths, False)

    @classmethod
    def as_cards(cls, graph: ExplanatoryGraph, pictures: Mapping[int, str], side: float) -> Looks:
        """Show each node as a picture with filter and part number beneath, and the user's name.

        Parameters
        ----------
        graph
            P nodes.
        pictures
            Their files, by node.
        side
            Of a picture, points.
        """
        height, width = card_size(graph, side)
        labels = tuple(card(graph, node, pictures[node], side) for node in range(len(graph)))
        return cls((height, width), labels, (width,) * len(graph), True)


def card_size(graph: ExplanatoryGraph, side: float) -> tuple[float, float]:
    """Return (height, width) of the cards of a graph's nodes, whose pictures have some side."""
    return side + 2 * (_FRAME + picture_middle(graph)), side + 2 * _FRAME


def picture_middle(graph: ExplanatoryGraph) -> float:
    """Return how far the middle of a card's picture is above the middle of the card."""
    return (_SPACE + (1 + _has_names(graph)) * _LINE) / 2


def _has_names(graph: ExplanatoryGraph) -> bool:
    return any(one_line(name) for name in graph.names.values())


def _lines(graph: ExplanatoryGraph, node: int, width: float) -> list[Markup]:
    """Return what stands beneath a picture: the same number of lines on every card of a graph."""
    number = escape_markup(_number(graph, node))
    if not _has_names(graph):
        return [Markup(f"<B>{number}</B>")]
    name = escape_markup(cut_end(graph.names.get(node, ""), int(width / (WIDE * SMALL))))
    below = f'<FONT COLOR="{FAINT}">{number if name else " "}</FONT>'
    return [Markup(f"<B>{name or number}</B>"), Markup(below)]


def card(graph: ExplanatoryGraph, node: int, picture: str, side: float) -> Markup:
    """Return a node's picture, from a file, with its name and number beneath."""
    cell = f'FIXEDSIZE="TRUE" WIDTH="{side:g}" HEIGHT="{side:g}"'
    rows = [f'<TD {cell}><IMG SCALE="TRUE" SRC="{escape_file(picture)}"/></TD>']
    rows.append(f'<TD FIXEDSIZE="TRUE" WIDTH="{side:g}" HEIGHT="{_SPACE:g}"></TD>')
    rows += [
        f'<TD HEIGHT="{_LINE:g}"><FONT POINT-SIZE="{SMALL:g}">{line}</FONT></TD>'
        for line in _lines(graph, node, side)
    ]
    table = '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">'
    return Markup(f"{table}{''.join(f'<TR>{row}</TR>' for row in rows)}</TABLE>")


def _number(graph: ExplanatoryGraph, node: int) -> str:
    return f"{graph.node_channel[node]}/{graph.node_part[node]}"


def node_statements(graph: ExplanatoryGraph) -> Iterator[tuple[str, dict[str, Value]]]:
    """Yield each node's id and what every drawing says of it: tooltip, colours, its numbers.

    The layer's and the user's names are shown only: they are not among the numbers.
    """
    for node, values in enumerate(node_attributes(graph)):
        color, identity = layer_color(values["layer_index"]), graph.node_id(node)
        tooltip = (
            f"{values['name']}\n{identity}\n".lstrip("\n")
            + f"position y {values['y']:.2f}, x {values['x']:.2f} of the photo "
            f"(± {values['spread_px']:.0f} px)\nscore {values['score']:.3g}, "
            f"fires in {values['support']:.0%} of the photos, gain {values['gain']:.3g}"
        )
        shown: dict[str, Value] = {
            "tooltip": escape_tooltip(tooltip),
            "color": color,
            "fillcolor": tint(color, 0.14),
        }
        numbers = {key: v for key, v in values.items() if key not in ("layer", "name")}
        yield identity, shown | numbers
