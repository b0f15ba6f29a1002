"""And-Or graphs of semantic parts, and where they find the parts: frozen structs of arrays.

A part (OR) has templates, one per pose; a template (AND) has latent patterns, nodes of an
explanatory graph, that vote for where the part is; patterns in one group are alternatives (OR),
parts of one filter; a pattern's terminals are the peaks of its filter. Dimensions: T templates, Q
patterns of all templates of a part, P nodes, N photos, M = N x parts answers, G cells along a side.

Positions are network pixels in the graph's own orientation, unless another is named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from explgraph.base import markup
from explgraph.base.arrays import F2, F4, I4, U1, frozen
from explgraph.base.errors import check_shape, index_of, require, unknown_name
from explgraph.base.files import PathLike, read_arrays, whole_file, write_arrays
from explgraph.base.formats.columns import LOOK_MEAN, PART
from explgraph.base.records import Record
from explgraph.base.schema import LARGEST, bind, conform, kept
from explgraph.graphs.graph import ExplanatoryGraph

from .clicked import ClickedPhotos
from .config import PartConfig

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, slots=True)
class AndOrGraph(Record):
    """One semantic part as templates of latent patterns.

    Attributes
    ----------
    part
        Its name, e.g. "head".
    clicks
        (T,) how many annotations each template stands for: a view of an annotated photo for as
        much as it is probable. They sum to the number of annotations.
    centre
        (T, 2) where the part was in them, on average.
    size
        (T, 2) height and width of the part, network pixels; NaN where the annotations had none.
    look
        (T, 9, C) unit vectors: the look layer's response, less its mean, at the part and in the
        eight cells around it, row by row. C = 0 where nothing is known of it.
    scene
        (T, D) unit vector: the look layer's response over the whole photo, D = H * W * C or 0.
    start
        (T + 1,) the patterns of template t are ``start[t]:start[t + 1]``.
    node
        (Q,) the node that a pattern is, an index in `Parts.graph`.
    group
        (Q,) patterns of a template with the same number are alternatives: parts of one filter.
    displacement
        (Q, 2) from the pattern's peak to the part's centre.
    spread
        (Q,) standard deviation per axis of that displacement.
    weight
        (Q,) what a pattern's vote counts; a template's sum to 1.
    scale
        (Q,) the score that the pattern reaches where it is seen best.
    visible_from
        The likeness from which on the part counts as visible; minus infinity, always, if the part
        was fitted to nothing but clicked photos.
    trait
        (C,) unit vector: what tells the look layer's response at the part, less its mean, from that
        at other places, learnt from photos without a click. C = 0 where nothing is known of it.
    trait_share
        The share of the look that is likeness to the trait; the rest is likeness to the clicks.
    clicked
        What the clicks say of each other; None in files of before there was this.
    """

    part: str
    clicks: F4
    centre: F4
    size: F4
    look: F4
    scene: F2
    start: NDArray[np.int64]
    node: I4
    group: I4
    displacement: F4
    spread: F4
    weight: F4
    scale: F4
    visible_from: float
    trait: F4 = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    trait_share: float = 0.0
    clicked: ClickedPhotos | None = None

    def __post_init__(self) -> None:
        patterns = len(self.node)
        require(len(self.start) > 1, f"part {self.part!r} needs at least one template")
        conform(self, PART, {"T": len(self.start) - 1, "Q": patterns}, called=f"part {self.part!r}")
        require(
            (self.visible_from == -math.inf or abs(self.visible_from) <= LARGEST)
            and 0 <= self.trait_share <= 1,
            f"part {self.part!r}: visible_from must be a number and trait_share a share, got "
            f"{self.visible_from} and {self.trait_share}",
        )

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def n_clicks(self) -> int:
        """How many annotations it was made of."""
        return round(float(self.clicks.sum()))

    @property
    def template(self) -> I4:
        """(Q,) the template of each pattern."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.start))


@dataclass(frozen=True, eq=False, slots=True)
class Parts(Record):
    """And-Or graphs of one or several parts, with the graph that their patterns belong to.

    Attributes
    ----------
    graph
        The explanatory graph, whole: a pattern is found with the help of its ancestors, in
        competition with the other nodes of its filter, and the way a photo faces by all of them.
    aogs
        One for each part.
    look_mean
        (C,) mean response of the look layer, over all cells of the photos fitted on; C = 0 where
        there were no maps.
    config
        How they were fitted, and how they are located.
    header
        ``graph_hash``: what matches must have been made with.
    """

    graph: ExplanatoryGraph
    aogs: tuple[AndOrGraph, ...]
    look_mean: F4
    config: PartConfig
    header: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(len(self.aogs) > 0, "Parts needs at least one part")
        names = self.names
        require(len(set(names)) == len(names), f"Parts must have different names, got {names}")
        sizes = {"P": len(self.graph)}
        conform(self, {"look_mean": LOOK_MEAN}, sizes)
        for aog in self.aogs:
            kept(f"part {aog.part!r}.node", aog.node, PART["node"], sizes | {"Q": len(aog.node)})
            for name in ("look", "scene", "trait"):
                shape = tuple(len(aog) if n == "T" else n for n in PART[name].shape)
                bind(f"part {aog.part!r}.{name}", getattr(aog, name).shape, shape, sizes)
        require(
            sizes.get("C", 0) in (0, len(self.look_mean)),
            f"parts look at {sizes.get('C')} channels, but look_mean has {len(self.look_mean)}",
        )
        object.__setattr__(self, "header", MappingProxyType(dict(self.header)))

    def __len__(self) -> int:
        return len(self.aogs)

    def __repr__(self) -> str:
        return f"<Parts {', '.join(self.names)}>"

    def _repr_html_(self) -> str:
        head = ("part", "templates", "clicks", "patterns")
        rows = [(aog.part, len(aog), aog.n_clicks, len(aog.node)) for aog in self.aogs]
        about = f"upon a graph of {len(self.graph):,} nodes"
        return markup.shown("And-Or graphs of parts", about, markup.html_table(head, rows))

    def __getitem__(self, part: str | int) -> AndOrGraph:
        """Return the And-Or graph of a part, by its name or its number."""
        return self.aogs[index_of("part", part, self.names)]

    def __iter__(self) -> Iterator[AndOrGraph]:
        return iter(self.aogs)

    @property
    def names(self) -> tuple[str, ...]:
        """The parts' names, in order."""
        return tuple(aog.part for aog in self.aogs)

    def doubts(self) -> list[str]:
        """Return a sentence for each click that disagrees with the others, see `ClickedPhotos`."""
        return [
            f"the click for {aog.part!r} in {doubt}; look at it, or click another photo"
            for aog in self.aogs
            if aog.clicked is not None
            for doubt in aog.clicked.doubts()
        ]

    def save(self, path: PathLike) -> None:
        """Write the parts to a safetensors file; equal parts give equal bytes."""
        arrays: dict[str, NDArray[Any]] = {"look_mean": self.look_mean}
        for i, aog in enumerate(self.aogs):
            arrays |= {f"part.{i}.{name}": getattr(aog, name) for name in PART}
            if aog.clicked is not None:
                said = aog.clicked.to_arrays()
                arrays |= {f"part.{i}.clicked.{name}": array for name, array in said.items()}
        graph_arrays, graph_header = self.graph.to_arrays()
        arrays |= {f"graph.{name}": array for name, array in graph_arrays.items()}
        header = {
            **self.header,
            "parts": [_about(aog) for aog in self.aogs],
            "graph": graph_header,
            "config": self.config.to_json(),
        }
        write_arrays(path, "parts", arrays, header)

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Read a parts file.

        Raises
        ------
        ExplGraphError
            If the file is missing, cut off, foreign, or its arrays do not fit together.
        """
        arrays, header = read_arrays(path, "parts")
        with whole_file(path, "parts"):
            config = PartConfig.from_json(header.pop("config"))
            about = enumerate(header.pop("parts"))
            aogs = tuple(_aog(i, one, arrays, config.learnt) for i, one in about)
            own = {
                name.removeprefix("graph."): array
                for name, array in arrays.items()
                if name.startswith("graph.")
            }
            graph = ExplanatoryGraph.from_arrays(own, header.pop("graph"))
            return cls(graph, aogs, arrays["look_mean"], config, header)


def _about(aog: AndOrGraph) -> dict[str, Any]:
    """Return what a header says of a part; one that is always visible has no ``visible_from``."""
    said = {
        "part": aog.part,
        "trait_share": aog.trait_share,
        "clicked": None if aog.clicked is None else list(aog.clicked.images),
    }
    return said if aog.visible_from == -math.inf else said | {"visible_from": aog.visible_from}


def _aog(
    i: int, about: dict[str, Any], arrays: Mapping[str, NDArray[Any]], trait_share: float
) -> AndOrGraph:
    """Return the i-th part of a file; ``trait_share`` of files that had one for all parts."""
    prefix, images, least = f"part.{i}.", about.get("clicked"), about.get("visible_from")
    said = f"{prefix}clicked."
    clicked = {n.removeprefix(said): array for n, array in arrays.items() if n.startswith(said)}
    return AndOrGraph(
        part=about["part"],
        visible_from=-math.inf if least is None else least,
        **{name: arrays[prefix + name] for name in PART if name != "trait"},
        trait=arrays.get(prefix + "trait", np.zeros(0)),  # earlier files have none
        trait_share=trait_share if about.get("trait_share") is None else about["trait_share"],
        clicked=None if images is None else ClickedPhotos.from_arrays(images, clicked),
    )


@dataclass(frozen=True, eq=False, slots=True)
class Localizations(Record):
    """Where parts are in photos: M answers, one for each photo and part.

    Attributes
    ----------
    images, parts
        M names of photos and of parts: all parts of a photo stand together.
    yx
        (M, 2) centre, unit square of the photo as given.
    size
        (M, 2) height and width, unit square of the photo; NaN where the annotations had none.
    confidence
        (M,) in 0..1: the probability that the part is within a tenth of the diagonal of `yx`.
    evidence
        (M,) how much the place looks like the part: a cosine, -1..1, with its trait, or with the
        clicked places where it has none; without maps the share of the patterns that vote for it.
        `visible` is read off it.
    visible
        (M,) 1 where there is evidence that the part is there.
    template
        (M,) the template that counts most.
    mirrored
        (M,) 1 where the photo counts more as seen mirrored.
    probability
        (M, G, G) of each cell of the network's input, in the orientation of the photo as given.
    frames
        (M, 2, 2) from the unit square of the network's input to that of the photo, per axis (y, x):
        ``photo = frames[:, :, 0] + frames[:, :, 1] * input``.
    """

    images: tuple[str, ...]
    parts: tuple[str, ...]
    yx: F4
    size: F4
    confidence: F4
    evidence: F4
    visible: U1
    template: I4
    mirrored: U1
    probability: F4
    frames: F4

    def __post_init__(self) -> None:
        m, grid = len(self.images), self.probability.shape[-1]
        require(len(self.parts) == m, f"Localizations has {m} images but {len(self.parts)} parts")
        shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
            "yx": ((m, 2), np.float32),
            "size": ((m, 2), np.float32),
            "confidence": ((m,), np.float32),
            "evidence": ((m,), np.float32),
            "visible": ((m,), np.uint8),
            "template": ((m,), np.int32),
            "mirrored": ((m,), np.uint8),
            "probability": ((m, grid, grid), np.float32),
            "frames": ((m, 2, 2), np.float32),
        }
        for name, (shape, dtype) in shapes.items():
            check_shape(f"Localizations.{name}", getattr(self, name), shape)
            object.__setattr__(self, name, frozen(getattr(self, name), dtype))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        parts = ", ".join(dict.fromkeys(self.parts))
        return f"<Localizations of {parts or 'nothing'} in {len(set(self.images))} photos>"

    def _repr_html_(self) -> str:
        names = list(dict.fromkeys(self.parts))
        rows = []
        for part in names:
            mine = self.of(part)
            sure = float(mine.confidence.mean())
            rows.append((part, len(mine), f"{mine.visible.mean():.0%}", f"{sure:.0%}"))
        head = ("part", "photos", "visible", "mean confidence")
        return markup.shown("Where parts are", "", markup.html_table(head, rows))

    def of(self, part: str) -> Localizations:
        """Select the answers for one part, one for each photo.

        Raises
        ------
        ExplGraphError
            If the part is unknown.
        """
        rows = np.flatnonzero([name == part for name in self.parts])
        if len(rows) == 0:
            raise unknown_name("part", part, sorted(set(self.parts)))
        return self.take(rows)

    def take(self, rows: NDArray[Any]) -> Localizations:
        """Select answers by index or by boolean mask."""
        index = np.arange(len(self))[rows]
        arrays = ("yx", "size", "confidence", "evidence", "visible", "template", "mirrored")
        return replace(
            self,
            images=tuple(self.images[i] for i in index),
            parts=tuple(self.parts[i] for i in index),
            **{name: getattr(self, name)[index] for name in (*arrays, "probability", "frames")},
        )

    @property
    def table(self) -> pd.DataFrame:
        """One row per answer, with the fields above as columns.

        ``image, part, y, x, height, width`` (unit square of the photo), ``confidence, evidence,
        visible, template, mirrored``.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "image": self.images,
                "part": self.parts,
                "y": self.yx[:, 0],
                "x": self.yx[:, 1],
                "height": self.size[:, 0],
                "width": self.size[:, 1],
                "confidence": self.confidence,
                "evidence": self.evidence,
                "visible": self.visible.astype(bool),
                "template": self.template,
                "mirrored": self.mirrored.astype(bool),
            }
        )
