"""What each kind of file holds: its header, and its arrays as they follow from that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from msgspec import Struct

from explgraph.base.layer import look_layer
from explgraph.base.schema import Columns, Sizes, prefixed

from .columns import (
    CHANNELS,
    CLICKED,
    EFFECTS,
    GRAPH,
    GROUPS,
    LOOK_MEAN,
    MATCHES,
    MINED_CHANNELS,
    PART,
    PEAK_SET,
    VIEWS,
    of_map,
    peak_columns,
    per_layer,
)
from .headers import (
    GraphHeader,
    MatchesHeader,
    PartsHeader,
    PeaksHeader,
    ShardHeader,
    StageHeader,
    StatisticsHeader,
)

_OF_GRAPHS: Columns = {
    **GRAPH,
    **prefixed("groups", GROUPS, own="G", with_="groups"),
    **prefixed("effects", EFFECTS, own="M", with_="effects"),
}


def _graph(header: GraphHeader) -> tuple[Columns, Sizes]:
    sizes = {"L": len(header.layers)}
    if header.n_images is not None:
        sizes["N"] = header.n_images
    if header.group_names is not None:
        sizes["groups.G"] = len(header.group_names)
    return {**_OF_GRAPHS, **per_layer(header.layers, MINED_CHANNELS)}, sizes


_OF_MATCHES = {**MATCHES, **prefixed("views", VIEWS)}


def _matches(header: MatchesHeader) -> tuple[Columns, Sizes]:
    sizes = {"N": len(header.images)}
    return (
        (MATCHES, sizes)
        if header.views is None
        else (_OF_MATCHES, sizes | of_map(header.views.layer))
    )


def _peaks(header: PeaksHeader) -> tuple[Columns, Sizes]:
    sizes = {"N": len(header.images), **of_map(header.layers[look_layer(header.layers)])}
    columns = peak_columns(header.layers) | per_layer(header.layers, CHANNELS)
    return {**PEAK_SET, **columns}, sizes


def _statistics(header: StatisticsHeader) -> tuple[Columns, Sizes]:
    return per_layer(header.key.layers, CHANNELS), {}


_GRAPH_OF_PARTS = prefixed("graph", _OF_GRAPHS, own="L D Q E F N groups.G effects.M")


@cache
def _part(number: int) -> Columns:
    return prefixed(f"part.{number}", PART, own="T Q")


@cache
def _clicked(number: int) -> Columns:
    return prefixed(f"part.{number}.clicked", CLICKED, own="A")


def _parts(header: PartsHeader) -> tuple[Columns, Sizes]:
    layers = header.graph.layers
    _, own = _graph(header.graph)
    sizes = {f"graph.{letter}": length for letter, length in own.items()}
    found = _GRAPH_OF_PARTS | per_layer(layers, MINED_CHANNELS, "graph.{0}.{1}")
    found["look_mean"] = LOOK_MEAN
    for i, about in enumerate(header.parts):
        found |= _part(i)
        if about.clicked is not None:
            found |= _clicked(i)
            sizes[f"part.{i}.clicked.A"] = len(about.clicked)
    return found, sizes


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file.

    Attributes
    ----------
    header
        What its JSON is like; further entries are allowed.
    columns
        Gives, for a header, the columns, and lengths that the header tells; None: any arrays.
    leftovers
        Names of arrays of earlier versions that are not read any more.
    sealed
        Whether files of earlier versions, without a digest, are not read any more.
    """

    header: type[Struct]
    columns: Callable[[Any], tuple[Columns, Sizes]] | None = None
    leftovers: tuple[str, ...] = ()
    sealed: bool = False


FORMATS: dict[str, Format] = {
    "graph": Format(GraphHeader, _graph, ("edge_coactivation",)),
    "matches": Format(MatchesHeader, _matches),
    "parts": Format(PartsHeader, _parts, ("graph.edge_coactivation",)),
    "peaks": Format(PeaksHeader, _peaks, ("sketch",)),
    "shard": Format(ShardHeader, leftovers=("sketch",)),
    "stage": Format(StageHeader, sealed=True),
    "statistics": Format(StatisticsHeader, _statistics),
}
"""By the kind that a file's header names."""
