"""Pictures as files and as data, and the colours of maps."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from explgraph.base.arrays import F4, F8
from explgraph.base.errors import unknown_name
from explgraph.base.files import PathLike
from explgraph.base.writing import check_writable, write_bytes

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_QUALITY = 88  # of JPEG


def save_picture(picture: Image.Image, path: PathLike | None) -> Image.Image:
    """Write a picture, unless the path is None, and return it.

    The file name's suffix says how: .png, .jpg or .jpeg.

    Raises
    ------
    ExplGraphError
        For any other suffix.
    """
    check_picture_name(path)
    if path is not None:
        name = _FORMATS[Path(path).suffix.lower()]
        write_bytes(path, encoded(picture, name, quality=_QUALITY))
    return picture


def check_picture_name(path: PathLike | None) -> None:
    """Raise `ExplGraphError` unless a picture can be written under this name; None: nowhere."""
    suffix = None if path is None else Path(path).suffix.lower()
    if suffix is not None and suffix not in _FORMATS:
        raise unknown_name("picture format", suffix, _FORMATS, f"Valid: {', '.join(_FORMATS)}")
    if path is not None:
        check_writable(path)


def shrunk(picture: Image.Image, side: int) -> Image.Image:
    """Return a picture whose longer side has so many pixels, in RGB."""
    scale = side / max(picture.size)
    width, height = (max(round(length * scale), 1) for length in picture.size)
    return picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def encoded(picture: Image.Image, name: str = "JPEG", *, quality: int = 80) -> bytes:
    """Return a picture as the bytes of a file: "PNG" or "JPEG", whose ``quality`` is 1 to 95."""
    buffer = io.BytesIO()
    options = {} if name == "PNG" else {"quality": quality, "optimize": True}
    picture.convert("RGB").save(buffer, name, **options)
    return buffer.getvalue()


def data_uri(picture: Image.Image, *, quality: int = 80) -> str:
    """Return a picture as a ``data:`` address, which a page holds in itself (JPEG)."""
    return f"data:image/jpeg;base64,{base64.b64encode(encoded(picture, quality=quality)).decode()}"


# Every 17th of the 256 colours of viridis by S. van der Walt, N. Smith and E. Firing (CC0, from
# matplotlib). It is perceptually uniform, and colour-blind people can read it.
VIRIDIS = np.array([
    (0x44, 0x01, 0x54), (0x48, 0x1A, 0x6C), (0x47, 0x2F, 0x7D), (0x41, 0x44, 0x87),
    (0x39, 0x56, 0x8C), (0x31, 0x68, 0x8E), (0x2A, 0x78, 0x8E), (0x23, 0x88, 0x8E),
    (0x1F, 0x98, 0x8B), (0x22, 0xA8, 0x84), (0x35, 0xB7, 0x79), (0x54, 0xC5, 0x68),
    (0x7A, 0xD1, 0x51), (0xA5, 0xDB, 0x36), (0xD2, 0xE2, 0x1B), (0xFD, 0xE7, 0x25),
], dtype=np.float64)  # fmt: skip
"""Stops of the scale for magnitudes, evenly spaced, RGB."""

AGAINST, FOR = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
"""Blue and vermilion of Okabe and Ito's palette, for values below and above 0."""

GREYS = (60.0, 215.0)
"""Black and white of the photo beneath: neither hides the colours."""

_NEITHER = (235, 235, 235)  # between the two on a scale
_OPACITY, _FADE = 0.9, 0.6  # of the strongest value; the power by which that of others falls
_PALE = 0.8  # of white over what the network did not see


def greys(photo: Image.Image) -> F8:
    """Return (h, w) a photo in greys that leave room for colours."""
    dark, light = GREYS
    return dark + np.asarray(photo.convert("L"), dtype=np.float64) / 255 * (light - dark)


def heated(grey: F8, values: F4, strength: F4) -> Image.Image:
    """Lay the colours of magnitudes over greys, the more opaque the stronger.

    All are (h, w), values and strength from 0 to 1; where they are NaN, the photo is pale.
    """
    stops = np.linspace(0, 1, len(VIRIDIS))
    color = np.stack([np.interp(values, stops, channel) for channel in VIRIDIS.T], axis=-1)
    return _laid(grey, color, strength)


def signed(grey: F8, values: F4) -> Image.Image:
    """Lay the colours of values from -1 to 1 over greys: `AGAINST` below 0, `FOR` above.

    Both are (h, w); where values are NaN, the photo is pale.
    """
    is_for = (np.nan_to_num(values) > 0)[..., None]
    color = np.where(is_for, np.array(FOR, dtype=np.float64), np.array(AGAINST, dtype=np.float64))
    return _laid(grey, color, np.abs(values))


def scale(size: tuple[int, int], *, signed: bool) -> Image.Image:
    """Return a bar (width, height) of the colours of values or magnitudes, rising to the right."""
    colors = np.array([AGAINST, _NEITHER, FOR], dtype=np.float64) if signed else VIRIDIS
    share = np.linspace(0, 1, size[0])[None].repeat(size[1], axis=0)
    stops = np.linspace(0, 1, len(colors))
    color = np.stack([np.interp(share, stops, channel) for channel in colors.T], axis=-1)
    return Image.fromarray(np.round(color).astype(np.uint8))


def _laid(grey: F8, color: F8, strength: F4) -> Image.Image:
    unseen = np.isnan(strength)[..., None]
    opacity = _OPACITY * strength[..., None] ** _FADE
    mixed = grey[..., None] + opacity * (color - grey[..., None])
    pale = (grey + _PALE * (255 - grey))[..., None]
    return Image.fromarray(np.round(np.where(unseen, pale, mixed)).astype(np.uint8))
