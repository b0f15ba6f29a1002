"""Names that users give to nodes and to part groups, by hand or in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.files import PathLike

from .choice import groups_of
from .graph import ExplanatoryGraph
from .groups import PartGroups

_KINDS = ("nodes", "groups")


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
    require(source.is_file(), f"{source} is not a file")
    try:
        found = json.loads(source.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ExplGraphError(f"{source} is not JSON ({error}): save the names again") from error
    fits = isinstance(found, dict) and all(
        isinstance(found.get(kind, {}), dict)
        and all(isinstance(name, str) for name in found.get(kind, {}).values())
        for kind in _KINDS
    )
    require(
        fits and bool(set(found) & set(_KINDS)),
        f'{source} must hold {{"nodes": {{id: name}}, "groups": {{number: name}}}}',
    )
    nodes, groups = (found.get(kind, {}) for kind in _KINDS)
    return nodes, groups
