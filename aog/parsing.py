"""How an And-Or graph explains a photo: which patterns spoke for an answer, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I4, frozen
from explgraph.base.errors import check_shape, require
from explgraph.base.frames import mirrored_yx, to_pixels, to_unit
from explgraph.base.records import Record
from explgraph.graphs.matches import Matches

from . import _kernels
from .evidence import vote_heights
from .sight import Sight, sight
from .structures import AndOrGraph, Localizations, Parts

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, slots=True)
class Parse(Record):
    """The K patterns that count most for one answer, the one that counts most first.

    Attributes
    ----------
    answer
        The answer: one photo, one part, with the template and the view that count most.
    node
        (K,) indices in `Parts.graph`.
    ids
        K ids of these nodes, ``layer/filter/part``.
    layer
        (K,) their layers.
    peak
        (K, 2) where each was found, unit square of the photo as given.
    vote
        (K, 2) where each says that the part is, in the same units.
    score
        (K,) how strongly it was found.
    contribution
        (K,) the height of its vote at the answer: at most its weight.
    total
        The votes of all patterns of the template at the answer; 1 where all of them agree on it.
    fired
        How many patterns of the template were found in the photo.
    """

    answer: Localizations
    node: I4
    ids: tuple[str, ...]
    layer: I4
    peak: F4
    vote: F4
    score: F4
    contribution: F4
    total: float
    fired: int

    def __post_init__(self) -> None:
        require(len(self.answer) == 1, f"a parse is of one answer, got {len(self.answer)}")
        k = len(self.ids)
        shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
            "node": ((k,), np.int32),
            "layer": ((k,), np.int32),
            "peak": ((k, 2), np.float32),
            "vote": ((k, 2), np.float32),
            "score": ((k,), np.float32),
            "contribution": ((k,), np.float32),
        }
        for name, (shape, dtype) in shapes.items():
            check_shape(f"Parse.{name}", getattr(self, name), shape)
            object.__setattr__(self, name, frozen(getattr(self, name), dtype))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def table(self) -> pd.DataFrame:
        """One row per pattern: ``node, id, y, x`` of its peak, ``vote_y, vote_x, score``.

        And ``contribution``; places are in the unit square of the photo.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "node": self.node,
                "id": self.ids,
                "y": self.peak[:, 0],
                "x": self.peak[:, 1],
                "vote_y": self.vote[:, 0],
                "vote_x": self.vote[:, 1],
                "score": self.score,
                "contribution": self.contribution,
            }
        )


def parse(parts: Parts, found: Matches, where: Localizations, row: int, *, top: int = 20) -> Parse:
    """Explain an answer by the patterns of the template that counts most for it.

    Parameters
    ----------
    parts
        What located the part.
    found
        The matches that it was located with.
    where
        The answers of `locate`.
    row
        Which of the M answers.
    top
        Patterns to return, at most. Those whose vote does not reach the answer are left out.

    Returns
    -------
    The answer, with the patterns that count most for it, the largest contribution first.

    Raises
    ------
    ExplGraphError
        If the answer does not exist, or is of a photo, part, template or view that is unknown.
    """
    require(-len(where) <= row < len(where), f"answer {row} does not exist: there are {len(where)}")
    require(top >= 1, f"top must be at least 1, got {top}")
    answer = where.take(np.array([row]))
    aog = parts[answer.parts[0]]
    template = int(answer.template[0])
    require(
        template < len(aog),
        f"the answer is of template {template}, part {aog.part!r} has {len(aog)}: give the parts "
        "that it was located with",
    )
    seen = sight(parts.graph, found)
    place = _view_of(seen, found, answer)
    heights = vote_heights(
        aog.weight, aog.spread, parts.config.width * float(np.sqrt(np.prod(seen.input_size)))
    )
    patterns = np.arange(aog.start[template], aog.start[template + 1])
    contribution = _contributions(aog, seen, place, answer, heights)[patterns]
    order = np.argsort(-contribution, kind="stable")[:top]
    best = patterns[order[contribution[order] > 0]]
    node = aog.node[best]
    peak = seen.yx[place][node].astype(np.float64)
    return Parse(
        answer=answer,
        node=node,
        ids=tuple(parts.graph.node_id(i) for i in node.tolist()),
        layer=parts.graph.node_layer[node],
        peak=_to_photo(peak, seen, place),
        vote=_to_photo(peak + aog.displacement[best], seen, place),
        score=seen.score[place][node],
        contribution=contribution[best - patterns[0]],
        total=float(contribution.sum()),
        fired=int(np.count_nonzero(seen.score[place][aog.node[patterns]] > 0)),
    )


def _view_of(seen: Sight, found: Matches, answer: Localizations) -> tuple[int, int]:
    """Return the row of the answer's photo and the view that the answer is read from."""
    name = answer.images[0]
    require(name in found.images, f"the matches have no photo {name!r}: give those located with")
    photo = found.images.index(name)
    turned = seen.turned[photo] == bool(answer.mirrored[0])
    require(
        bool(turned.any()),
        f"the answer is of the photo {name!r} seen the other way round than the matches saw it: "
        "give those located with",
    )
    return photo, int(turned.argmax())


def _contributions(
    aog: AndOrGraph, seen: Sight, place: tuple[int, int], answer: Localizations, heights: F4
) -> NDArray[np.float64]:
    """Return (Q,) the heights of all patterns' votes at the answer (Eq. 9)."""
    photo, view = place
    pixels = to_pixels(seen.frames[photo], answer.yx.astype(np.float64))
    here = mirrored_yx(pixels, seen.turned[photo, view], seen.input_size[1])
    pairs = zip(seen.score[place][aog.node].tolist(), aog.scale.tolist(), strict=True)
    strength = np.array([_kernels.strength(*pair) for pair in pairs])  # type: ignore[no-untyped-call]
    off = seen.yx[place][aog.node] + aog.displacement - here
    bell = np.exp(-(off**2).sum(axis=1) / (2.0 * aog.spread.astype(np.float64) ** 2))
    return np.asarray(heights * strength * bell)


def _to_photo(yx: F8, seen: Sight, place: tuple[int, int]) -> F4:
    """Take (K, 2) network pixels of a view to the unit square of the photo as given."""
    given = mirrored_yx(yx, seen.turned[place], seen.input_size[1])
    return to_unit(seen.frames[place[0]], given).astype(np.float32)
