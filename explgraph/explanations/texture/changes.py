"""Photos without their colour, shape, texture, coarse or fine detail: what `probe_texture` shows.

The changes follow Geirhos et al., "ImageNet-trained CNNs are biased towards texture" (ICLR 2019):
grey, silhouettes, edges; Zhang and Zhu, "Interpreting adversarially trained convolutional neural
networks" (ICML 2019): shuffled patches; and Geirhos et al., "Generalisation in humans and deep
neural networks" (NeurIPS 2018): low-passed, high-passed. Lengths are shares of a photo's sides, so
that a photo and the same photo at half the resolution are changed alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from explgraph.base.arrays import F8, U1
from explgraph.base.errors import import_extra, installing, require

Mask = NDArray[np.bool_]
Alter = Callable[[Image.Image, str], Image.Image]
"""From a photo and its name to the changed photo."""

GRID = 4
"""Patches along each side of a shuffled photo."""

EDGE_SIGMA, EDGE_LINE = 0.008, 0.006
"""Edges: the blur before they are looked for, and how wide lines are drawn."""

PASS_SIGMA = 0.02
"""What parts coarse from fine detail: of the longer side."""

_INK, _PAPER = 0, 255
_ROUGH_SIDE = 160  # photos are segmented at this size: segments then mean the same in all of them
_SEGMENTS = {"scale": 150, "sigma": 0.8, "min_size": 40}
_MOST_BORDER = 1.0  # pixels on the photo's border per square root of a segment's pixels

NEEDS_SKIMAGE = f"scikit-image is needed: {installing('explain')}"
"""Why some changes may not be possible."""


def grey(image: Image.Image) -> Image.Image:
    """Take the colours away (luma of ITU-R 601)."""
    return ImageOps.grayscale(image).convert("RGB")


def silhouette(image: Image.Image, mask: Mask) -> Image.Image:
    """Leave nothing but the object's outline: black on white.

    Parameters
    ----------
    image
        The photo.
    mask
        (h, w) where the object is; covers the whole photo, in any resolution.

    Raises
    ------
    ExplGraphError
        If the mask shows no object.
    """
    require(bool(mask.any()), "the mask shows no object: there is no silhouette to draw")
    shown = np.where(mask, _INK, _PAPER).astype(np.uint8)
    return Image.fromarray(shown).resize(image.size, Image.Resampling.NEAREST).convert("RGB")


def edges(image: Image.Image) -> Image.Image:
    """Draw edges as dark lines on white (Canny's detector, by scikit-image).

    They are one pixel wide at least.

    Raises
    ------
    ExplGraphError
        If scikit-image is not installed.
    """
    canny = import_extra("skimage.feature", "explain").canny
    from scipy.ndimage import binary_dilation

    values = np.asarray(ImageOps.grayscale(image), dtype=np.float64) / 255
    side = max(image.size)
    found = canny(values, sigma=EDGE_SIGMA * side)
    width = max(round(EDGE_LINE * side), 1)
    thick = binary_dilation(found, np.ones((width, width), dtype=bool))
    return Image.fromarray(np.where(thick, _INK, _PAPER).astype(np.uint8)).convert("RGB")


def shuffled(image: Image.Image, *, grid: int = GRID, seed: int | Sequence[int] = 0) -> Image.Image:
    """Cut the photo into patches and put them together in another order.

    Patches are of one size: of a side that the grid does not divide, the last pixels are left out.

    Parameters
    ----------
    image
        The photo.
    grid
        Patches along each side.
    seed
        Of the order, which is never the given one.

    Raises
    ------
    ExplGraphError
        If a side has fewer pixels than patches, or the grid is below 2.
    """
    require(
        2 <= grid <= min(image.size),
        f"a photo of {image.width} by {image.height} pixels can be cut into a grid of 2 to "
        f"{min(image.size)} patches a side, got {grid}",
    )
    pixels = np.asarray(image.convert("RGB"))
    height, width = (side // grid for side in pixels.shape[:2])
    whole = pixels[: grid * height, : grid * width].reshape(grid, height, grid, width, 3)
    patches = whole.swapaxes(1, 2).reshape(grid * grid, height, width, 3)
    mixed = patches[_order(grid * grid, seed)].reshape(grid, grid, height, width, 3)
    return Image.fromarray(mixed.swapaxes(1, 2).reshape(grid * height, grid * width, 3))


def _order(count: int, seed: int | Sequence[int]) -> NDArray[np.int64]:
    """Return a random order that is not the given one."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(count)
    while (order == np.arange(count)).all():
        order = rng.permutation(count)
    return order


def low_pass(image: Image.Image, *, sigma: float = PASS_SIGMA) -> Image.Image:
    """Keep what is coarse: blur with a Gaussian of ``sigma`` times the longer side."""
    return _rounded(_blurred(image, sigma))


def high_pass(image: Image.Image, *, sigma: float = PASS_SIGMA) -> Image.Image:
    """Keep what is fine: the photo minus what `low_pass` keeps, about the photo's mean colour."""
    pixels = np.asarray(image.convert("RGB"), dtype=np.float64)
    return _rounded(pixels - _blurred(image, sigma) + pixels.mean(axis=(0, 1)))


def _blurred(image: Image.Image, sigma: float) -> F8:
    from scipy.ndimage import gaussian_filter

    require(sigma > 0, f"sigma must be positive: a share of the photo's longer side, got {sigma}")
    pixels = np.asarray(image.convert("RGB"), dtype=np.float64)
    width = sigma * max(image.size)
    result: F8 = gaussian_filter(pixels, (width, width, 0), mode="nearest")
    return result


def _rounded(pixels: F8) -> Image.Image:
    values: U1 = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return Image.fromarray(values)


def rough_mask(image: Image.Image) -> Mask:
    """Guess where the object is: the parts of the photo that hardly touch its border.

    The photo is cut into segments (Felzenszwalb and Huttenlocher 2004, by scikit-image). One that
    lies on the photo's border with as many pixels as a square of its area has along one side, or
    more, is background: the boundary connectivity of Zhu et al., "Saliency optimization from robust
    background detection" (CVPR 2014). Holes are filled, and of separate pieces the largest is
    taken. This is rough: ground often stays with the object, and an object that fills the photo is
    lost. On the demo's drawings it covers about half of what object and guess have together.

    Parameters
    ----------
    image
        The photo.

    Returns
    -------
    (h, w) with a longer side of 160; all False if everything seems to be background.

    Raises
    ------
    ExplGraphError
        If scikit-image is not installed.
    """
    felzenszwalb = import_extra("skimage.segmentation", "explain").felzenszwalb
    from scipy.ndimage import binary_fill_holes, binary_opening, label

    scale = _ROUGH_SIDE / max(image.size)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    small = np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    segments = felzenszwalb(small, **_SEGMENTS)
    border = np.ones(segments.shape, dtype=bool)
    border[1:-1, 1:-1] = False
    area = np.bincount(segments.ravel())
    on_border = np.bincount(segments[border], minlength=len(area))
    inside = (on_border / np.sqrt(area) < _MOST_BORDER)[segments]
    pieces, count = label(binary_opening(binary_fill_holes(inside), iterations=2))
    if count == 0:
        return np.zeros_like(inside)
    mask: Mask = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return mask


def has_skimage() -> bool:
    """Tell whether scikit-image is installed."""
    return find_spec("skimage") is not None


@dataclass(frozen=True, eq=False, slots=True)
class Change:
    """One way to change photos, with its settings.

    Attributes
    ----------
    name
        "grey", "silhouettes", ...
    alter
        Changes a photo, given its name. It does the same whenever it is asked.
    leaves
        What it leaves of an object: "shape", "texture"; or "both", as far as either is to be seen.
    moves
        Whether things are elsewhere afterwards.
    settings
        What makes it what it is: JSON values.
    photos
        Names of the photos that can be changed so; None: all.
    """

    name: str
    alter: Alter
    leaves: Literal["shape", "texture", "both"] = "both"
    moves: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    photos: AbstractSet[str] | None = None

    def allows(self, name: str) -> bool:
        """Tell whether a photo can be changed in this way."""
        return self.photos is None or name in self.photos

    def to_json(self) -> dict[str, Any]:
        """Return name and settings."""
        return {"name": self.name, **self.settings}


UNCHANGED = Change("unchanged", lambda image, _: image)
"""The photo as it is."""


def photo_changes(seed: int = 0) -> dict[str, Change]:
    """Return by name the changes that need nothing but the photo; see `silhouettes` for the other.

    Parameters
    ----------
    seed
        Of the orders of patches, of which each photo has one of its own, by its name.
    """

    def shuffle(image: Image.Image, name: str) -> Image.Image:
        return shuffled(image, seed=(seed, zlib.crc32(name.encode(errors="surrogatepass"))))

    lines = {"detector": "Canny (scikit-image)", "sigma": EDGE_SIGMA, "line": EDGE_LINE}
    coarse = {"sigma": PASS_SIGMA}
    changes = (
        Change("grey", lambda image, _: grey(image), settings={"luma": "ITU-R 601"}),
        Change("edges", lambda image, _: edges(image), "shape", settings=lines),
        Change("shuffled", shuffle, "texture", moves=True, settings={"grid": GRID, "seed": seed}),
        Change("low-passed", lambda image, _: low_pass(image), settings=coarse),
        Change("high-passed", lambda image, _: high_pass(image), settings=coarse),
    )
    return {change.name: change for change in changes}


def silhouettes(masks: Mapping[str, Mask], origin: str) -> Change:
    """Return the change of photos into silhouettes.

    Parameters
    ----------
    masks
        By photo, where its object is, for `silhouette`.
    origin
        Where the masks are from.
    """
    return Change(
        "silhouettes",
        lambda image, name: silhouette(image, masks[name]),
        "shape",
        settings={"mask": origin},
        photos=masks.keys(),
    )
