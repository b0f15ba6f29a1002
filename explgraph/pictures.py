"""Pictures as files and in pages, and the text on them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image, ImageFont

from .dot import printable
from .errors import unknown_name
from .storage import PathLike, write_bytes

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

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


def encoded(picture: Image.Image, name: str = "JPEG", *, quality: int = 80) -> bytes:
    """Return a picture as the bytes of a file: "PNG" or "JPEG", whose ``quality`` is 1 to 95."""
    buffer = io.BytesIO()
    options = {} if name == "PNG" else {"quality": quality, "optimize": True}
    picture.convert("RGB").save(buffer, name, **options)
    return buffer.getvalue()


def data_uri(picture: Image.Image, *, quality: int = 80) -> str:
    """Return a picture as a ``data:`` address, which a page holds in itself (JPEG)."""
    return f"data:image/jpeg;base64,{base64.b64encode(encoded(picture, quality=quality)).decode()}"


def wrapped(text: str, font: Font, width: float) -> list[str]:
    """Break text into lines of at most ``width`` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def fitted(text: str, size: int, room: float) -> str:
    """Make text one printable line; cut its beginning if it is wider than the room for it.

    What tells the filters of one network apart stands at the end of their names.
    """
    font = ImageFont.load_default(size)
    shown = " ".join(printable(text).split())
    if font.getlength(shown) <= room:
        return shown
    ends = (f"…{shown[i:]}" for i in range(1, len(shown) + 1))
    return next(text for text in ends if font.getlength(text) <= room)
