"""Where part groups are in photos, as a table for other tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from explgraph.base.arrays import F8
from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.base.tables import write_table
from explgraph.graphs.groups import GroupPlaces
from explgraph.photos.annotations import PhotoSize, photo_shapes, pixel_yx

COLUMNS = ("image", "part", "x", "y", "sureness")
"""Of the table."""


def write_group_places(
    path: PathLike, places: GroupPlaces, names: Sequence[str], photo_size: PhotoSize
) -> None:
    """Write where groups are as a CSV table; equal places give equal bytes.

    Pixels are those of annotations: of the upright photo, an integer is the *centre* of a pixel, so
    that `read_annotations` reads the table as well.

    Parameters
    ----------
    path
        The file; missing folders are made.
    places
        G groups in N photos.
    names
        G names, such as `PartGroups.labels`.
    photo_size
        (height, width) of all photos in pixels, or one pair by name: `Matches.photo_sizes`.

    Raises
    ------
    ExplGraphError
        If there are more or fewer names than groups, or a photo's size is unknown.
    """
    n_groups = places.sureness.shape[1]
    require(len(names) == n_groups, f"{n_groups} groups need as many names, got {len(names)}")
    shapes = photo_shapes(photo_size, places.images)
    write_table(path, COLUMNS, _rows(places, names, shapes))


def _rows(places: GroupPlaces, names: Sequence[str], shapes: F8) -> Iterator[tuple[str, ...]]:
    for image, shape, yx, sure in zip(
        places.images, shapes, places.yx.astype(np.float64), places.sureness, strict=True
    ):
        pixels = np.round(pixel_yx(yx, shape), 2) + 0.0  # no "-0.0"
        for name, (y, x), sureness in zip(names, pixels.tolist(), sure.tolist(), strict=True):
            yield image, name, f"{x:.2f}", f"{y:.2f}", f"{sureness:.4f}"
