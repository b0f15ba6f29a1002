"""Where the cells of a tensor look, and which of its dimensions are the spatial ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

Y, X = "y", "x"


@dataclass(frozen=True, slots=True)
class Axis:
    """Cell i of one spatial axis sees input pixels [start + i stride, start + i stride + size)."""

    start: int = 0
    stride: int = 1
    size: int = 1

    @property
    def centre(self) -> float:
        """Centre of the first cell's field, continuous pixels."""
        return self.start + self.size / 2

    def window(self, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """Look through a sliding window (convolution, pooling) at cells that look like this."""
        return Axis(
            start=self.start - padding * self.stride,
            stride=self.stride * stride,
            size=self.size + (kernel - 1) * dilation * self.stride,
        )

    def crop(self, first: int, step: int = 1) -> Axis:
        """Keep every ``step``-th cell from ``first`` on; a negative ``first`` is padding."""
        return Axis(self.start + first * self.stride, self.stride * step, self.size)

    def union(self, other: Axis) -> Axis | None:
        """Return the smallest field over both, or None where the strides differ."""
        if self.stride != other.stride:
            return None
        start = min(self.start, other.start)
        stop = max(self.start + self.size, other.start + other.size)
        return Axis(start, self.stride, stop - start)


class Atom(NamedTuple):
    """A factor of a tensor's dimension: a spatial axis (``tag`` "y" or "x") or anything else."""

    size: int
    tag: str = ""


# A dimension is a product of atoms, the slowest first: (B*H*W, C) is ((B, H "y", W "x"), (C,)).
Layout = tuple[tuple[Atom, ...], ...]


@dataclass(frozen=True, slots=True)
class View:
    """Where the cells of a tensor look.

    Attributes
    ----------
    layout
        Which dimensions of the tensor are the spatial ones.
    y, x
        The fields along them.
    context
        Whether something that sees the whole image (a gate) has been mixed in.
    mixed
        Whether a learned operation has mixed channels on the way here.
    """

    layout: Layout
    y: Axis = Axis()
    x: Axis = Axis()
    context: bool = False
    mixed: bool = False

    @property
    def is_map(self) -> bool:
        """Whether the tensor is a batch of maps (B, C, H, W)."""
        tags = [[atom.tag for atom in dim] for dim in self.layout]
        return len(tags) == 4 and tags[2:] == [[Y], [X]]

    def tag(self, dim: int) -> str | None:
        """Return a dimension's spatial tag, "" for none; None where axes are fused in it."""
        tags = {atom.tag for atom in self.layout[dim]}
        if len(self.layout[dim]) > 1 and tags != {""}:
            return None
        return tags.pop() if tags else ""

    def resized(
        self, shape: Sequence[int], y: Axis | None = None, x: Axis | None = None
    ) -> View | None:
        """Return the view of a tensor with the same dimensions in other sizes and other fields.

        None where a dimension that holds several axes, or the number of dimensions, has changed.
        """
        if len(shape) != len(self.layout):
            return None
        layout = []
        for dim, size in zip(range(len(shape)), shape, strict=True):
            tag = self.tag(dim)
            if tag is None and size != math.prod(atom.size for atom in self.layout[dim]):
                return None
            layout.append(self.layout[dim] if tag is None else (Atom(size, tag),))
        return replace(self, layout=tuple(layout), y=y or self.y, x=x or self.x)


def image_view(shape: Sequence[int]) -> View:
    """Return the view of the network's input (B, C, H, W)."""
    tags = ("", "", Y, X)
    return View(tuple((Atom(size, tag),) for size, tag in zip(shape, tags, strict=True)))
