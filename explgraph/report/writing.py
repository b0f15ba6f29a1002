"""The report: one page to explore a graph in a browser, from one file, without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

from explgraph.base.arrays import I8
from explgraph.base.errors import require
from explgraph.base.files import PathLike, write_bytes
from explgraph.base.renamed import renamed
from explgraph.base.text import printable
from explgraph.graphs.facts import node_facts
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.peaks.structures import PeakSet
from explgraph.photos.annotations import Annotations
from explgraph.photos.images import open_images

from .canvas import graph_canvas, photo_canvas
from .nodes import TILE, edge_columns, layer_rows, layouts, node_columns, page_nodes
from .pictures import galleries, parsed_photos
from .tables import about, measure, summary, tables

if TYPE_CHECKING:
    from markupsafe import Markup


NODES, PHOTOS = 400, 12
"""Most nodes and photos on a page unless other numbers are asked for."""


class PageOptions(TypedDict, total=False):
    """What is on the page; every entry may be left out.

    Attributes
    ----------
    title
        The page's heading; default: one that names the network.
    n_nodes
        Most nodes on the page (400): the best of each layer (`ExplanatoryGraph.best`, linked), as
        many of one layer as of another where there are enough.
    n_photos
        Most photos on the page to look at the nodes in (12): those with the highest mean score.
    """

    title: str | None
    n_nodes: int
    n_photos: int


@renamed(nodes="n_nodes", photos="n_photos")
def write_report(
    graph: ExplanatoryGraph,
    found: Matches,
    images: object,
    path: PathLike,
    *,
    peaks: PeakSet | None = None,
    annotations: Annotations | None = None,
    **options: Unpack[PageOptions],
) -> None:
    """Write a page that shows a graph: its nodes as pictures in layers, their facts, and photos.

    The page is one HTML file with all pictures and scripts in it. It loads nothing from a network,
    and forbids the browser to do so. Equal arguments give equal bytes.

    Parameters
    ----------
    graph
        P nodes.
    found
        Where they are in N photos; `node_facts` and pictures come from these.
    images
        The photos that ``found`` names, and perhaps others, in any form that `open_images` takes.
    path
        File to write; missing folders are made.
    peaks
        Of the same photos (`explgraph.extract`): the page then tells how much of the response the
        nodes explain, and which of them are parts. Best are photos that mining has not seen.
    annotations
        Parts annotated in these photos: the page then tells how well nodes follow them.
    **options
        ``title``, ``n_nodes``, ``n_photos``: see `PageOptions`.

    Raises
    ------
    ExplGraphError
        If graph, matches, photos, peaks and annotations do not belong together, or a number is out
        of range.
    """
    photos = options.get("n_photos", PHOTOS)
    require(len(graph) > 0, "there is nothing to report: the graph has no nodes")
    require(photos >= 1, f"photos must be at least 1, got {photos}")
    chosen = page_nodes(graph, options.get("n_nodes", NODES))
    figures = measure(graph, found, peaks, annotations)
    facts = node_facts(graph, found)
    shown, source = graph.select(chosen), open_images(images)
    network = graph.header.get("model", "a network")
    heading = options.get("title") or f"Explanatory graph of {network}"
    strips = galleries(graph, found, source, chosen)
    data = {
        "layers": layer_rows(graph, shown),
        "nodes": node_columns(graph, facts, chosen, strips),
        "edges": edge_columns(shown),
        "layouts": layouts(shown),
        "photos": parsed_photos(graph, found, source, chosen, _best_photos(found, photos)),
        "tile": TILE,
        "counts": {"nodes": len(graph), "photos": len(found)},
    }
    text = {
        "title": printable(heading),
        "summary": summary(graph, len(chosen), len(found)),
        "about": about(graph, found),
        "tables": tables(graph, chosen, figures),
    }
    write_bytes(path, render_page(data, text).encode())


def _best_photos(found: Matches, count: int) -> I8:
    """Return the photos of highest mean score over all nodes, the best first."""
    score = found.score.mean(axis=1, dtype=np.float64)
    return np.argsort(-score, kind="stable")[:count]


_SCRIPTS = ("graph", "photo", "panel", "page")  # in the order of their dependence


def render_page(data: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    data
        JSON values for the page's scripts: ``layers``, ``nodes``, ``edges``, ``layouts``,
        ``photos`` and ``counts``.
    text
        What the template shows by itself: ``title``, ``summary``, ``about`` and ``tables``.

    Notes
    -----
    Names that users gave go through Jinja's escaping, or through JSON to scripts that write them as
    text, never as HTML.
    """
    from bokeh.resources import Resources
    from jinja2 import Environment
    from markupsafe import Markup

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    script = "\n".join(_read(f"{name}.js") for name in _SCRIPTS)
    return environment.from_string(_read("page.html")).render(
        text,
        data=_embedded(json.dumps(data, allow_nan=False)),
        layers=data["layers"],
        edges=data["edges"],
        n_photos=len(data["photos"]),
        has_kinds="kind" in data["nodes"],
        canvases={
            "graph-canvas": _embedded(graph_canvas()),
            "photo-canvas": _embedded(photo_canvas()),
        },
        bokeh=Markup(Resources(mode="inline", components=["bokeh"]).render_js()),
        style=Markup(_read("page.css")),
        script=Markup(script),
    )


def _read(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _embedded(text: str) -> Markup:
    """Make JSON safe within a script element, which any "</script" would end."""
    from markupsafe import Markup

    return Markup(text.replace("<", "\\u003c"))
