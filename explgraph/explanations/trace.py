"""One chain from pixels to layer to layer to a class: the few nodes that carry a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from explgraph.base.arrays import F8, I8, NONE, frozen
from explgraph.base.errors import check_shape, require
from explgraph.base.frames import mirrored_yx, to_unit
from explgraph.base.records import Record
from explgraph.base.text import plain
from explgraph.explanations.decision.removal import SeenPhoto, matches_of
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.networks.backbone import Backbone
from explgraph.networks.sections import PIXELS, Sections

from .attribution import Attribution
from .claims import Mask, SeenLayer
from .effects import effects_in_photos, resting
from .questions import Question, ask
from .targets import Asked, ClassTarget

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd


NODES = 5
"""Nodes of each layer unless another number is asked for."""

_LEAST = 0.02  # of a response: edges that carry less are left out
_DRAWS = 5  # of the control's cells
_PER_NODE = ("nodes", "share", "evidence", "response")
_PER_EDGE = ("child", "parent", "effect", "carried")
_PER_LAYER = ("cells", "drop", "control")


@dataclass(frozen=True, eq=False, slots=True)
class Trace(Record):
    """What carries a class's logit in one photo: n nodes of L layers, m edges. Read-only arrays.

    All shares are of what the photo adds to the logit: `logit` less `baseline`.

    Attributes
    ----------
    graph
        The graph.
    image
        The photo's name.
    target
        The class.
    mirrored
        Whether the graph sees the photo mirrored.
    logit
        The class's logit, as the graph sees the photo.
    baseline
        The logit with all cells of the top layer at their filters' m_c, where nothing responds.
    nodes
        (n,) indices, the top layer first, in each layer by falling share. Of the nodes that were
        found on one peak it is the one of the highest score.
    yx
        (n, 2) where their peaks are, unit square of the photo as given.
    share
        (n,) how much of the decision runs through a node and the trace: of the top layer gradient
        times activation of its cells; below, its effects on the nodes above that are in the trace,
        each times what runs through that one. It falls from layer to layer, as the ways divide.
    evidence
        (n,) how much of the decision runs through a node on all ways together: gradient of the
        logit times activation of its cells.
    response
        (n,) of its peak.
    child, parent
        (m,) places in ``nodes``; the parent is `NONE` where the edge leads to the class. By parent,
        then by falling size.
    effect
        (m,) share of the parent's response, or of the decision, that the child's cells carry; below
        0 where they inhibit it.
    carried
        (m,) share of the decision that runs through the edge.
    cells
        (L,) how many cells the trace's nodes have in a layer, lowest first.
    drop
        (L,) by how much the logit falls without these cells.
    control
        (L,) by how much it falls without as many random cells that nodes claim, mean of 5 draws.
    map
        Pixels: gradient times input of the lowest layer's nodes in the trace, each by what runs
        through it; the photo's mean colours count as nothing.
    """

    graph: ExplanatoryGraph
    image: str
    target: ClassTarget
    mirrored: bool
    logit: float
    baseline: float
    nodes: I8
    yx: F8
    share: F8
    evidence: F8
    response: F8
    child: I8
    parent: I8
    effect: F8
    carried: F8
    cells: I8
    drop: F8
    control: F8
    map: Attribution

    def __post_init__(self) -> None:
        n, m, layers = len(self.nodes), len(self.child), len(self.graph.layers)
        shapes: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(_PER_NODE, (n,)),
            "yx": (n, 2),
            **dict.fromkeys(_PER_EDGE, (m,)),
            **dict.fromkeys(_PER_LAYER, (layers,)),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            check_shape(f"Trace.{name}", value, shape)
            kind = np.int64 if name in ("nodes", "child", "parent", "cells") else np.float64
            object.__setattr__(self, name, frozen(value, kind))

    def __repr__(self) -> str:
        return (
            f"<Trace of {self.target.label} in {self.image!r}: {len(self.nodes)} nodes, "
            f"{len(self.child)} edges>"
        )

    @property
    def table(self) -> pd.DataFrame:
        """One row per node, index ``node``.

        Columns: ``id``, ``name``, ``layer``, ``y``, ``x``, ``share``, ``evidence``, ``response``.
        """
        import pandas as pd

        graph, nodes = self.graph, self.nodes.tolist()
        return pd.DataFrame(
            {
                "id": [graph.node_id(node) for node in nodes],
                "name": [graph.names.get(node, "") for node in nodes],
                "layer": [graph.layers[graph.node_layer[node]].name for node in nodes],
                "y": self.yx[:, 0],
                "x": self.yx[:, 1],
                "share": self.share,
                "evidence": self.evidence,
                "response": self.response,
            },
            index=pd.Index(nodes, name="node"),
        )

    @property
    def edges(self) -> pd.DataFrame:
        """One row per edge: ``child`` and ``parent`` (ids, or the class), ``effect``, ``carried``.

        The edges that carry most of the decision come first.
        """
        import pandas as pd

        names = [*(self.graph.node_id(node) for node in self.nodes.tolist()), self.target.label]
        order = np.argsort(-np.abs(self.carried), kind="stable")
        return pd.DataFrame(
            {
                "child": [names[i] for i in self.child[order]],
                "parent": [names[i] for i in self.parent[order]],  # NONE is the last: the class
                "effect": self.effect[order],
                "carried": self.carried[order],
            }
        )

    @property
    def layers(self) -> pd.DataFrame:
        """One row per layer, the top one first: ``layer``, ``cells``, ``drop``, ``control``."""
        import pandas as pd

        columns = {name: getattr(self, name)[::-1] for name in _PER_LAYER}
        names = [layer.name for layer in self.graph.layers[::-1]]
        return pd.DataFrame({"layer": names, **columns})

    def to_networkx(self) -> nx.DiGraph:
        """Return nodes, edges and the class (key ``class``) with plain attributes."""
        import networkx as nx

        result = nx.DiGraph(image=self.image, logit=self.logit, baseline=self.baseline)
        result.add_node("class", name=self.target.label, share=1.0, evidence=1.0)
        for row in self.table.to_dict(orient="records"):
            known = {str(name): value for name, value in row.items()}
            result.add_node(known.pop("id"), **known)
        keys = [*(self.graph.node_id(node) for node in self.nodes.tolist()), "class"]
        rows = zip(*(getattr(self, name).tolist() for name in _PER_EDGE), strict=True)
        for child, parent, effect, carried in rows:
            result.add_edge(
                keys[child], keys[parent], kind="is made of", effect=effect, carried=carried
            )
        return result

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON values."""
        tables: Mapping[str, pd.DataFrame] = {
            "nodes": self.table.reset_index(), "edges": self.edges, "layers": self.layers,
        }  # fmt: skip
        return {
            "image": self.image,
            "target": {"index": self.target.index, "name": self.target.name},
            "mirrored": self.mirrored,
            "logit": self.logit,
            "baseline": self.baseline,
            **{
                name: [plain(row) for row in table.to_dict(orient="records")]
                for name, table in tables.items()
            },
        }


def trace(
    graph: ExplanatoryGraph,
    net: Backbone,
    image: object,
    target: Asked = None,
    *,
    found: Matches | None = None,
    n_nodes: int = NODES,
    seed: int = 0,
) -> Trace:
    """Trace a class's logit in one photo back through the layers of a graph, to the pixels.

    From the top layer the nodes are taken whose cells carry most of the logit; from the layer below
    those that carry most of these nodes' responses; and so on down, and at last the pixels that the
    lowest layer's nodes are made of. Effects are those of `edge_effects`, in this photo. As a
    control the logit is measured without the cells of the trace, and without as many others.

    Parameters
    ----------
    graph
        P nodes.
    net
        The classifier that it was mined from; it is the same afterwards.
    image
        One photo: a PIL image, an array (H, W, 3), or anything that `explgraph.open_images` takes.
    target
        A class by index or name; None: the one with the largest logit.
    found
        The graph's matches, if this photo is among them by name; without, it is matched.
    n_nodes
        How many nodes of each layer, at most.
    seed
        Of the control's cells.

    Returns
    -------
    The nodes and edges, with what share of the decision each carries.

    Raises
    ------
    ExplGraphError
        If there is not exactly one photo, the class does not exist, the graph, matches and network
        do not belong together, or nothing in the top layer speaks for the class.

    Examples
    --------
    >>> chain = eg.trace(graph, net, "zebra.jpg", "zebra")  # doctest: +SKIP
    >>> chain.edges.head()  # child, parent, effect, carried  # doctest: +SKIP
    >>> eg.draw_trace(chain, "zebra.jpg", "trace.png")  # doctest: +SKIP
    """
    require(n_nodes >= 1, f"n_nodes must be at least 1, got {n_nodes}")
    question = ask(net, image, target, seed=seed)
    seen = SeenPhoto(question, graph, matches_of(question, graph, found))
    rest = seen.layers[-1]
    silent = seen.without(rest, [np.ones(rest.maps.numel(), dtype=bool)])
    baseline = float(silent[0, seen.target.index])
    whole = seen.logit - baseline
    require(
        whole > 0,
        f"{rest.spec.name} adds nothing to {seen.target.label} in this photo (logit "
        f"{seen.logit:.3g}, {baseline:.3g} without it): there is nothing to trace",
    )
    names = [layer.name for layer in graph.layers]
    sections = Sections(net, seen.inputs, names, pixels=True, rest=resting(graph))
    steps = [_first_step(seen, rest, whole, n_nodes)]
    for layer in reversed(seen.layers[:-1]):
        steps.append(_next_step(seen, sections, layer, steps[-1], n_nodes))
    return _traced(question, graph, seen, sections, steps, baseline)


class _Step(NamedTuple):
    """The nodes of one layer: k nodes on as many peaks, and their effects (k, parents) above."""

    layer: SeenLayer
    nodes: I8
    tops: I8
    share: F8
    effect: F8


def _speakers(seen: SeenPhoto, layer: SeenLayer) -> tuple[I8, I8]:
    """Return (k,) each claimed peak's node of the highest score, and the peaks."""
    score = seen.found.score[0, layer.nodes]
    order = np.lexsort((-score, layer.tops))
    _, first = np.unique(layer.tops[order], return_index=True)
    return layer.nodes[order[first]], layer.tops[order[first]]


def _chosen(layer: SeenLayer, speakers: tuple[I8, I8], effect: F8, share: F8, most: int) -> _Step:
    """Keep the nodes that most of the decision runs through."""
    best = np.argsort(-share, kind="stable")[:most]
    best = best[share[best] > 0]
    nodes, tops = speakers
    return _Step(layer, nodes[best], tops[best], share[best], effect[best])


def _first_step(seen: SeenPhoto, layer: SeenLayer, whole: float, most: int) -> _Step:
    nodes, tops = _speakers(seen, layer)
    share = layer.estimates(tops) / whole
    return _chosen(layer, (nodes, tops), share[:, None], share, most)


def _next_step(
    seen: SeenPhoto, sections: Sections, layer: SeenLayer, above: _Step, most: int
) -> _Step:
    nodes, tops = _speakers(seen, layer)
    wanted = np.zeros((1, len(seen.found.node_layer)), dtype=bool)
    wanted[0, above.nodes] = True
    effect = np.zeros((len(nodes), len(above.nodes)))
    for one in effects_in_photos(sections, [layer], [above.layer], wanted):
        place = {node: i for i, node in enumerate(one.children.tolist())}
        rows = [place[node] for node in nodes.tolist()]
        columns = [above.nodes.tolist().index(node) for node in one.parents.tolist()]
        effect[:, columns] = one.effect[:, rows].T
    return _chosen(layer, (nodes, tops), effect, effect @ above.share, most)


def _traced(
    question: Question,
    graph: ExplanatoryGraph,
    seen: SeenPhoto,
    sections: Sections,
    steps: list[_Step],
    baseline: float,
) -> Trace:
    """Put the steps together, the top layer's first, with what was lost and the pixels."""
    nodes = np.concatenate([step.nodes for step in steps])
    first = np.cumsum([0, *(len(step.nodes) for step in steps)])
    edges: list[tuple[int, int, float, float]] = []
    for i, step in enumerate(steps):
        for child, parent in np.argwhere(np.abs(step.effect) >= (_LEAST if i else 0)).tolist():
            effect = float(step.effect[child, parent])
            above = float(steps[i - 1].share[parent]) if i else 1.0
            to = int(first[i - 1] + parent) if i else NONE
            edges.append((int(first[i] + child), to, effect, effect * above))
    edges.sort(key=lambda edge: (edge[1], -abs(edge[3])))
    columns = np.array(edges, dtype=np.float64).reshape(-1, 4).T
    masks = [step.layer.cells(step.tops) for step in reversed(steps)]
    lost = [
        _control(seen, s.layer, mask, question.seed)
        for s, mask in zip(steps[::-1], masks, strict=True)
    ]
    return Trace(
        graph=graph,
        image=question.name,
        target=seen.target,
        mirrored=seen.mirrored,
        logit=seen.logit,
        baseline=baseline,
        nodes=nodes,
        yx=np.concatenate([_places(seen, step) for step in steps]),
        share=np.concatenate([step.share for step in steps]),
        evidence=np.concatenate([s.layer.estimates(s.tops) for s in steps])
        / (seen.logit - baseline),
        response=np.concatenate([_responses(graph, step) for step in steps]),
        child=columns[0].astype(np.int64),
        parent=columns[1].astype(np.int64),
        effect=columns[2],
        carried=columns[3],
        cells=np.array([mask.sum() for mask in masks]),
        drop=np.array([drop for drop, _ in lost]),
        control=np.array([control for _, control in lost]),
        map=_pixels(question, seen, sections, steps[-1]),
    )


def _control(seen: SeenPhoto, layer: SeenLayer, mask: Mask, seed: int) -> tuple[float, float]:
    """Return the fall of the logit without some cells, and without as many that nodes claim."""
    claimed = np.flatnonzero(layer.cells(layer.peaks))
    rng = np.random.default_rng([seed, layer.number])
    masks = [mask]
    for _ in range(_DRAWS):
        other = np.zeros_like(mask)
        other[rng.permutation(claimed)[: int(mask.sum())]] = True
        masks.append(other)
    drops = seen.drops(layer, masks)
    return float(drops[0]), float(drops[1:].mean())


def _places(seen: SeenPhoto, step: _Step) -> F8:
    """Return (k, 2) where peaks are, unit square of the photo as given."""
    spec = step.layer.spec
    y, x = np.divmod(step.tops % (spec.grid[0] * spec.grid[1]), spec.grid[1])
    px = np.stack([spec.centres(0)[y], spec.centres(1)[x]], axis=-1)
    flip = np.array([seen.mirrored])
    return to_unit(seen.frame, mirrored_yx(px[None], flip, seen.inputs.shape[3])[0])


def _responses(graph: ExplanatoryGraph, step: _Step) -> F8:
    scale = graph.channel_scale[step.layer.number][graph.node_channel[step.nodes]]
    return np.asarray(step.layer.excess(step.tops) / scale, dtype=np.float64)


def _pixels(question: Question, seen: SeenPhoto, sections: Sections, step: _Step) -> Attribution:
    """Return gradient times input of the lowest nodes, each by its share."""
    inputs = seen.inputs[0].permute(1, 2, 0).double().cpu().numpy()
    values = np.zeros(inputs.shape[:2])
    for top, share in zip(step.tops, step.share, strict=True):
        gradient = sections.gradients(step.layer.spec.name, PIXELS, [np.array([top])])[0]
        excess = float(step.layer.excess(np.array([top]))[0])
        values += share * (gradient * inputs).sum(axis=-1) / excess
    if seen.mirrored:
        values = values[:, ::-1]
    return Attribution(
        values=np.ascontiguousarray(values, dtype=np.float32),
        method="trace",
        target=seen.target.label,
        signed=True,
        settings={},
        image=question.name,
        frame=question.frame,
        photo_size=question.image.size[::-1],
    )
