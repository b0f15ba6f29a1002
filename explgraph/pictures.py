"""Pictures as files, and as addresses within pages."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from .errors import unknown_name
from .storage import PathLike, write_bytes

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_QUALITY = 88  # of JPEG


def save_picture(picture: Image.Image, path: PathLike) -> None:
    """Write a picture; the file name's suffix says how: .png, .jpg or .jpeg.

    Raises
    ------
    ExplGraphError
        For any other suffix.
    """
    check_picture_name(path)
    name = _FORMATS[Path(path).suffix.lower()]
    write_bytes(path, encoded(picture, name, quality=_QUALITY))


def check_picture_name(path: PathLike) -> None:
    """Raise `ExplGraphError` unless a picture can be written under this name."""
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise unknown_name("picture format", suffix, _FORMATS, f"Valid: {', '.join(_FORMATS)}")


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
