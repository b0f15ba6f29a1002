"""What was measured of the photos that a graph was mined from, and of what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from explgraph.base.errors import ExplGraphError

_Count = Annotated[int, Meta(ge=0)]


class Material(Struct, frozen=True, kw_only=True):
    """Figures that a graph's header keeps, so that sentences about them can be made on reading.

    Attributes
    ----------
    repeats, repeated
        How many of the N photos nearly repeat an earlier one, and the first of their names.
    silent, silenced
        In how many no filter of any layer fires, and the first of their names.
    enlarged
        How many lie in the network's input several times larger than they are.
    dead_filters
        Of each layer, lowest first, how many filters fire in no photo.
    nodes
        Of each layer, how many nodes were mined; () before mining.
    border_nodes
        How many of all nodes lie near the border.
    """

    repeats: _Count = 0
    repeated: tuple[str, ...] = ()
    silent: _Count = 0
    silenced: tuple[str, ...] = ()
    enlarged: _Count = 0
    dead_filters: tuple[_Count, ...] = ()
    nodes: tuple[_Count, ...] = ()
    border_nodes: _Count = 0

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return dict(msgspec.json.decode(msgspec.json.encode(self)))


class Origin(Struct, frozen=True):
    """What a graph's header says of the photos that it was mined from.

    Attributes
    ----------
    n_images, skipped
        How many there were; the names of those that could not be read.
    material
        What was measured of them; None in files of earlier versions.
    """

    n_images: _Count | None = None
    skipped: tuple[str, ...] = ()
    material: Material | None = None


def origin_in(header: Mapping[str, Any]) -> Origin:
    """Return what a header says of the photos.

    Raises
    ------
    ExplGraphError
        If it is not like that.
    """
    try:
        return msgspec.convert(dict(header), Origin)
    except msgspec.ValidationError as error:
        raise ExplGraphError(f"a graph's header is not like that of any: {error}") from error
