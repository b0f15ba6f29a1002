"""What each kind of file holds: its header, its arrays, and which values are allowed.

Readers share these, and so do the constructors of the data types: a rule is said once. What holds
between arrays (edges are ordered, a part's patterns follow each other) is said by the data types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from .errors import require
from .layer import LayerSpec, Side, look_layer
from .schema import Column, Columns, Sizes, kept, prefixed, sized

_F2, _F4, _F8 = np.float16, np.float32, np.float64
_I1, _I4, _I8, _U1 = np.int8, np.int32, np.int64, np.uint8

ROUNDED = 1 + 1e-5
"""What is a share or a correlation may be so large: sums of float32 are rounded."""

# -- graphs ----------------------------------------------------------------------------------------

GROUPS: Columns = {
    "yx": Column(_F4, ("G", 2)),
    "node_group": Column(_I4, ("P",), least=-1, below="G"),
    "node_offset": Column(_F4, ("P", 2)),
    "node_gain": Column(_F4, ("P",)),
    "spread": Column(_F4, ("G",), least=0),
    "sureness": Column(_F4, ("G",), least=0, most=ROUNDED),
    "gain": Column(_F4, ("G",)),
}
"""Of `explgraph.graphs.groups.PartGroups`: G groups of P nodes."""

EFFECTS: Columns = {
    "child": Column(_I4, ("M",), least=0, below="P"),
    "parent": Column(_I4, ("M",), least=0, below="P"),
    "effect": Column(_F4, ("M",)),
    "photos": Column(_I4, ("M",), least=0),
}
"""Of `explgraph.graphs.effects.EdgeEffects`: M edges."""

GRAPH: Columns = {
    "node_layer": Column(_I4, ("P",), least=0, below="L"),
    "node_channel": Column(_I4, ("P",), least=0),
    "node_part": Column(_I4, ("P",), least=0),
    "mu": Column(_F4, ("P", 2)),
    "spread": Column(_F4, ("P",), least=0),
    "weight": Column(_F4, ("P",), least=0),
    "score": Column(_F4, ("P",), least=0),
    "support": Column(_F4, ("P",), least=0, most=ROUNDED),
    "gain": Column(_F4, ("P",)),
    "pose_offset": Column(_F4, ("Q",)),
    "pose_weight": Column(_F4, ("D", "Q")),
    "node_pose": Column(_F4, ("P", 2, "Q")),
    "edge_child": Column(_I4, ("E",), least=0, below="P"),
    "edge_parent": Column(_I4, ("E",), least=0, below="P"),
    "edge_displacement": Column(_F4, ("E", 2)),
    "edge_spread": Column(_F4, ("E",), least=0),
    "edge_correlation": Column(_F4, ("E",), least=-ROUNDED, most=ROUNDED, with_="correlation"),
    "contrast": Column(_F4, ("P",), with_="contrast"),
    "facing": Column(_F4, ("F",), with_="facing"),
    "photo_sureness": Column(_F4, ("N",), least=0, with_="photo_sureness"),
}
"""Of `explgraph.graphs.graph.ExplanatoryGraph`: P nodes, E edges, L layers."""

CHANNELS: Columns = {
    "channel_mean": Column(_F4, ("C",)),
    "channel_scale": Column(_F4, ("C",), above=0),
}
"""What is known of a layer's C channels before they are mined."""

MINED_CHANNELS: Columns = {**CHANNELS, "noise": Column(_F4, ("C",), least=0, most=ROUNDED)}
"""And afterwards."""


class Preprocessing(Struct, kw_only=True):
    """How photos were fed to the network, see `explgraph.networks.preprocess`."""

    input_size: tuple[Side, Side]
    fit: str = "stretch"
    mean: list[float] | None = None
    std: list[Annotated[float, Meta(gt=0)]] | None = None
    transform: str | None = None

    def __post_init__(self) -> None:
        counts = [None if held is None else len(held) for held in (self.mean, self.std)]
        if counts not in ([None, None], [1, 1], [3, 3]):
            raise ValueError("`mean` and `std` have three values each, or one, or are both missing")


class Network(Struct, kw_only=True):
    """What headers say of the network, its photos and of how they were made."""

    model: str | None = None
    weight_hash: str | None = None
    graph_hash: str | None = None
    preprocess: Preprocessing | None = None
    precision: str | None = None
    skipped: list[str] = []
    versions: dict[str, str] = {}


Layers = Annotated[list[LayerSpec], Meta(min_length=1)]
Settings = dict[str, int | float]


class GraphHeader(Network, kw_only=True):
    """Of a graph."""

    layers: Layers
    input_size: tuple[Side, Side]
    names: dict[int, str]
    group_names: list[str] | None = None
    config: Settings = {}
    seed: int | None = None
    n_images: Annotated[int, Meta(ge=0)] | None = None


def per_layer(
    layers: Sequence[LayerSpec], columns: Columns, name: str = "{0}.{1}"
) -> dict[str, Column]:
    """Return columns as files name them that hold them for each layer: ``name.0`` and so on."""
    return {
        name.format(key, i): column
        for i, layer in enumerate(layers)
        for key, column in sized(columns, {"C": layer.channels}).items()
    }


def conform_layers(owner: object, columns: Columns, layers: Sequence[LayerSpec]) -> None:
    """Do as `schema.conform` for attributes that are tuples of an array for each layer."""
    for name, column in columns.items():
        rows = getattr(owner, name)
        require(len(rows) == len(layers), f"{name} needs one array per layer")
        checked = tuple(
            kept(f"{name} of {layer.name}", row, column, {"C": layer.channels})
            for row, layer in zip(rows, layers, strict=True)
        )
        object.__setattr__(owner, name, checked)


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


# -- matches ---------------------------------------------------------------------------------------

FRAMES = Column(_F8, ("N", 2, 2))
PHOTO_SIZE = Column(_I4, ("N", 2), least=1, with_="photo_size")

VIEWS: Columns = {
    "gain": Column(_F8, ("N", "V")),
    "frames": FRAMES,
    "score": Column(_F4, ("N", "V", "P"), least=0),
    "yx": Column(_F4, ("N", "V", "P", 2)),
    "maps": Column(_F2, ("N", "V", "H", "W", "C")),
}
"""Of `explgraph.graphs.matches.Views`: N photos seen V ways, maps of one layer."""

MATCHES: Columns = {
    "yx": Column(_F4, ("N", "P", 2)),
    "score": Column(_F4, ("N", "P"), least=0),
    "log_density": Column(_F4, ("N", "P")),
    "peak": Column(_I1, ("N", "P"), least=-1),
    "mirrored": Column(_U1, ("N",), most=1),
    "node_layer": Column(_I4, ("P",), least=0),
    "photo_size": PHOTO_SIZE,
    "frames": replace(FRAMES, with_="frames"),
    "peak_yx": Column(_F4, ("N", "P", 2), with_="peak_yx"),
    "facing": Column(_F8, ("N",), open="inf", with_="facing"),
}
"""Of `explgraph.graphs.matches.Matches`: P nodes in N photos."""


class ViewsHeader(Struct, kw_only=True):
    """What a header says of the photos seen both ways."""

    layer: LayerSpec
    input_size: tuple[Side, Side]


class MatchesHeader(Network, kw_only=True):
    """Of matches."""

    images: list[str]
    views: ViewsHeader | None = None


_OF_MATCHES = {**MATCHES, **prefixed("views", VIEWS)}


def _matches(header: MatchesHeader) -> tuple[Columns, Sizes]:
    sizes = {"N": len(header.images)}
    return (
        (MATCHES, sizes)
        if header.views is None
        else (_OF_MATCHES, sizes | of_map(header.views.layer))
    )


def of_map(layer: LayerSpec) -> Sizes:
    """Return the lengths of a layer's maps by their letters."""
    return {"H": layer.grid[0], "W": layer.grid[1], "C": layer.channels}


# -- peaks -----------------------------------------------------------------------------------------

PEAKS: Columns = {
    "weight": Column(_F4, ("N", "C", "K"), least=0),
    "yx": Column(_F4, ("N", "C", "K", 2)),
}
"""Of `explgraph.peaks.structures.Peaks`: K peaks of each of a layer's C maps of N photos."""

PEAK_SET: Columns = {
    "frames": FRAMES,
    "maps": Column(_F2, ("N", "V", "H", "W", "C"), with_="maps"),
    "photo_size": PHOTO_SIZE,
}
"""Of `explgraph.peaks.structures.PeakSet`, beside those."""


class PeaksHeader(Network, kw_only=True):
    """Of peaks."""

    images: list[str]
    layers: Layers
    input_size: tuple[Side, Side]


def peak_columns(layers: Sequence[LayerSpec], axes: str = "NCK") -> Columns:
    """Return the columns of peaks, mirrored ones included, which may be missing.

    Parameters
    ----------
    axes
        Their order: in shards filters come first, "CNK".
    """
    turned = {
        name: replace(column, shape=(*axes, *column.shape[3:])) for name, column in PEAKS.items()
    }
    other = {name: replace(column, with_="mirrored") for name, column in turned.items()}
    return {
        **per_layer(layers, turned, "peaks.{1}.{0}"),
        **per_layer(layers, other, "mirrored.{1}.{0}"),
    }


def _peaks(header: PeaksHeader) -> tuple[Columns, Sizes]:
    sizes = {"N": len(header.images), **of_map(header.layers[look_layer(header.layers)])}
    columns = peak_columns(header.layers) | per_layer(header.layers, CHANNELS)
    return PEAK_SET | columns, sizes


class ShardHeader(Struct, kw_only=True):
    """Of a shard; what its arrays are like is in the manifest."""

    images: list[str]


class StatisticsKey(Struct, kw_only=True):
    """What a reader needs to know of a key."""

    layers: Layers


class StatisticsHeader(Struct, kw_only=True):
    """Of channel statistics."""

    key: StatisticsKey


def _statistics(header: StatisticsHeader) -> tuple[Columns, Sizes]:
    return per_layer(header.key.layers, CHANNELS), {}


# -- parts -----------------------------------------------------------------------------------------

CLICKED: Columns = {
    "mirrored": Column(_U1, ("A",), most=1),
    "view_probability": Column(_F4, ("A",), least=0, most=ROUNDED),
    "turned": Column(_U1, ("A",), most=1),
    "distance": Column(_F4, ("A",), least=0, open="nan"),
    "elsewhere": Column(_F4, ("A",), least=0, most=ROUNDED, open="nan"),
}
"""Of `aog.clicked.ClickedPhotos`: A clicked photos."""

PART: Columns = {
    "clicks": Column(_F4, ("T",), above=0, older=(_I4,)),
    "centre": Column(_F4, ("T", 2)),
    "size": Column(_F4, ("T", 2), least=0, open="nan"),
    "look": Column(_F4, ("T", 9, "C?")),
    "scene": Column(_F2, ("T", "S?")),
    "start": Column(_I8, ("T+1",), least=0),
    "node": Column(_I4, ("Q",), least=0, below="P"),
    "group": Column(_I4, ("Q",), least=0),
    "displacement": Column(_F4, ("Q", 2)),
    "spread": Column(_F4, ("Q",), above=0),
    "weight": Column(_F4, ("Q",), least=0),
    "scale": Column(_F4, ("Q",), least=0),
    "trait": Column(_F4, ("C?",), with_="trait"),
}
"""Of `aog.structures.AndOrGraph`: T templates of Q patterns."""

LOOK_MEAN = Column(_F4, ("C?",))


class PartHeader(Struct, kw_only=True):
    """What a header says of one part; without ``visible_from`` it is always visible."""

    part: str
    visible_from: float | None = None
    trait_share: Annotated[float, Meta(ge=0, le=1)] | None = None
    clicked: list[str] | None = None


class PartsHeader(Network, kw_only=True):
    """Of parts."""

    parts: Annotated[list[PartHeader], Meta(min_length=1)]
    graph: GraphHeader
    config: Settings


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


# -- all kinds -------------------------------------------------------------------------------------


class StageHeader(Struct, kw_only=True):
    """Of a stage of mining, whose arrays are its own affair."""

    key: dict[str, Any]


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
