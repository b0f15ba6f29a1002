"""Where nodes explain what the layers of a network respond to in photos, and where not, as arrays.

Together with the network, the graph and `mining`; `explgraph.explanations.pictures.explained` draws
the result.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I4, U1, frozen
from explgraph.base.errors import ExplGraphError, check_shape, index_of, require
from explgraph.base.files import PathLike
from explgraph.base.frames import middles, seen_along
from explgraph.base.layer import LayerSpec
from explgraph.base.records import Record
from explgraph.base.writing import write_bytes
from explgraph.graphs.choice import find_node
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.networks.backbone import Backbone
from explgraph.peaks.extraction import N_PEAKS
from explgraph.peaks.finding import find_peaks, responses
from explgraph.photos.images import open_images
from explgraph.pipeline import match
from mining.explained_maps import CellMaps, explain_cells

from .attribution import resampled
from .claims import SeenPhotos, check_same_network, seen_photos

WHOLE = np.array([[0.0, 1.0], [0.0, 1.0]])
"""The window that shows a whole photo; see `ExplainedMaps.upsampled`."""


@dataclass(frozen=True, eq=False, slots=True)
class LayerMaps(Record):
    """One layer's response in N photos, summed over its filters and divided in two.

    A filter's response is in standard deviations of that filter on background photos (Eq. 1).
    Columns run from left to right in the photo as given, whichever way the graph sees it.

    Attributes
    ----------
    layer
        The layer.
    explained, unexplained
        (N, H, W) what nodes explain, and the rest.
    """

    layer: LayerSpec
    explained: F4
    unexplained: F4

    def __post_init__(self) -> None:
        for name in ("explained", "unexplained"):
            check_shape(f"LayerMaps.{name}", getattr(self, name), (None, *self.layer.grid))
            object.__setattr__(self, name, frozen(getattr(self, name), np.float32))

    @property
    def share(self) -> F8:
        """(N,) share of each photo's response that is explained; NaN where nothing responds."""
        ours, rest = (
            maps.sum(axis=(1, 2), dtype=np.float64) for maps in (self.explained, self.unexplained)
        )
        whole = ours + rest
        share: F8 = np.divide(ours, whole, out=np.full_like(whole, np.nan), where=whole > 0)
        return share


@dataclass(frozen=True, eq=False, slots=True)
class ExplainedMaps:
    """Where nodes explain the response of L layers in N photos, and where not.

    Attributes
    ----------
    images
        N names, in order.
    layers
        L layers, lowest first.
    nodes
        Indices of the nodes that count; None: all of the graph's.
    mirrored
        (N,) 1 where the graph sees the photo mirrored.
    frames
        (N, 2, 2) from network pixels of the photo as given to its unit square, as in `PeakSet`.
    input_size
        (H_in, W_in) of the network's input, pixels.
    photo_size
        (N, 2) height and width of the whole photos, pixels; or None where unknown.
    """

    images: tuple[str, ...]
    layers: tuple[LayerMaps, ...]
    nodes: tuple[int, ...] | None
    mirrored: U1
    frames: F8
    input_size: tuple[int, int]
    photo_size: I4 | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        by = "all nodes" if self.nodes is None else f"{len(self.nodes)} nodes"
        names = ", ".join(maps.layer.name for maps in self.layers)
        return f"<ExplainedMaps of {len(self)} photos, by {by}, layers {names}>"

    def photo_index(self, photo: int | str) -> int:
        """Return the row of a photo given by row or by name.

        Raises
        ------
        ExplGraphError
            If there is none.
        """
        return index_of("photo", photo, self.images)

    def layer_index(self, layer: int | str) -> int:
        """Return the index of a layer given by index or by name.

        Raises
        ------
        ExplGraphError
            If there is none.
        """
        return index_of("layer", layer, [maps.layer.name for maps in self.layers])

    def centres(self, layer: int | str, photo: int | str) -> tuple[F8, F8]:
        """Return (H,) y and (W,) x of a layer's cells, unit square of a photo.

        A cell is at the centre of its receptive field. In a photo that the graph sees mirrored this
        is the mirror image of a cell's place, which need not be the place of another cell.
        """
        row = self.photo_index(photo)
        spec = self.layers[self.layer_index(layer)].layer
        y, x = spec.centres(0), spec.centres(1)
        if self.mirrored[row]:
            x = self.input_size[1] - x[::-1]
        (top, down), (left, right) = self.frames[row].tolist()
        return top + down * y, left + right * x

    def upsampled(
        self,
        layer: int | str,
        photo: int | str,
        size: tuple[int, int] | None = None,
        *,
        window: NDArray[np.floating] = WHOLE,
    ) -> tuple[F4, F4]:
        """Return a layer's maps on the pixels of a photo.

        A cell's value stands at the centre of its receptive field; between centres it is
        interpolated along both axes, and beyond the outermost it stays as it is.

        Parameters
        ----------
        layer, photo
            By index or name.
        size
            (height, width) of the result; None: the photo's own, pixels.
        window
            (2, 2) the part of the photo that the result covers, from its own unit square to that of
            the whole photo, such as `explgraph.photos.images.LoadedImage.frame` for an object's
            box.

        Returns
        -------
        explained, unexplained
            (height, width) each, in the unit of the maps; NaN outside of what the network saw.

        Raises
        ------
        ExplGraphError
            If there is no such layer or photo, or the photo's size is not known.
        """
        row, maps = self.photo_index(photo), self.layers[self.layer_index(layer)]
        pixels = [
            start + length * middles(count)
            for (start, length), count in zip(window, size or self._size(row), strict=True)
        ]
        rows, columns = (
            np.interp(places, centres, np.arange(len(centres)))
            for places, centres in zip(pixels, self.centres(layer, row), strict=True)
        )
        seen_y, seen_x = (seen for _, seen in seen_along(self.frames[row], pixels, self.input_size))
        seen = seen_y[:, None] & seen_x
        explained, unexplained = (
            np.where(seen, resampled(values[row], rows, columns), np.float32(np.nan))
            for values in (maps.explained, maps.unexplained)
        )
        return explained, unexplained

    def save(self, path: PathLike) -> None:
        """Write all arrays to an .npz file, which `numpy.load` reads.

        Its arrays are ``images (N,)``, and for each layer ``explained.LAYER`` and
        ``unexplained.LAYER (N, H, W)``, and the cells' centres ``y.LAYER (N, H)`` and
        ``x.LAYER (N, W)``, unit square of each photo.

        Raises
        ------
        ExplGraphError
            If the name does not end in .npz.
        """
        suffix = Path(path).suffix.lower()
        require(suffix == ".npz", f"the file's name must end in .npz, got {Path(path).name!r}")
        arrays: dict[str, NDArray[Any]] = {"images": np.array(self.images, dtype=np.str_)}
        for index, maps in enumerate(self.layers):
            places = [self.centres(index, row) for row in range(len(self))]
            for axis, name in enumerate("yx"):
                shape = (len(self), maps.layer.grid[axis])
                centres = np.array([place[axis] for place in places]).reshape(shape)
                arrays[f"{name}.{maps.layer.name}"] = centres
            arrays[f"explained.{maps.layer.name}"] = maps.explained
            arrays[f"unexplained.{maps.layer.name}"] = maps.unexplained
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        write_bytes(path, buffer.getvalue())

    def _size(self, row: int) -> tuple[int, int]:
        if self.photo_size is None:
            raise ExplGraphError("the maps do not tell how large the photos are: give size")
        height, width = self.photo_size[row].tolist()
        return height, width


def explained_maps(
    graph: ExplanatoryGraph,
    net: Backbone,
    images: object,
    *,
    found: Matches | None = None,
    nodes: Sequence[int | str] | None = None,
) -> ExplainedMaps:
    """Map where nodes explain what the layers of a network respond to in photos, and where not.

    At a cell whose receptive field has its centre at x and where filter c responds F_c(x), nodes
    explain F_c(x) (1 - P(noise | x)) under the mixture of Eq. 5: nodes are where this photo's pose
    and their parents predict them, and pi_0 is the graph's. Sums run over filters. What
    `mining.explained_share` counts at peaks is counted here in all cells, so that the shares of the
    two differ.

    Photos are read in batches; in memory stay two numbers for each cell of each photo.

    Parameters
    ----------
    graph
        P nodes, L layers.
    net
        The network that the graph was mined from.
    images
        The photos, in any form that `open_images` takes.
    found
        The graph's matches in the photos to be mapped, which say which way each is seen. None: all
        photos are matched first, which takes twice as long again.
    nodes
        Nodes (index, id or user's name) whose share is wanted: explained is what these nodes
        explain, and unexplained everything else, be it noise or another node's. None: all nodes.

    Returns
    -------
    Maps of the photos in ``found``, in its order, in the orientation of the photos as given.

    Raises
    ------
    ExplGraphError
        If graph, network, matches and photos do not belong together, a node does not exist, or a
        photo cannot be read.
    """
    source = open_images(images)
    counted = _counted(graph, nodes)
    found = match(graph, net, source) if found is None else found
    check_same_network(graph, found, net)
    if found.frames is None:
        raise ExplGraphError(
            "the matches do not record how photos were made to fit the network's input, as files "
            "of earlier versions do not: match the photos again, or leave found out"
        )
    filled = [np.zeros((2, len(found), *layer.grid), dtype=np.float32) for layer in graph.layers]
    for photos in seen_photos(found, net, source):
        flip = found.mirrored[photos.rows].astype(bool)
        divided = _explain(graph, net, photos, counted)
        for whole, part in zip(filled, divided, strict=True):
            whole[:, photos.rows] = _as_given(np.stack(part), flip)
    return ExplainedMaps(
        images=found.images,
        layers=tuple(
            LayerMaps(spec, *pair) for spec, pair in zip(graph.layers, filled, strict=True)
        ),
        nodes=None if nodes is None else tuple(np.flatnonzero(counted).tolist()),
        mirrored=found.mirrored,
        frames=found.frames,
        input_size=graph.input_size,
        photo_size=found.photo_size,
    )


def _counted(graph: ExplanatoryGraph, nodes: Sequence[int | str] | None) -> NDArray[np.bool_]:
    """Mark (P,) the nodes that were asked for."""
    if nodes is None:
        return np.ones(len(graph), dtype=bool)
    require(len(nodes) > 0, "nodes is empty: name at least one, or leave it out for all nodes")
    counted = np.zeros(len(graph), dtype=bool)
    counted[[find_node(graph, node) for node in nodes]] = True
    return counted


def _explain(
    graph: ExplanatoryGraph, net: Backbone, photos: SeenPhotos, counted: NDArray[np.bool_]
) -> tuple[CellMaps, ...]:
    """Run the network once and divide all layers' responses, as the graph sees the photos."""
    outputs = net.capture(photos.tensor, [layer.name for layer in graph.layers])
    peaks, strengths = [], []
    for layer, mean, scale in zip(
        graph.layers, graph.channel_mean, graph.channel_scale, strict=True
    ):
        values = outputs.pop(layer.name).cpu().numpy()
        peaks.append(find_peaks(values, layer, mean, scale, N_PEAKS))
        strengths.append(responses(values, mean, scale))
    return explain_cells(graph, tuple(peaks), strengths, counted)


def _as_given(maps: F4, flip: NDArray[np.bool_]) -> F4:
    """Turn some of B photos' maps (2, B, H, W) round."""
    return np.where(flip[:, None, None], maps[..., ::-1], maps)
