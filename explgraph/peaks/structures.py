"""Activation peaks, and what mining asks of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from explgraph.base import markup
from explgraph.base.arrays import F2, F4, F8, I4
from explgraph.base.errors import ExplGraphError, check_shape, require
from explgraph.base.files import PathLike, read_arrays, whole_file, write_arrays
from explgraph.base.formats.columns import (
    CHANNELS,
    PEAK_SET,
    PEAKS,
    conform_layers,
    layer_arrays,
    of_map,
)
from explgraph.base.frames import check_frames
from explgraph.base.layer import LayerSpec, check_input_size, look_layer
from explgraph.base.records import Record
from explgraph.base.schema import conform
from explgraph.base.text import photos_named

GROUP = 256
"""Photos that are handled together where not all fit into memory."""


@dataclass(frozen=True, eq=False, slots=True)
class Peaks(Record):
    """The strongest local maxima of every channel of one layer, for N images.

    Attributes
    ----------
    layer
        The layer.
    yx
        (N, C, K, 2) positions in network pixels. Where there is no peak: 0.
    weight
        (N, C, K) normalised response F > 0, falling along K; 0 = no peak.
    """

    layer: LayerSpec
    yx: F4
    weight: F4

    def __post_init__(self) -> None:
        conform(self, PEAKS, {"C": self.layer.channels})

    def __len__(self) -> int:
        return int(self.weight.shape[0])

    def take(self, images: NDArray[Any] | slice) -> Peaks:
        """Select images by index, by boolean mask, or, without a copy, by a slice."""
        return Peaks(self.layer, self.yx[images], self.weight[images])


class PeakBlock(NamedTuple):
    """Some filters of one layer in all N photos; filter c of the layer is column c - first.

    All arrays are C-contiguous float32 and read-only, so that a kernel is compiled once.

    Attributes
    ----------
    weight
        (N, C', K) responses, as in `Peaks`.
    yx
        (N, C', K, 2) positions, network pixels.
    mirrored_weight, mirrored_yx
        The same for the mirrored photos, in their own pixels; the arrays above where there are no
        mirrored peaks.
    first
        The layer's filter in column 0.
    """

    weight: F4
    yx: F4
    mirrored_weight: F4
    mirrored_yx: F4
    first: int


@dataclass(frozen=True, eq=False, slots=True)
class PeakSet(Record):
    """All that mining and matching need to know of N images: peaks of L layers, nothing dense.

    Attributes
    ----------
    images
        N names, in order.
    frames
        (N, 2, 2) the map from network pixels to the photo's unit square, per axis (y, x):
        ``unit = frames[:, :, 0] + frames[:, :, 1] * px``.
    input_size
        (H_in, W_in) of the network's input, pixels.
    peaks
        L layers, lowest first.
    mirrored
        The same for the mirrored network input, in the mirrored input's own pixels; or None.
    maps
        (N, V, H, W, C) response maps of `look_layer`: V = 2 views, the photo as given and mirrored,
        or 1 without mirroring; or None. Parts are looked for with them.
    photo_size
        (N, 2) height and width of the whole upright photos, pixels; or None where unknown.
    channel_mean, channel_scale
        Per layer, (C,) m_c and s_c of the response max((a - m_c) / s_c, 0).
    header
        Model, weight hash and preprocessing: what a file made from these peaks records.
    """

    images: tuple[str, ...]
    frames: F8
    input_size: tuple[int, int]
    peaks: tuple[Peaks, ...]
    mirrored: tuple[Peaks, ...] | None
    channel_mean: tuple[F4, ...]
    channel_scale: tuple[F4, ...]
    header: Mapping[str, Any] = field(default_factory=dict)
    maps: F2 | None = None
    photo_size: I4 | None = None

    def __post_init__(self) -> None:
        n = len(self.images)
        for peaks in (*self.peaks, *(self.mirrored or ())):
            require(len(peaks) == n, f"PeakSet has {n} images but {len(peaks)} rows of peaks")
        mirrored = tuple(p.layer for p in self.mirrored or self.peaks)
        require(mirrored == self.layers, "PeakSet.mirrored must have the layers of PeakSet.peaks")
        looks = of_map(self.layers[look_layer(self.layers)]) if self.layers else {}
        conform(self, PEAK_SET, {"N": n, "V": self.n_views, **looks})
        check_frames("PeakSet.frames", self.frames)
        check_input_size(self.input_size)
        conform_layers(self, CHANNELS, self.layers)
        object.__setattr__(self, "header", MappingProxyType(dict(self.header)))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        names = ", ".join(layer.name for layer in self.layers)
        return f"<PeakSet of {len(self)} photos, layers {names}>"

    def _repr_html_(self) -> str:
        rows = [
            (
                one.layer.name,
                f"{one.layer.grid[0]} x {one.layer.grid[1]}",
                one.layer.channels,
                float((one.weight > 0).sum(axis=2).mean()) if one.weight.size else 0.0,
                f"{(one.weight[..., 0] > 0).mean():.0%}" if one.weight.size else "-",
            )
            for one in reversed(self.peaks)
        ]
        head = ("layer", "grid", "filters", "peaks of a map", "maps that fire")
        ways = "photos and their mirror images" if self.mirrored is not None else "photos as given"
        return markup.shown(
            "Activation peaks",
            f"{photos_named(self.images)}; {ways}",
            markup.html_table(head, rows),
        )

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The L layers, lowest first."""
        return tuple(p.layer for p in self.peaks)

    @property
    def n_views(self) -> int:
        """2 with the mirrored photos, else 1."""
        return 1 if self.mirrored is None else 2

    def block(self, layer: int, first: int, last: int) -> PeakBlock:
        """Return the peaks of filters ``first`` to ``last`` - 1 of a layer, and here of all."""
        given = self.peaks[layer]
        other = given if self.mirrored is None else self.mirrored[layer]
        return PeakBlock(given.weight, given.yx, other.weight, other.yx, 0)

    def oriented(self, mirrored: NDArray[Any]) -> tuple[Peaks, ...]:
        """Return each layer's peaks, of each photo as given or, where ``mirrored (N,)``, mirrored.

        Places are in the pixels of the input that was taken.

        Raises
        ------
        ExplGraphError
            If a photo is to be mirrored and there are no mirrored peaks.
        """
        return tuple(self.oriented_layer(layer, mirrored) for layer in range(len(self.peaks)))

    def oriented_layer(self, layer: int, mirrored: NDArray[Any]) -> Peaks:
        """Return one layer's peaks as `oriented` does."""
        given, flip = self.peaks[layer], np.asarray(mirrored).astype(bool)
        check_shape("mirrored", flip, (len(self),))
        if not flip.any():
            return given
        if self.mirrored is None:
            raise ExplGraphError(
                "some photos are to be seen mirrored, but their mirrored peaks are missing: "
                "extract with mirror=True"
            )
        other, flip = self.mirrored[layer], flip[:, None, None]
        return Peaks(
            given.layer,
            np.where(flip[..., None], other.yx, given.yx),
            np.where(flip, other.weight, given.weight),
        )

    def groups(self) -> Iterator[PeakSet]:
        """Yield all photos in order, `GROUP` at a time, as views."""
        return (self.group(number) for number in range(-(-len(self) // GROUP)))

    def group(self, number: int) -> PeakSet:
        """Return one of these, by its number from 0."""
        return self.take(slice(number * GROUP, (number + 1) * GROUP))

    def room(self, shape: tuple[int, ...]) -> F4:
        """Return zeros that are written into, in memory."""
        return np.zeros(shape, dtype=np.float32)

    def take(self, images: NDArray[Any] | slice) -> PeakSet:
        """Select images by index, by boolean mask, or, without a copy, by a slice."""
        mirrored = None if self.mirrored is None else tuple(p.take(images) for p in self.mirrored)
        return replace(
            self,
            images=tuple(self.images[i] for i in np.arange(len(self))[images]),
            frames=self.frames[images],
            peaks=tuple(p.take(images) for p in self.peaks),
            mirrored=mirrored,
            maps=None if self.maps is None else self.maps[images],
            photo_size=None if self.photo_size is None else self.photo_size[images],
        )

    @classmethod
    def joined(cls, parts: Sequence[PeakSet]) -> PeakSet:
        """Put photos together that were looked at alike; the header is the first one's."""

        def rows(name: str) -> Any:  # noqa: ANN401  None where they have none
            arrays = [getattr(part, name) for part in parts]
            return None if arrays[0] is None else np.concatenate(arrays)

        def layers(name: str) -> Any:  # noqa: ANN401
            views = [getattr(part, name) for part in parts]
            return views[0] and tuple(map(_joined, zip(*views, strict=True)))

        return replace(
            parts[0],
            images=tuple(name for part in parts for name in part.images),
            peaks=layers("peaks"),
            mirrored=layers("mirrored"),
            **{name: rows(name) for name in ("frames", "maps", "photo_size")},
        )

    def save(self, path: PathLike) -> None:
        """Write the peaks to a safetensors file; equal peaks give equal bytes."""
        arrays: dict[str, NDArray[Any]] = {"frames": self.frames}
        for kind, layers in (("peaks", self.peaks), ("mirrored", self.mirrored or ())):
            for i, peaks in enumerate(layers):
                arrays[f"{kind}.{i}.yx"], arrays[f"{kind}.{i}.weight"] = peaks.yx, peaks.weight
        for i in range(len(self.peaks)):
            arrays[f"channel_mean.{i}"] = self.channel_mean[i]
            arrays[f"channel_scale.{i}"] = self.channel_scale[i]
        for name in ("maps", "photo_size"):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        header = {
            **self.header,
            "images": list(self.images),
            "input_size": list(self.input_size),
            "layers": [layer.to_json() for layer in self.layers],
        }
        write_arrays(path, "peaks", arrays, header)

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Read a peaks file.

        Raises
        ------
        ExplGraphError
            If the file is missing, cut off, foreign, or its arrays do not fit together.
        """
        arrays, header = read_arrays(path, "peaks")
        with whole_file(path, "peaks"):
            layers = [LayerSpec.from_json(value) for value in header.pop("layers")]
            images, (height, width) = header.pop("images"), header.pop("input_size")
            return cls(
                images=tuple(images),
                input_size=(height, width),
                header=header,
                **layer_arrays(CHANNELS, arrays, layers),
                **row_fields(layers, arrays),
            )


def _joined(parts: Sequence[Peaks]) -> Peaks:
    yx, weight = (np.concatenate([getattr(p, name) for p in parts]) for name in ("yx", "weight"))
    return Peaks(parts[0].layer, yx, weight)


def row_fields(layers: Sequence[LayerSpec], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the fields of a `PeakSet` that have a row for each photo, from arrays as in its file.

    Parameters
    ----------
    layers
        L layers, lowest first.
    arrays
        By name; without some of the optional ones.
    """
    both = {
        kind: tuple(
            Peaks(layer, arrays[f"{kind}.{i}.yx"], arrays[f"{kind}.{i}.weight"])
            for i, layer in enumerate(layers)
            if f"{kind}.{i}.yx" in arrays
        )
        for kind in ("peaks", "mirrored")
    }
    optional = {name: arrays.get(name) for name in ("maps", "photo_size")}
    return {
        "frames": arrays["frames"],
        "peaks": both["peaks"],
        "mirrored": both["mirrored"] or None,
        **optional,
    }


class PeakSource(Protocol):
    """Peaks of N photos: a `PeakSet`, or a spool folder with more of them than memory holds.

    A filter's mixture is fitted in many passes over that filter's peaks in all photos, so blocks of
    filters are read at once. What needs all filters of a photo goes through groups of photos.
    """

    def __len__(self) -> int: ...

    @property
    def images(self) -> tuple[str, ...]:
        """The N photos' names, in order."""

    @property
    def frames(self) -> F8:
        """(N, 2, 2) the map from network pixels to each photo's unit square."""

    @property
    def photo_size(self) -> I4 | None:
        """(N, 2) height and width of the whole photos, pixels; None where unknown."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(H_in, W_in) of the network's input, pixels."""

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The L layers, lowest first."""

    @property
    def n_views(self) -> int:
        """2 with the mirrored photos, else 1."""

    @property
    def channel_mean(self) -> tuple[F4, ...]:
        """Per layer, (C,) m_c of Eq. 1."""

    @property
    def channel_scale(self) -> tuple[F4, ...]:
        """Per layer, (C,) s_c of Eq. 1."""

    @property
    def header(self) -> Mapping[str, Any]:
        """Model, weight hash, preprocessing and the names of skipped photos."""

    def block(self, layer: int, first: int, last: int) -> PeakBlock:
        """Return the peaks of a layer's filters ``first`` to ``last`` - 1, or of more filters."""

    def groups(self) -> Iterator[PeakSet]:
        """Yield all photos in order, `explgraph.peaks.structures.GROUP` at a time."""

    def group(self, number: int) -> PeakSet:
        """Return one of these, by its number from 0."""

    def room(self, shape: tuple[int, ...]) -> F4:
        """Return zeros that are written into; with a spool, in a file that goes with them."""


def group_firsts(peaks: PeakSource) -> range:
    """Return the first photo of each group."""
    return range(0, len(peaks), GROUP)
