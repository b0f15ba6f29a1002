"""From DOT text with fixed positions to a file that people look at: Graphviz draws it."""

from __future__ import annotations

import base64
import ctypes
import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Self

from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.files import PathLike
from explgraph.base.writing import check_writable, write_bytes

PICTURE_FORMATS = ("dot", "svg", "pdf", "png")

_PNG_DPI, _MAX_PNG_PIXELS = 144, 12e6
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing by Graphviz, which a notebook shows.

    Attributes
    ----------
    data
        The bytes of a file.
    format
        "svg", "png", "pdf" or "dot".
    """

    data: bytes
    format: str

    def __repr__(self) -> str:
        return f"Drawing({self.format}, {len(self.data):,} bytes)"

    def __str__(self) -> str:
        """Return the text of a drawing in SVG or DOT."""
        return self.data.decode() if self.format in ("svg", "dot") else repr(self)

    def _repr_svg_(self) -> str | None:
        return self.data.decode() if self.format == "svg" else None

    def _repr_png_(self) -> bytes | None:
        return self.data if self.format == "png" else None

    def save(self, path: PathLike | None) -> Self:
        """Write the drawing, unless the path is None, and return it."""
        if path is not None:
            write_bytes(path, self.data)
        return self


def picture_format(path: PathLike | None, *, thumbnails: bool) -> str:
    """Return how a drawing is to be written, by its file's suffix: one of `PICTURE_FORMATS`.

    Without a file it is SVG.

    Raises
    ------
    ExplGraphError
        For any other suffix, for DOT text that is to hold ``thumbnails``, and for a file that
        cannot be written.
    """
    suffix = "svg" if path is None else Path(path).suffix.lower().removeprefix(".")
    if suffix not in PICTURE_FORMATS:
        valid = [f".{s}" for s in PICTURE_FORMATS]
        raise unknown_name("picture format", f".{suffix}", valid, f"Valid: {', '.join(valid)}")
    require(
        not (thumbnails and suffix == "dot"),
        "DOT text cannot hold thumbnails: write .svg, .pdf or .png, or leave thumbnails out",
    )
    if path is not None:
        check_writable(path)
    return suffix


def render(text: str, suffix: str) -> Drawing:
    """Draw what has fixed positions alone.

    Parameters
    ----------
    text
        DOT text. Pictures in it are named by their paths; the file that is made holds them itself.
    suffix
        One of `PICTURE_FORMATS`; "dot" is the text as it stands.

    Raises
    ------
    ExplGraphError
        If Graphviz cannot draw it.
    """
    if suffix == "dot":
        return Drawing(text.encode(), suffix)
    try:
        with _graphviz_lock, _heard_from_graphviz() as said:
            data = _drawn(text, suffix)
    except (ValueError, OSError) as error:
        raise ExplGraphError(
            f"Graphviz cannot draw this as .{suffix} ({error}): draw fewer nodes, shorten names, "
            "or write .json or .graphml, which hold anything"
        ) from error
    _check_pictures(said)
    whole = _with_pictures(data) if suffix == "svg" and b"<image" in data else data
    return Drawing(whole, suffix)


def _drawn(text: str, suffix: str) -> bytes:
    import pygraphviz

    drawing = pygraphviz.AGraph(string=text)
    drawing.has_layout = True  # as for `neato -n2`: take the positions from the text
    if suffix == "png":
        _, _, width, height = (float(v) for v in drawing.graph_attr["bb"].split(","))
        largest = 72 * math.sqrt(_MAX_PNG_PIXELS / (width * height))
        drawing.graph_attr["dpi"] = f"{min(_PNG_DPI, largest):.1f}"
    return bytes(drawing.draw(format=suffix))


_graphviz_lock = Lock()  # it keeps what it is doing in variables of its own
_Hears = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p)


@contextmanager
def _heard_from_graphviz() -> Iterator[list[str]]:
    """Collect what Graphviz would write to standard error, in pieces."""
    said: list[str] = []
    library = find_spec("pygraphviz._graphviz")
    assert library is not None
    try:
        set_listener = ctypes.CDLL(library.origin).agseterrf
    except (AttributeError, OSError):  # where a library does not show what it is linked with
        yield said
        return

    def hear(text: bytes) -> int:
        said.append(text.decode(errors="replace"))
        return 0

    set_listener.restype, set_listener.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    listener = _Hears(hear)  # has to live until it is taken away
    before = set_listener(ctypes.cast(listener, ctypes.c_void_p))
    try:
        yield said
    finally:
        set_listener(before)


def _check_pictures(said: Sequence[str]) -> None:
    """Raise if Graphviz left a picture out, which it calls a warning."""
    lost = [line for line in "".join(said).splitlines() if "while opening" in line]
    require(
        not lost,
        f"Graphviz could not read {len(lost)} of the thumbnails ({'; '.join(lost[:1])}): try again",
    )


def _with_pictures(svg: bytes) -> bytes:
    """Put the JPEG files that an SVG refers to into it, so that it can be sent about alone."""
    for prefix, uri in (("", _SVG), ("xlink", _XLINK)):
        ET.register_namespace(prefix, uri)  # or tags would be written as ns0:svg
    root = ET.fromstring(svg)
    for image in root.iter(f"{{{_SVG}}}image"):
        data = Path(image.attrib[f"{{{_XLINK}}}href"]).read_bytes()
        address = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
        image.set(f"{{{_XLINK}}}href", address)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))
