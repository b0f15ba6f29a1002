"""The And-Or graph of a semantic part, and where it finds the part: frozen structs of arrays.

A part (OR) has T templates, one per pose; a template (AND) has latent patterns, nodes of an
explanatory graph, that vote for where the part is; patterns in one group are alternatives (OR).
Dimensions: T templates, Q patterns of all templates, N photos.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explgraph.errors import check_shape, require
from explgraph.structures import F4, I4, U1, frozen


@dataclass(frozen=True, eq=False, slots=True)
class AndOrGraph:
    """A semantic part as templates of latent patterns.

    Attributes
    ----------
    part
        Its name, e.g. "head".
    size
        (T, 2) the part's box in each template, (h, w) in the unit square.
    start
        (T + 1,) the patterns of template t are ``start[t]:start[t + 1]``.
    node
        (Q,) the node of the explanatory graph that a pattern is.
    group
        (Q,) patterns of a template with the same number are alternatives: the best one votes.
    displacement
        (Q, 2) from the pattern's place to the part's centre, network pixels, graph orientation.
    spread
        (Q,) standard deviation per axis of that displacement, network pixels.
    weight
        (Q,) what a pattern's vote counts.
    """

    part: str
    size: F4
    start: NDArray[np.int64]
    node: I4
    group: I4
    displacement: F4
    spread: F4
    weight: F4

    def __post_init__(self) -> None:
        templates, patterns = len(self.start) - 1, len(self.node)
        require(templates >= 1, f"part {self.part!r} needs at least one template")
        shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
            "size": ((templates, 2), np.float32),
            "start": ((templates + 1,), np.int64),
            "node": ((patterns,), np.int32),
            "group": ((patterns,), np.int32),
            "displacement": ((patterns, 2), np.float32),
            "spread": ((patterns,), np.float32),
            "weight": ((patterns,), np.float32),
        }
        for name, (shape, dtype) in shapes.items():
            check_shape(f"AndOrGraph.{name}", getattr(self, name), shape)
            object.__setattr__(self, name, frozen(getattr(self, name), dtype))
        require(
            self.start[0] == 0
            and self.start[-1] == patterns
            and bool(np.all(np.diff(self.start) >= 0)),
            f"AndOrGraph.start must rise from 0 to {patterns}, got {self.start.tolist()}",
        )

    def __len__(self) -> int:
        return len(self.start) - 1


@dataclass(frozen=True, eq=False, slots=True)
class Localizations:
    """Where a part is in each of N photos.

    Attributes
    ----------
    images
        N names.
    yx, size
        (N, 2) centre and (h, w), unit square of the photo as given.
    confidence
        (N,) in 0..1.
    visible
        (N,) 1 where there is evidence that the part is there.
    template
        (N,) the template that was chosen.
    mirrored
        (N,) 1 where the photo was seen mirrored.
    """

    images: tuple[str, ...]
    yx: F4
    size: F4
    confidence: F4
    visible: U1
    template: I4
    mirrored: U1

    def __post_init__(self) -> None:
        n = len(self.images)
        kinds: dict[str, type[np.generic]] = {
            "visible": np.uint8,
            "template": np.int32,
            "mirrored": np.uint8,
        }
        for name in ("yx", "size", "confidence", "visible", "template", "mirrored"):
            shape = (n, 2) if name in ("yx", "size") else (n,)
            check_shape(f"Localizations.{name}", getattr(self, name), shape)
            dtype = kinds.get(name, np.float32)
            object.__setattr__(self, name, frozen(getattr(self, name), dtype))

    def __len__(self) -> int:
        return len(self.images)
