"""What mining sees of photos, whether their peaks are in memory or in files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from .structures import F4, F8, I4, LayerSpec, PeakBlock, PeakSet


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
        """Yield all photos in order, `explgraph.structures.GROUP` at a time."""
