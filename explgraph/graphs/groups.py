"""Part groups: which of a graph's nodes lie on the same part of the object, and where that is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base import markup
from explgraph.base.arrays import F4, I4, NONE, U1, frozen
from explgraph.base.errors import check_shape, index_of, require
from explgraph.base.formats.columns import GROUPS
from explgraph.base.frames import mirrored_yx
from explgraph.base.records import Record
from explgraph.base.schema import conform
from explgraph.base.text import counted, one_line

if TYPE_CHECKING:
    import pandas as pd


_BORDER = 0.1  # of the side: within it zero padding holds nodes in their place
_STILL, _STILL_AT_BORDER = 0.02, 0.04  # of the side
_THIRDS = (1 / 3, 2 / 3)
_NUMBER = re.compile("[0-9]{1,9}")
_NODE_ARRAYS = ("node_group", "node_offset", "node_gain")


class Group(NamedTuple):
    """One group of a graph: G groups as `PartGroups` has them, by number.

    Attributes
    ----------
    number
        Which one it is, from 0.
    name
        The user's own name for it, or where it lies and how many nodes it has.
    nodes
        (n,) its nodes, in the order of their group gain: the best first.
    yx
        (height, width): its usual place, unit square, the graph's own orientation.
    spread
        How far its place strays from that, standard deviation per axis, network pixels.
    sureness
        Mean over the photos of how well its nodes agree where it is, 0 to 1.
    gain
        Sum of its nodes' `ExplanatoryGraph.gain`.
    """

    number: int
    name: str
    nodes: NDArray[np.int64]
    yx: tuple[float, float]
    spread: float
    sureness: float
    gain: float


@dataclass(frozen=True, eq=False, slots=True)
class GroupPlaces(Record):
    """Where each of G groups is in each of N photos: the consensus of its nodes.

    Attributes
    ----------
    images
        N names, in order.
    yx
        (N, G, 2) unit square of the photo, in the orientation of the photo as given.
    sureness
        (N, G) how well the group's nodes agree there, 0 to 1: the share of their weight that lies
        where the group's place lets one expect it.
    mirrored
        (N,) 1 where the graph explains the mirrored photo better.
    """

    images: tuple[str, ...]
    yx: F4
    sureness: F4
    mirrored: U1

    def __post_init__(self) -> None:
        check_shape("GroupPlaces.sureness", self.sureness, (len(self.images), None))
        shapes = {"yx": (*self.sureness.shape, 2), "mirrored": (len(self.images),)}
        for name, shape in shapes.items():
            check_shape(f"GroupPlaces.{name}", getattr(self, name), shape)
        for name, dtype in (("yx", np.float32), ("sureness", np.float32), ("mirrored", np.uint8)):
            object.__setattr__(self, name, frozen(getattr(self, name), dtype))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"<GroupPlaces of {self.sureness.shape[1]} groups in {len(self)} photos>"

    @property
    def canonical_yx(self) -> F4:
        """(N, G, 2) places in the graph's own orientation: mirrored photos mirrored."""
        return mirrored_yx(self.yx, self.mirrored)

    @property
    def table(self) -> pd.DataFrame:
        """One row per photo and group: ``image``, ``group``, ``y``, ``x``, ``sureness``."""
        import pandas as pd

        n, g = self.sureness.shape
        return pd.DataFrame(
            {
                "image": np.repeat(np.array(self.images, dtype=object), g),
                "group": np.tile(np.arange(g), n),
                "y": self.yx[..., 0].ravel(),
                "x": self.yx[..., 1].ravel(),
                "sureness": self.sureness.ravel(),
            }
        )


@dataclass(frozen=True, eq=False, slots=True)
class PartGroups(Record):
    """G groups of P nodes whose peaks coincide: what lies on the same part. Arrays are read-only.

    ``groups[number]``, ``groups[name]`` and iteration give a `Group`.

    Attributes
    ----------
    input_size
        (H_in, W_in) of the network's input, pixels.
    node_group
        (P,) each node's group; `NONE` for those that are in none.
    node_offset
        (P, 2) how far from its group's place a node usually lies, network pixels; 0 without group.
    node_gain
        (P,) group gain: how much better a group's place predicts where the node is than its own
        usual place does, ln of the ratio of the two errors.
    yx
        (G, 2) usual place of a group, network pixels, graph orientation.
    spread
        (G,) how far its place strays from that, standard deviation per axis, network pixels.
    sureness
        (G,) mean over the photos of how well its nodes agree where it is, 0 to 1.
    gain
        (G,) sum of its nodes' gain; groups are in the falling order of it.
    names
        G names that users gave; "" where there is none.
    places
        Where they are in the photos that they were made from; None once read from a file.
    """

    input_size: tuple[int, int]
    node_group: I4
    node_offset: F4
    node_gain: F4
    yx: F4
    spread: F4
    sureness: F4
    gain: F4
    names: tuple[str, ...] = ()
    places: GroupPlaces | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        conform(self, GROUPS, {})
        g = len(self.yx)
        names = tuple(self.names) or ("",) * g
        require(len(names) == g, f"PartGroups has {g} groups but {len(names)} names")
        require(all(isinstance(name, str) for name in names), "names of groups must be texts")
        object.__setattr__(self, "names", names)

    def __len__(self) -> int:
        return len(self.yx)

    def __iter__(self) -> Iterator[Group]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, group: int | str) -> Group:
        number = self.find(group)
        y, x = self.unit_yx(number)
        return Group(
            number=number,
            name=self.label(number),
            nodes=self.nodes(number),
            yx=(y, x),
            spread=float(self.spread[number]),
            sureness=float(self.sureness[number]),
            gain=float(self.gain[number]),
        )

    def __repr__(self) -> str:
        inside = int(np.count_nonzero(self.node_group != NONE))
        return f"<PartGroups: {inside} of {len(self.node_group)} nodes in {len(self)} groups>"

    def _repr_html_(self) -> str:
        inside = int(np.count_nonzero(self.node_group != NONE))
        return markup.shown(
            "Part groups",
            f"{inside:,} of {counted(len(self.node_group), 'node')} in "
            f"{counted(len(self), 'group')}; y and x are shares of the photo's height and width, "
            "in the graph's own orientation",
            self.html_table(),
        )

    def html_table(self) -> str:
        """Return the groups as a table for notebooks, the best first."""
        head = ("part group", "nodes", "y", "x", "sure", "gain")
        rows = (
            (group.name, len(group.nodes), *group.yx, f"{group.sureness:.0%}", group.gain)
            for group in self
        )
        return markup.html_table(head, rows)

    def nodes(self, group: int) -> NDArray[np.int64]:
        """Return (n,) the nodes of a group, the best by group gain first."""
        mine = np.flatnonzero(self.node_group == group)
        return mine[np.argsort(-self.node_gain[mine], kind="stable")]

    def unit_yx(self, group: int) -> tuple[float, float]:
        """Return the usual place of a group, unit square, the graph's own orientation."""
        y, x = (self.yx[group] / np.array(self.input_size, dtype=np.float32)).tolist()
        return y, x

    def is_still(self, group: int) -> bool:
        """Tell whether a group hardly moves: it follows nothing.

        That is .02 of the side or less; .04 within a tenth of the border, where padding holds it.
        """
        side = float(np.sqrt(np.prod(self.input_size)))
        at = self.unit_yx(group)
        at_border = min(*at, *(1 - share for share in at)) < _BORDER
        return bool(self.spread[group] <= (_STILL_AT_BORDER if at_border else _STILL) * side)

    def title(self, group: int) -> str:
        """Return a group's name without its size: the user's, or where it lies."""
        return one_line(self.names[group]) or region(*self.unit_yx(group))

    def label(self, group: int) -> str:
        """Return a group's name: the user's, or where it lies and how many nodes it has."""
        count = int(np.count_nonzero(self.node_group == group))
        return self.names[group] or f"{self.title(group)}, {counted(count, 'node')}"

    @property
    def labels(self) -> tuple[str, ...]:
        """G names, as `label` gives them."""
        return tuple(self.label(group) for group in range(len(self)))

    def find(self, group: int | str) -> int:
        """Return the number of a group given by number or by name (`label`).

        Raises
        ------
        ExplGraphError
            If there is none, or several are called so.
        """
        if not isinstance(group, str):
            exists = 0 <= group < len(self)
            require(exists, f"group {group} does not exist: the graph has {len(self)}")
            return int(group)
        labels = self.labels
        require(
            labels.count(group) < 2,
            f"{labels.count(group)} groups are called {group!r}: give the number of one, "
            f"{[i for i, label in enumerate(labels) if label == group]}",
        )
        return index_of("group", group, labels, "graph.groups lists them")

    @property
    def table(self) -> pd.DataFrame:
        """One row per group, index ``group``: what `Group` holds, and how many ``nodes``."""
        import pandas as pd

        rows = [{**group._asdict(), "nodes": len(group.nodes)} for group in self]
        names = ("name", "nodes", "y", "x", "spread", "sureness", "gain")
        for row in rows:
            row["y"], row["x"] = row.pop("yx")
        return pd.DataFrame(rows, columns=names).rename_axis("group")

    def rename(self, names: Mapping[int | str, str] | Sequence[str]) -> PartGroups:
        """Return these groups with the user's own names, by number or by present name.

        Raises
        ------
        ExplGraphError
            If a group does not exist.
        """
        given = names if isinstance(names, Mapping) else dict(enumerate(names))
        merged = list(self.names)
        for key, name in given.items():
            is_number = isinstance(key, str) and _NUMBER.fullmatch(key)
            merged[self.find(int(key) if is_number else key)] = name
        return replace(self, names=tuple(merged))

    def take(self, nodes: NDArray[Any]) -> PartGroups:
        """Return the groups of some nodes, by index; groups without any are kept."""
        rows = {name: getattr(self, name)[nodes] for name in _NODE_ARRAYS}
        return replace(self, **rows)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a file holds, by name; names of groups are not among it."""
        return {name: getattr(self, name) for name in GROUPS}


def thirds(y: float, x: float) -> tuple[int, int]:
    """Return in which third of the height and of the width a place of the unit square lies."""
    row, column = (int(np.searchsorted(_THIRDS, at, side="right")) for at in (y, x))
    return row, column


def region(y: float, x: float) -> str:
    """Name a place of the unit square in words: which third of the height and of the width."""
    rows, columns = ("upper", "", "lower"), ("left", "", "right")
    row, column = thirds(y, x)
    return " ".join(word for word in (rows[row], columns[column]) if word) or "middle"
