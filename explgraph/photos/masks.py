"""Masks of parts: which part is seen at each pixel of a photo, in memory and as a folder of PNG."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explgraph.base.arrays import NONE
from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.base.foreign import read_foreign
from explgraph.base.json_text import decode_json
from explgraph.base.writing import write_bytes

from .decoding import reading
from .opening import opened_picture, pixel_limit

Labels = NDArray[np.int16]

PARTS_FILE = "parts.json"
_INDEX_MODES = ("L", "P")  # 8-bit grey, or a palette whose colours are for looking at
_MOST_PARTS = 255


@dataclass(frozen=True, eq=False, slots=True)
class PartMasks:
    """Which part is seen at each pixel of N photos.

    Attributes
    ----------
    images
        N names of photos.
    parts
        Names of the parts.
    labels
        By photo, (height, width) int16: index into `parts`, `NONE` for the background. A mask
        covers the whole upright photo; it may be larger or smaller.
    """

    images: tuple[str, ...]
    parts: tuple[str, ...]
    labels: tuple[Labels, ...]

    def __post_init__(self) -> None:
        require(
            0 < len(self.parts) <= _MOST_PARTS,
            f"masks need 1 to {_MOST_PARTS} parts, got {len(self.parts)}",
        )
        require(
            len(self.images) == len(self.labels),
            f"PartMasks has {len(self.images)} photos but {len(self.labels)} masks",
        )
        for name, mask in zip(self.images, self.labels, strict=True):
            require(
                mask.ndim == 2 and mask.size > 0,
                f"the mask of {name} must have shape (height, width), got {mask.shape}",
            )
            low, high = int(mask.min()), int(mask.max())
            require(
                low >= NONE and high < len(self.parts),
                f"the mask of {name} must hold labels from {NONE} to {len(self.parts) - 1}, got "
                f"{low} to {high}",
            )
        object.__setattr__(
            self, "labels", tuple(np.asarray(mask, dtype=np.int16) for mask in self.labels)
        )

    def __len__(self) -> int:
        return len(self.images)


def read_masks(folder: PathLike, images: Sequence[str]) -> PartMasks:
    """Read the masks of some photos.

    Parameters
    ----------
    folder
        One 8-bit grey or palette PNG for each photo, of the photo's name with the suffix ``.png``
        (``cats/01.jpg`` has ``cats/01.png``): 0 = background, i = the i-th part. And
        ``parts.json``: the list of the parts' names. It must not lie within the folder of photos,
        where masks would be taken for photos.
    images
        Names of N photos, as `open_images` gives them.

    Returns
    -------
    The masks in the order of ``images``.

    Raises
    ------
    ExplGraphError
        If a file is missing or is none of these, or a label has no name.
    """
    root = Path(folder)
    parts = _read_parts(root / PARTS_FILE)
    labels = [_read_mask(root / _file_name(image), len(parts)) for image in images]
    return PartMasks(tuple(images), parts, tuple(labels))


def write_masks(folder: PathLike, masks: PartMasks) -> None:
    """Write masks as `read_masks` reads them; those of an earlier run are replaced."""
    root = Path(folder)
    write_bytes(root / PARTS_FILE, json.dumps(list(masks.parts), indent=2).encode())
    for name, mask in zip(masks.images, masks.labels, strict=True):
        buffer = io.BytesIO()
        Image.fromarray((mask - NONE).astype(np.uint8)).save(buffer, "PNG")
        write_bytes(root / _file_name(name), buffer.getvalue())


def _file_name(image: str) -> PurePosixPath:
    return PurePosixPath(image).with_suffix(".png")


def _read_parts(path: Path) -> tuple[str, ...]:
    require(
        path.exists(),
        f"{path} is missing: expected the list of the parts' names, e.g. "
        '["head", "tail"], where label 1 in the masks is the first',
    )
    found: list[str] = decode_json(read_foreign(path), str(path), list[str])
    require(
        0 < len(found) <= _MOST_PARTS,
        f"{path} must be a list of 1 to {_MOST_PARTS} names, got {len(found)}",
    )
    return tuple(found)


def _read_mask(path: Path, n_parts: int) -> Labels:
    """Return a mask's labels, shifted so that the background is `NONE`."""
    require(path.exists(), f"{path} is missing: every photo needs a mask")
    limit = pixel_limit()
    with reading(str(path)), opened_picture(path, limit) as image:
        mode, values = image.mode, np.array(image)
    require(
        mode in _INDEX_MODES,
        f"{path} must be an 8-bit grey or palette PNG of labels, got Pillow's mode {mode!r}",
    )
    require(
        int(values.max(initial=0)) <= n_parts,
        f"{path} holds the label {int(values.max(initial=0))}, but {PARTS_FILE} names only "
        f"{n_parts} parts",
    )
    labels: Labels = values.astype(np.int16) + np.int16(NONE)
    return labels
