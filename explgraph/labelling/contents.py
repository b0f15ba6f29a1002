"""What a labelling session works with, and never changes."""

from __future__ import annotations

from pathlib import Path

from aog import PartConfig
from explgraph.base.files import PathLike
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches

from .folder import Material


class Contents:
    """Base of `LabelSession`: photos, the graph and its matches."""

    def __init__(self, folder: PathLike, made: Material) -> None:
        self.folder = Path(folder)
        self._made = made

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str(self.folder)!r} of {len(self.images)} photos>"

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the N photos, in order."""
        return self._made.found.images

    @property
    def photo_sizes(self) -> dict[str, tuple[int, int]]:
        """Height and width of the upright photos, pixels, by name."""
        return self._made.found.photo_sizes

    @property
    def photos(self) -> str | None:
        """Where the photos are, as `LabelSession.create` was told."""
        return self._made.photos

    @property
    def graph(self) -> ExplanatoryGraph:
        """The graph whose nodes parts are made of."""
        return self._made.graph

    @property
    def found(self) -> Matches:
        """Its matches in the photos."""
        return self._made.found

    @property
    def config(self) -> PartConfig:
        """How parts are fitted."""
        return self._made.config
