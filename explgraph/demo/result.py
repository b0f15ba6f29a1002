"""What the demo made and measured, as data and as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explgraph.base.text import percent
from explgraph.evaluation.protocol import GRAPH, RAW_MIRRORED
from explgraph.evaluation.purity import PurityStudy
from explgraph.evaluation.tables import Evaluation
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class BestNode:
    """A node that follows a part well: chosen on half A of the unseen drawings.

    Attributes
    ----------
    node, id
        Its index and its id, ``layer/filter/part``.
    ratio
        Its tracking ratio on half B: 0 is perfect, 1 no better than a point that never moves.
    """

    node: int
    id: str
    ratio: float


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo made and measured.

    Attributes
    ----------
    out
        Folder with all files.
    species
        What was drawn.
    graph
        The mined graph; nodes that are sure of a part bear its name, and part groups that of the
        part that most of their nodes lie on.
    matches
        Where its nodes are in the unseen drawings.
    evaluation
        How well nodes and raw peaks follow each part (`explgraph.evaluation.tables`).
    best
        By part, the nodes that follow it best, best first, without repetitions.
    purity
        How pure nodes, raw peaks and raw maps are (`explgraph.evaluation.purity`).
    seconds
        By step, wall-clock time.
    """

    out: Path
    species: str
    graph: ExplanatoryGraph
    matches: Matches
    evaluation: Evaluation
    best: Mapping[str, tuple[BestNode, ...]]
    purity: PurityStudy
    seconds: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        return {
            "species": self.species,
            "unseen": len(self.matches),
            "nodes": len(self.graph),
            "edges": len(self.graph.edge_child),
            "named": len(self.graph.names),
            "groups": self._groups(),
            "best": {part: [asdict(node) for node in nodes] for part, nodes in self.best.items()},
            "purity": self.purity.to_json(),
            "evaluation": self.evaluation.to_json(),
            "seconds": {step: round(value, 2) for step, value in self.seconds.items()},
        }

    def report(self) -> RenderableType:
        """Return the summary for a terminal, to be printed by `rich`."""
        from rich.console import Group
        from rich.text import Text

        mirror = self.evaluation.mirror.get(GRAPH)
        facing = (
            ""
            if mirror is None
            else (
                f"Orientation: right for {mirror.agreement:.0%} of {mirror.photos} unseen drawings "
                f"(the same for all would be right for {mirror.majority:.0%})\n"
            )
        )
        times = ", ".join(f"{step} {value:.0f}" for step, value in self.seconds.items())
        return Group(
            Text(f"\n{self.species}: {_layers(self.graph)}"),
            Text(facing),
            self._group_table(),
            Text(),
            self._part_table(),
            Text(),
            self._purity_table(),
            Text(
                f"\n{sum(self.seconds.values()):.0f} s ({times}). All files are in {self.out}: "
                "begin with report.html"
            ),
        )

    def _groups(self) -> list[dict[str, Any]]:
        """Return the part groups, the best first."""
        return [
            {
                "name": group.name,
                "nodes": len(group.nodes),
                "sureness": round(group.sureness, 4),
                "best": self.graph.node_id(int(group.nodes[0])),
            }
            for group in self.graph.groups or ()
        ]

    def _group_table(self) -> RenderableType:
        table = _table(
            "Part groups, found without any label, called\nafter what most of their nodes lie on",
            ("part group", "nodes", "sure", "its best node"),
        )
        for group in self._groups():
            figures = (str(group["nodes"]), f"{group['sureness']:.0%}", group["best"])
            table.add_row(group["name"], *figures)
        return table

    def _part_table(self) -> RenderableType:
        table = _table(
            f"How far nodes and raw peaks stray from each part, in {len(self.matches)} drawings\n"
            "(0 = never, 1 = as far as a point that does not move)",
            ("part", "best node", "100 nodes", "100 peaks", "fixed", "the best node"),
        )
        for part in self.evaluation.parts:
            best, ours, raw = (
                self.best[part.part][0],
                part.tracking[GRAPH],
                part.tracking[RAW_MIRRORED],
            )
            figures = (best.ratio, ours.t100, raw.t100, ours.constant)
            table.add_row(part.part, *(f"{value:.2f}" for value in figures), best.id)
        return table

    def _purity_table(self) -> RenderableType:
        table = _table(
            "How often it is one and the same part that lies under a node\n"
            "(closed: how much of the way from raw peaks to 100 %)",
            ("nodes", "number", "purity", "still", "by area", "parts", "closed"),
        )
        for found in self.purity.table.to_dict(orient="records"):
            shares = (f"{found[name]:.0%}" for name in ("purity", "frozen", "chance"))
            table.add_row(
                found["row"],
                str(found["nodes"]),
                *shares,
                str(found["parts"]),
                percent(found["gap_closed"]),
            )
        return table


def _layers(graph: ExplanatoryGraph) -> str:
    counts = ", ".join(
        f"{layer.name} {int((graph.node_layer == index).sum())}"
        for index, layer in enumerate(graph.layers)
    )
    return f"{len(graph):,} nodes ({counts}), {len(graph.edge_child):,} edges"


def _table(title: str, headings: tuple[str, ...]) -> Table:
    """Return an empty table, its first column to the left and the others to the right."""
    from rich.table import Table

    table = Table(title=title)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", no_wrap=True)
    return table
