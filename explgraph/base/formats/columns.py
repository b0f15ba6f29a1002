"""What each array of our files is like, and each array of the data types that go into them.

Readers share these, and so do the constructors of the data types: a rule is said once. What holds
between arrays (edges are ordered, a part's patterns follow each other) is said by the data types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explgraph.base.errors import require
from explgraph.base.layer import LayerSpec
from explgraph.base.schema import Column, Columns, Sizes, kept, sized

_F2, _F4, _F8 = np.float16, np.float32, np.float64
_I1, _I4, _I8, _U1 = np.int8, np.int32, np.int64, np.uint8

ROUNDED = 1 + 1e-5
"""What is a share or a correlation may be so large: sums of float32 are rounded."""


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


def per_layer(
    layers: Sequence[LayerSpec], columns: Columns, name: str = "{0}.{1}"
) -> dict[str, Column]:
    """Return columns as files name them that hold them for each layer: ``name.0`` and so on."""
    return {
        name.format(key, i): column
        for i, layer in enumerate(layers)
        for key, column in sized(columns, {"C": layer.channels}).items()
    }


def layer_arrays(
    columns: Columns, arrays: Mapping[str, NDArray[Any]], layers: Sequence[LayerSpec]
) -> dict[str, Any]:
    """Return arrays that a file holds for each of its layers, checked, the layers' put together."""
    return {
        name: _rows(name, [arrays[f"{name}.{i}"] for i in range(len(layers))], column, layers)
        for name, column in columns.items()
    }


def conform_layers(owner: object, columns: Columns, layers: Sequence[LayerSpec]) -> None:
    """Do as `schema.conform` for attributes that are tuples of an array for each layer."""
    for name, column in columns.items():
        object.__setattr__(owner, name, _rows(name, getattr(owner, name), column, layers))


def _rows(
    name: str, rows: Sequence[NDArray[Any]], column: Column, layers: Sequence[LayerSpec]
) -> tuple[NDArray[Any], ...]:
    require(len(rows) == len(layers), f"{name} needs one array per layer")
    return tuple(
        kept(f"{name} of {layer.name}", row, column, {"C": layer.channels})
        for row, layer in zip(rows, layers, strict=True)
    )


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


def of_map(layer: LayerSpec) -> Sizes:
    """Return the lengths of a layer's maps by their letters."""
    return {"H": layer.grid[0], "W": layer.grid[1], "C": layer.channels}


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


def peak_columns(layers: Sequence[LayerSpec], axes: str = "NCK") -> dict[str, Column]:
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


def shard_columns(layers: Sequence[LayerSpec], *, mirror: bool) -> Columns:
    """Return the columns of a spool's shards: of n photos, filters first."""
    found = peak_columns(layers, "CNK")
    kinds = {name: replace(c, with_="") for name, c in found.items() if mirror or not c.with_}
    rows = {name: replace(PEAK_SET[name], with_="") for name in ("frames", "photo_size")}
    return rows | kinds | per_layer(layers, CHANNELS)


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
    "start": Column(_I8, ("T+1",), runs="Q"),
    "node": Column(_I4, ("Q",), least=0, below="P"),
    "group": Column(_I4, ("Q",), least=0),
    "displacement": Column(_F4, ("Q", 2)),
    "spread": Column(_F4, ("Q",), least=1e-6),
    "weight": Column(_F4, ("Q",), least=0),
    "scale": Column(_F4, ("Q",), least=0),
    "trait": Column(_F4, ("C?",), with_="trait"),
}
"""Of `aog.structures.AndOrGraph`: T templates of Q patterns."""


LOOK_MEAN = Column(_F4, ("C?",))


_NODES: Columns = {
    "start": Column(_I8, ("C+1",), runs="P"),
    "mu": Column(_F8, ("P", 2)),
    "weight": Column(_F8, ("P",), least=0),
    "noise": Column(_F8, ("C",), least=0, most=ROUNDED),
    "node_pose": Column(_F4, ("P", 2, "Q")),
}

NODES_STAGE: Columns = _NODES
"""Of a stage of mining that fits a layer's P nodes: ``start`` of its C filters, as in `Mixture`."""


MINED_STAGE: Columns = {
    **_NODES,
    "parent": Column(_I4, ("P", "M"), least=0, below="U"),
    "gain": Column(_F8, ("P",)),
    "spread": Column(_F8, ("P",), least=0),
    "score": Column(_F8, ("P",), least=0),
}
"""Of a stage that finishes a layer below one of U nodes."""


def poses_stage(nodes: Sequence[int]) -> Columns:
    """Return the columns of a stage that finds poses, of layers with so many nodes each."""
    columns = {
        "pose": Column(_F4, ("N", "Q")),
        "weight": Column(_F4, ("D", "Q")),
        "offset": Column(_F4, ("Q",)),
    }
    for i, p in enumerate(nodes):
        columns |= {
            f"node.{i}": Column(_F4, (p, 2, "Q")),
            f"constant.{i}": Column(_F8, (p, 2)),
        }
    return columns


def sums_stage(layers: Sequence[LayerSpec]) -> Columns:
    """Return the columns of the sums that channel statistics are made of."""
    columns = {
        "first": Column(_I8, (1,), least=0),
        "missed": Column(_I8, ("S",), least=0),
    }
    for kind in ("total", "span"):
        columns[f"{kind}.cells"] = Column(_F8, (len(layers),), least=0)
        for i, layer in enumerate(layers):
            columns[f"{kind}.{i}"] = Column(_F8, (2, layer.channels), open="inf")
    return columns
