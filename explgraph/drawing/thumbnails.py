"""Thumbnails: the nodes of a drawing as small pictures, in files that Graphviz can load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.temporaries import temporary_folder
from explgraph.graphs.choice import places_in
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.graph_arrays import graph_hash
from explgraph.graphs.matches import Matches, check_nodes
from explgraph.photos.images import ImageSource, open_images

from .look import FAINT
from .patches import GLANCE_SHARE, OUTSIDE, best_photos, group_photos, node_patches
from .pictures import encoded

TILE = 112
"""Side of a thumbnail, pixels."""

_FINER, _RING = 4, 5.0
_NO_PEAK = "no peak\nin these\nphotos"


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Pictures of a graph's nodes, for as long as their folder is there.

    Attributes
    ----------
    graph, found, source
        P nodes, where they are in N photos, and the photos.
    folder
        Where files go.
    """

    graph: ExplanatoryGraph
    found: Matches
    source: ImageSource
    folder: Path

    def cut(self, drawn: ExplanatoryGraph, nodes: Iterable[int]) -> dict[int, Image.Image]:
        """Cut nodes out of the photos in which they score best, in the graph's own orientation.

        Parameters
        ----------
        drawn
            A part of the graph.
        nodes
            Indices in ``drawn``.

        Returns
        -------
        By index in ``drawn``, squares of `TILE` pixels; a grey one that says so of a node without
        a peak in any photo.
        """
        place = places_in(self.graph, drawn)
        whole = {node: int(place[node]) for node in nodes}
        best = {node: best_photos(self.found, node, 1) for node in whole.values()}
        patches = node_patches(self.graph, self.found, self.source, best, TILE)
        cut = {node: patch for (node, _), patch in patches.items()}
        return {node: cut[known] if known in cut else _empty() for node, known in whole.items()}

    def cut_apart(
        self, drawn: ExplanatoryGraph, columns: Sequence[Sequence[int]]
    ) -> dict[int, Image.Image]:
        """Cut nodes as `cut` does, but those of a column out of photos that differ.

        Patches have the share of the photo that part groups are shown with, whatever the layer.
        """
        place = places_in(self.graph, drawn)
        shown: dict[int, tuple[int, int]] = {}
        for column in columns:
            whole = {int(place[node]): node for node in column}
            for node, photo in group_photos(self.graph, self.found, [*whole], len(whole)):
                shown.setdefault(whole[node], (node, photo))
        wanted = {node: (photo,) for node, photo in shown.values()}
        source, share = self.source, GLANCE_SHARE
        patches = node_patches(self.graph, self.found, source, wanted, TILE, share=share)
        nodes = (node for column in columns for node in column)
        return {node: patches[shown[node]] if node in shown else _empty() for node in nodes}

    def save(self, tiles: Mapping[int, Image.Image]) -> dict[int, str]:
        """Write pictures as JPEG files, and return their paths."""
        paths = {key: self.folder / f"{key}.jpg" for key in tiles}
        for key, path in paths.items():
            path.write_bytes(encoded(tiles[key]))
        return {key: str(path) for key, path in paths.items()}


@contextmanager
def open_thumbnails(
    graph: ExplanatoryGraph, found: Matches | None, images: object
) -> Iterator[Thumbnails]:
    """Check that a graph, its matches and photos belong together, and make a folder for pictures.

    Raises
    ------
    ExplGraphError
        If there are no matches or no photos, or the matches are of another graph.
    """
    missing = [name for name, value in (("found", found), ("images", images)) if value is None]
    if found is None or missing:
        raise ExplGraphError(
            f"thumbnails=True needs {' and '.join(missing)}: give found=match(graph, net, photos) "
            "and images=photos, which the nodes are cut out of"
        )
    check_nodes(graph, found)
    own = graph_hash(graph)
    same = found.header.get("graph_hash", own) == own
    require(same, "the matches are of another graph with as many nodes: match this graph")
    with temporary_folder() as folder:
        yield Thumbnails(graph, found, open_images(images), folder)


def medallion(tile: Image.Image, color: str) -> Image.Image:
    """Cut a picture to a disc with a coloured rim, white around it."""
    side = tile.width * _FINER
    rim, inside = (Image.new("L", (side, side), 0) for _ in range(2))
    ImageDraw.Draw(rim).ellipse((0, 0, side - 1, side - 1), 255)
    edge = _RING * _FINER
    ImageDraw.Draw(inside).ellipse((edge, edge, side - 1 - edge, side - 1 - edge), 255)
    masks = [mask.resize(tile.size, Image.Resampling.LANCZOS) for mask in (rim, inside)]
    result = Image.new("RGB", tile.size, "white")
    result.paste(Image.new("RGB", tile.size, color), mask=masks[0])
    result.paste(tile.convert("RGB"), mask=masks[1])
    return result


def _empty() -> Image.Image:
    tile = Image.new("RGB", (TILE, TILE), OUTSIDE)
    draw = ImageDraw.Draw(tile)
    middle = (TILE / 2, TILE / 2)
    font = ImageFont.load_default(19)
    draw.multiline_text(middle, _NO_PEAK, fill=FAINT, font=font, anchor="mm", align="center")
    return tile
