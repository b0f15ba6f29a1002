"""Where a graph's nodes are in photos: `Matches`, and what was seen both ways, `Views`.

Dimensions and coordinates as in `explgraph.peaks.structures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F2, F4, F8, I1, I4, U1
from explgraph.base.errors import ExplGraphError, check_finite, check_shape, require
from explgraph.base.files import PathLike, read_arrays, whole_file, write_arrays
from explgraph.base.formats.columns import MATCHES, VIEWS, of_map
from explgraph.base.frames import check_frames, mirrored_yx
from explgraph.base.layer import LayerSpec, check_input_size
from explgraph.base.records import Record
from explgraph.base.schema import conform

if TYPE_CHECKING:
    from .graph import ExplanatoryGraph


@dataclass(frozen=True, eq=False, slots=True)
class Views(Record):
    """N photos seen both ways: what parts are fitted and located with.

    V = 2 views, the photo as given and mirrored, or 1 where photos were not mirrored. Positions are
    network pixels of the view itself.

    Attributes
    ----------
    layer
        The layer of the maps: `look_layer` of the graph's.
    input_size
        (H_in, W_in) of the network's input, pixels.
    frames
        (N, 2, 2) from network pixels to the photo's unit square, as in `PeakSet`.
    yx
        (N, V, P, 2) the peak on which each node was found, or where it is predicted.
    score
        (N, V, P) as `Matches.score`.
    gain
        (N, V) log-likelihood of a view over noise, per unit of response.
    maps
        (N, V, H, W, C) response maps of that layer.
    """

    layer: LayerSpec
    input_size: tuple[int, int]
    frames: F8
    yx: F4
    score: F4
    gain: F8
    maps: F2

    def __post_init__(self) -> None:
        conform(self, VIEWS, of_map(self.layer))
        check_frames("Views.frames", self.frames)
        check_input_size(self.input_size)

    def __len__(self) -> int:
        return len(self.gain)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put photos that were seen by the same nodes together."""
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in VIEWS
        }
        return replace(parts[0], **arrays)

    def take(self, images: NDArray[Any], nodes: NDArray[Any] | slice) -> Views:
        """Select images and nodes by index."""
        return replace(
            self,
            frames=self.frames[images],
            yx=self.yx[images][:, :, nodes],
            score=self.score[images][:, :, nodes],
            gain=self.gain[images],
            maps=self.maps[images],
        )


@dataclass(frozen=True, eq=False, slots=True)
class Matches(Record):
    """Where each of P nodes is in each of N photos.

    Attributes
    ----------
    images
        N names, in order.
    yx
        (N, P, 2) unit square of the photo, in the orientation of the photo as given: between where
        the node is predicted and the peak on which it was found.
    score
        (N, P) response of that peak times the node's responsibility for it; 0 = no peak, and then
        the position is the one predicted.
    log_density
        (N, P) log of the node's density at its peak, or where it is predicted, per square network
        pixel.
    peak
        (N, P) which of its filter's peaks it was found on, counted by falling strength from 0, in
        the orientation in which the graph sees the photo; `NONE` where the score is 0.
    mirrored
        (N,) 1 where the graph explains the mirrored photo better.
    node_layer
        (P,) index of the node's layer.
    header
        What the file records: model, weight hash, graph hash.
    photo_size
        (N, 2) height and width of the whole upright photos, pixels; or None where unknown.
    frames
        (N, 2, 2) from network pixels to the photo's unit square, as in `PeakSet`; or None where
        unknown. In photos seen mirrored they are the pixels of the photo as given.
    views
        The photos seen both ways, or None: see `Views`.
    facing
        (N,) the log odds that a photo faces, as it is given, the way that the graph does, see
        `odds_of_votes`; below 0 it is mirrored. Infinite of photos that were seen one way. None in
        files of earlier versions.
    peak_yx
        (N, P, 2) as ``yx``, but of the peak itself on which a node was found; or None where
        unknown, and then ``yx`` stands for it. Part groups are made of these.
    """

    images: tuple[str, ...]
    yx: F4
    score: F4
    log_density: F4
    peak: I1
    mirrored: U1
    node_layer: I4
    header: Mapping[str, Any] = field(default_factory=dict)
    photo_size: I4 | None = None
    frames: F8 | None = None
    views: Views | None = None
    peak_yx: F4 | None = None
    facing: F8 | None = None

    def __post_init__(self) -> None:
        n, p = len(self.images), len(self.node_layer)
        conform(self, MATCHES, {"N": n, "P": p})
        if self.frames is not None:
            check_frames("Matches.frames", self.frames)
        if self.views is not None:
            check_shape("Views.score of Matches", self.views.score, (n, None, p))
            if self.views.gain.shape[1] == 2 and self.facing is not None:
                check_finite("Matches.facing of photos seen both ways", self.facing)
        object.__setattr__(self, "header", MappingProxyType(dict(self.header)))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"<Matches of {len(self.node_layer)} nodes in {len(self)} photos>"

    def _repr_html_(self) -> str:
        from .display import matches_html

        return matches_html(self)

    @property
    def photo_sizes(self) -> dict[str, tuple[int, int]]:
        """Height and width of the whole photos, pixels, by name.

        Raises
        ------
        ExplGraphError
            If they are unknown.
        """
        if self.photo_size is None:
            raise ExplGraphError(
                "the matches do not tell how large the photos are: give photo_size=(height, width)"
            )
        sizes = ((height, width) for height, width in self.photo_size.tolist())
        return dict(zip(self.images, sizes, strict=True))

    @property
    def view_probability(self) -> F8:
        """(N, 2) how probable it is that a photo is seen rightly as given, and mirrored.

        Raises
        ------
        ExplGraphError
            If that is unknown, in files of earlier versions.
        """
        if self.facing is None:
            raise ExplGraphError("the matches do not tell how sure their views are: match again")
        odds = self.facing[:, None] * np.array([-1.0, 1.0])
        return np.asarray(np.exp(-np.logaddexp(0.0, odds)))

    @property
    def canonical_yx(self) -> F4:
        """(N, P, 2) positions in the graph's own orientation: mirrored photos mirrored."""
        return mirrored_yx(self.yx, self.mirrored)

    def take(
        self, images: NDArray[Any] | None = None, nodes: NDArray[Any] | None = None
    ) -> Matches:
        """Select images and nodes by index or by boolean mask."""
        rows = np.arange(len(self))[slice(None) if images is None else images]
        chosen = slice(None) if nodes is None else nodes
        cols = np.arange(len(self.node_layer))[chosen]
        grid = np.ix_(rows, cols)
        return Matches(
            images=tuple(self.images[i] for i in rows),
            yx=self.yx[grid],
            score=self.score[grid],
            log_density=self.log_density[grid],
            peak=self.peak[grid],
            mirrored=self.mirrored[rows],
            node_layer=self.node_layer[cols],
            header=self.header,
            photo_size=None if self.photo_size is None else self.photo_size[rows],
            frames=None if self.frames is None else self.frames[rows],
            views=None if self.views is None else self.views.take(rows, chosen),
            peak_yx=None if self.peak_yx is None else self.peak_yx[grid],
            facing=None if self.facing is None else self.facing[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put photos of the same nodes together; what some of them do not know is left out.

        Raises
        ------
        ExplGraphError
            If there are none, or the nodes differ.
        """
        require(len(parts) > 0, "there are no matches to join")
        first = parts[0]
        for part in parts:
            same = np.array_equal(part.node_layer, first.node_layer)
            require(same, "matches of different nodes cannot be joined")

        def rows(name: str) -> Any:  # noqa: ANN401  None where any of them does not know it
            arrays = [getattr(part, name) for part in parts]
            return None if any(a is None for a in arrays) else np.concatenate(arrays)

        views = [part.views for part in parts if part.views is not None]
        return cls(
            images=tuple(name for part in parts for name in part.images),
            node_layer=first.node_layer,
            header=first.header,
            views=Views.joined(views) if len(views) == len(parts) else None,
            **{name: rows(name) for name, column in MATCHES.items() if column.shape[0] == "N"},
        )

    def save(self, path: PathLike) -> None:
        """Write the matches to a safetensors file; equal matches give equal bytes."""
        held = {name: getattr(self, name) for name in MATCHES}
        arrays = {name: array for name, array in held.items() if array is not None}
        header = {**self.header, "images": list(self.images)}
        if self.views is not None:
            arrays |= {f"views.{name}": getattr(self.views, name) for name in VIEWS}
            header["views"] = {
                "layer": self.views.layer.to_json(),
                "input_size": list(self.views.input_size),
            }
        write_arrays(path, "matches", arrays, header)

    @classmethod
    def load(cls, path: PathLike, *, mapped: bool = False) -> Self:
        """Read a matches file.

        Parameters
        ----------
        path
            The file.
        mapped
            Leave the arrays in the file, and read there what is asked for: of many photos' views
            memory holds what the system has to spare. The file may be replaced, not changed.

        Raises
        ------
        ExplGraphError
            If the file is missing, cut off, foreign, or its arrays do not fit together.
        """
        arrays, header = read_arrays(path, "matches", mapped=mapped)
        with whole_file(path, "matches"):
            about, views = header.pop("views", None), None
            if about is not None:
                seen: dict[str, Any] = {name: arrays.pop(f"views.{name}") for name in VIEWS}
                height, width = about["input_size"]
                views = Views(LayerSpec.from_json(about["layer"]), (height, width), **seen)
                arrays.setdefault("facing", odds_of_gain(views.gain))
            images = tuple(header.pop("images"))
            return cls(images=images, header=header, views=views, **arrays)


SURE = 0.9
"""A photo's view that is less probable than this is doubtful."""

_VOTE = 7.0

GAIN_ODDS = 14.0
"""Log odds of a view for each unit of gain: of graphs that cannot vote."""


def odds_of_votes(votes: F4) -> F8:
    """Return (N,) the log odds that photos face, as given, the way that the graph does (Eq. 11).

    Parameters
    ----------
    votes
        (N,) `mining.align.facing_votes`.
    """
    return _VOTE * votes.astype(np.float64)


def odds_of_gain(gain: F8) -> F8:
    """Return the same of graphs that cannot vote, by how much better they explain one view.

    Parameters
    ----------
    gain
        (N, V) `Views.gain`.
    """
    if gain.shape[1] == 1:
        return np.full(len(gain), np.inf)
    return GAIN_ODDS * (gain[:, 0] - gain[:, 1])


def check_nodes(graph: ExplanatoryGraph, found: Matches, *, called: str = "the matches") -> None:
    """Raise `ExplGraphError` unless matches, called thus, are of a graph's nodes."""
    require(
        np.array_equal(found.node_layer, graph.node_layer),
        f"{called} have {len(found.node_layer)} nodes that are not this graph's {len(graph)}: "
        "match this graph",
    )


_SHARE = 0.5


def fires(score: F4, mean_score: F4) -> NDArray[np.bool_]:
    """Return (P, N) where nodes fire: they score at least half of their mean, and above 0.

    Parameters
    ----------
    score
        (P, N) of P nodes in N photos.
    mean_score
        (P,) their means over the photos that they were mined from.
    """
    return (score > 0) & (score >= _SHARE * mean_score[:, None])
