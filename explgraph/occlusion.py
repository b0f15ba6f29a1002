"""Photos in which a part is painted over, and the same photos painted over elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import require
from .images import ImageSource

if TYPE_CHECKING:
    from .annotations import Annotations

_MOST_OVERLAP = 0.1  # of the box, with the one that is painted over instead
_DRAWS = 200

_Box = tuple[int, int, int, int]  # y0, x0, height, width, whole pixels


class OccludedPhotos(NamedTuple):
    """n photos, each painted over in two ways.

    ``rows (n,)`` in the collection; ``hidden`` with texture over the part's box; ``control``
    with the same texture over a box of the same size elsewhere.
    """

    rows: list[int]
    hidden: list[Image.Image]
    control: list[Image.Image]


def hide_part(
    photos: ImageSource,
    annotations: Annotations,
    part: str,
    textures: ImageSource,
    *,
    seed: int = 0,
) -> OccludedPhotos:
    """Paint a part over with the texture of other photos.

    Parameters
    ----------
    photos
        N whole photos.
    annotations
        Of the part, with sizes. Photos with exactly one instance are used, if there is room for a
        box of that size elsewhere: at most a tenth of it may cover the part.
    part
        Name.
    textures
        Photos of anything, which the paint is cut from.
    seed
        Of texture and place.

    Raises
    ------
    ExplGraphError
        If the part is unknown, or no photo can be used.
    """
    marks = annotations.of(part)
    row_of = {name: i for i, name in enumerate(photos.names)}
    rng = np.random.default_rng(seed)
    result = OccludedPhotos([], [], [])
    for i, name in sorted(enumerate(marks.image), key=lambda pair: pair[1]):
        if name not in row_of or marks.image.count(name) > 1 or np.isnan(marks.size[i]).any():
            continue
        photo = photos.load(row_of[name]).image
        box = _whole_box(marks.yx[i], marks.size[i], photo)
        other = _elsewhere(box, photo, rng)
        if other is None:
            continue
        texture = _cut(textures.load(int(rng.integers(len(textures)))).image, box, rng)
        result.rows.append(row_of[name])
        result.hidden.append(_painted(photo, box, texture))
        result.control.append(_painted(photo, other, texture))
    require(
        len(result.rows) > 0,
        f"part {part!r}: no photo with exactly one box of it, and room for another",
    )
    return result


def _whole_box(yx: NDArray[np.float64], size: NDArray[np.float64], photo: Image.Image) -> _Box:
    """Return the pixels of a box that lie in the photo; an integer is the centre of a pixel."""
    limit = np.array([photo.height, photo.width])
    low = np.clip(np.round(yx - size / 2), 0, limit - 1).astype(int)
    high = np.clip(np.round(yx + size / 2) + 1, low + 1, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def _elsewhere(box: _Box, photo: Image.Image, rng: np.random.Generator) -> _Box | None:
    """Draw a box of the same size that keeps clear of the part, or None if there is no room."""
    y, x, height, width = box
    for _ in range(_DRAWS):
        top = int(rng.integers(photo.height - height + 1))
        left = int(rng.integers(photo.width - width + 1))
        overlap = max(0, height - abs(top - y)) * max(0, width - abs(left - x))
        if overlap <= _MOST_OVERLAP * height * width:
            return top, left, height, width
    return None


def _cut(photo: Image.Image, box: _Box, rng: np.random.Generator) -> Image.Image:
    """Cut a piece of a box's size out of a photo, which is enlarged if it is too small."""
    _, _, height, width = box
    scale = max(1.0, height / photo.height, width / photo.width)
    if scale > 1:
        photo = photo.resize(
            (max(width, round(photo.width * scale)), max(height, round(photo.height * scale)))
        )
    top = int(rng.integers(photo.height - height + 1))
    left = int(rng.integers(photo.width - width + 1))
    return photo.crop((left, top, left + width, top + height))


def _painted(photo: Image.Image, box: _Box, texture: Image.Image) -> Image.Image:
    result = photo.copy()
    result.paste(texture, (box[1], box[0]))
    return result
