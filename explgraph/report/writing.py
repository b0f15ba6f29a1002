"""The report: one page to explore a graph in a browser, from one file, without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

from explgraph.base.arrays import I8
from explgraph.base.errors import check_options, require
from explgraph.base.files import PathLike
from explgraph.base.renamed import renamed
from explgraph.base.text import printable
from explgraph.base.writing import check_writable, write_bytes
from explgraph.graphs.facts import node_facts
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.peaks.structures import PeakSet
from explgraph.photos.annotations import Annotations
from explgraph.photos.images import open_images

from .groups import cell_lines, cells, group_rows, grouped, usual_photo
from .nodes import edge_columns, layer_rows, node_columns, page_nodes, picture_columns
from .pictures import galleries, parsed_photos, row_pictures, seen_photo
from .tables import about, measure, shown_doubts, summary, tables

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup


_LOWEST = 4  # of so many photos one is of those with the lowest scores

NODES, PHOTOS = 400, 12
"""Most nodes with pictures, and photos, on a page unless other numbers are asked for."""


class PageOptions(TypedDict, total=False):
    """What is on the page; every entry may be left out.

    Attributes
    ----------
    title
        The page's heading; default: one that names the network.
    n_nodes
        Most nodes with pictures (400): those of `ExplanatoryGraph.top`. The table has all nodes.
    n_photos
        Most photos on the page to look at groups and nodes in (12): the one in which the groups lie
        nearest to their usual places, those with the highest mean score, and, a quarter of them,
        those with the lowest.
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
    evidence: Mapping[int, float] | pd.Series | None = None,
    **options: Unpack[PageOptions],
) -> None:
    """Write a page that shows a graph: its part groups, its nodes, their facts, and photos.

    The page is one HTML file with all pictures and scripts in it. It loads nothing from a network,
    and forbids the browser to do so. Equal arguments give equal bytes.

    Parameters
    ----------
    graph
        P nodes. One without part groups gets those that its nodes form in these photos.
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
        Parts annotated in these photos: the page then tells how well nodes follow them, and calls
        part groups without a name after them (`name_groups`).
    evidence
        By node, how much the logit of the class drops without it, e.g.
        ``class_evidence(...).table["drop"]``: groups and nodes then tell it.
    **options
        ``title``, ``n_nodes``, ``n_photos``: see `PageOptions`.

    Raises
    ------
    ExplGraphError
        If graph, matches, photos, peaks and annotations do not belong together, a number is out of
        range, or the file cannot be written.
    """
    check_options("write_report", options, PageOptions)
    check_writable(path)
    photos = options.get("n_photos", PHOTOS)
    require(len(graph) > 0, "there is nothing to report: the graph has no nodes")
    require(photos >= 1, f"photos must be at least 1, got {photos}")
    graph = grouped(graph, found, annotations)
    chosen = page_nodes(graph, options.get("n_nodes", NODES))
    figures = measure(graph, found, peaks, annotations)
    source, usual = open_images(images), usual_photo(graph, found)
    network = graph.header.get("model", "a network")
    heading = options.get("title") or f"Explanatory graph of {network}"
    rows = group_rows(graph, None if evidence is None else dict(evidence))
    data = {
        "layers": layer_rows(graph),
        "groups": rows,
        "cells": cells(graph),
        "cell_lines": cell_lines(graph),
        "nodes": node_columns(graph, found, node_facts(graph, found, evidence=evidence), chosen),
        "pictures": picture_columns(chosen, galleries(graph, found, source, chosen)),
        "edges": edge_columns(graph),
        "photos": parsed_photos(graph, found, source, _photos(found, photos, usual)),
        "counts": {"nodes": len(graph), "photos": len(found)},
    }
    text = {
        "title": printable(heading),
        "summary": summary(graph, len(chosen), len(found)),
        "doubts": shown_doubts(graph),
        "about": about(graph, found),
        "tables": tables(graph, chosen, figures),
        "patches": row_pictures(graph, found, source),
        "usual_photo": seen_photo(graph, found, source, usual) if rows else "",
    }
    write_bytes(path, render_page(data, text).encode())


def _photos(found: Matches, count: int, first: int) -> I8:
    """Return a photo, then those of highest mean score over all nodes, then some of the lowest."""
    score = found.score.mean(axis=1, dtype=np.float64)
    order = np.argsort(-score, kind="stable")
    others = order[order != first]
    last = min(count // _LOWEST, max(len(others) - (count - 1), 0))
    best = others[: count - 1 - last]
    return np.concatenate([[first], best, others[len(others) - last :]])


_SCRIPTS = ("words", "card", "groups", "graph", "photo", "panel", "table", "page")
"""In the order of their dependence."""


def render_page(data: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    data
        JSON values for the page's scripts.
    text
        What the template shows by itself: ``title``, ``summary``, ``doubts``, ``about``,
        ``tables``, ``patches`` of groups and the ``usual_photo``.

    Notes
    -----
    Names that users gave go through Jinja's escaping, or through JSON to scripts that write them as
    text, never as HTML.
    """
    from jinja2 import Environment
    from markupsafe import Markup

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    script = "\n".join(_read(f"{name}.js") for name in _SCRIPTS)
    return environment.from_string(_read("page.html")).render(
        text,
        data=_embedded(json.dumps(data, allow_nan=False, separators=(",", ":"))),
        layers=data["layers"],
        groups=data["groups"],
        nodes=data["nodes"],
        kinds=list(data["edges"]),
        n_photos=len(data["photos"]),
        style=Markup(_read("page.css")),
        script=Markup(script),
    )


def _read(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _embedded(text: str) -> Markup:
    """Make JSON safe within a script element, which any "</script" would end."""
    from markupsafe import Markup

    return Markup(text.replace("<", "\\u003c"))
