"""From DOT text with fixed positions to a file that people look at: Graphviz draws it."""

from __future__ import annotations

import base64
import math
import xml.etree.ElementTree as ET
from pathlib import Path

from explgraph.base.errors import require, unknown_name
from explgraph.base.files import PathLike

PICTURE_FORMATS = ("dot", "svg", "pdf", "png")

_PNG_DPI, _MAX_PNG_PIXELS = 144, 12e6
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def picture_format(path: PathLike, *, thumbnails: bool) -> str:
    """Return how a drawing is to be written, by its file's suffix: one of `PICTURE_FORMATS`.

    Raises
    ------
    ExplGraphError
        For any other suffix, and for DOT text that is to hold ``thumbnails``.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in PICTURE_FORMATS:
        valid = [f".{s}" for s in PICTURE_FORMATS]
        raise unknown_name("picture format", f".{suffix}", valid, f"Valid: {', '.join(valid)}")
    require(
        not (thumbnails and suffix == "dot"),
        "DOT text cannot hold thumbnails: write .svg, .pdf or .png, or leave thumbnails out",
    )
    return suffix


def render(text: str, suffix: str) -> bytes:
    """Return a drawing, whose positions are all fixed, as the bytes of a file.

    Parameters
    ----------
    text
        DOT text. Pictures in it are named by their paths; the file that is made holds them itself.
    suffix
        One of `PICTURE_FORMATS`; "dot" is the text as it stands.
    """
    if suffix == "dot":
        return text.encode()
    import pygraphviz

    drawing = pygraphviz.AGraph(string=text)
    drawing.has_layout = True  # as for `neato -n2`: take the positions from the text
    if suffix == "png":
        _, _, width, height = (float(v) for v in drawing.graph_attr["bb"].split(","))
        largest = 72 * math.sqrt(_MAX_PNG_PIXELS / (width * height))
        drawing.graph_attr["dpi"] = f"{min(_PNG_DPI, largest):.1f}"
    data = bytes(drawing.draw(format=suffix))
    return _with_pictures(data) if suffix == "svg" and b"<image" in data else data


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
