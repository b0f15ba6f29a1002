"""Names that users give to nodes and to part groups, by hand or in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import Struct

from explgraph.base.errors import require, unknown_name
from explgraph.base.files import PathLike
from explgraph.base.foreign import read_foreign
from explgraph.base.json_text import decode_json

from .choice import groups_of
from .graph import ExplanatoryGraph
from .groups import PartGroups


class NamesFile(Struct):
    """What a file of names holds, by nodes' ids and by groups' numbers."""

    nodes: dict[str, str] | None = None
    groups: dict[str, str] | None = None


def renamed(
    graph: ExplanatoryGraph,
    names: Mapping[int | str, str] | PathLike | None,
    groups: Mapping[int | str, str] | None,
) -> ExplanatoryGraph:
    """Return what `ExplanatoryGraph.rename` does."""
    nodes: Mapping[Any, str] = names if isinstance(names, Mapping) else {}
    if names is not None and not isinstance(names, Mapping):
        nodes, from_file = _read(names)
        groups = {**from_file, **(groups or {})}
    by_id = {graph.node_id(i): i for i in range(len(graph))}
    merged = dict(graph.names)
    for key, name in nodes.items():
        node = by_id.get(key, -1) if isinstance(key, str) else int(key)
        if not 0 <= node < len(graph):
            raise unknown_name("node", str(key), by_id, "graph.nodes lists them")
        merged[node] = name
    held: PartGroups | None = graph.groups
    if groups:
        held = groups_of(graph).rename(groups)
    return replace(graph, names=merged, groups=held)


def _read(path: PathLike) -> tuple[dict[Any, str], dict[Any, str]]:
    """Read a file of names, as a report's page saves it."""
    source = Path(path)
    found: NamesFile = decode_json(read_foreign(source), str(source), NamesFile)
    require(
        found.nodes is not None or found.groups is not None,
        f'{source} must hold {{"nodes": {{id: name}}, "groups": {{number: name}}}}',
    )
    return found.nodes or {}, found.groups or {}
