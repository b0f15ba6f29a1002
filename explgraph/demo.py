"""The demo: the whole path on drawings, where every part's true place is known.

`run_demo` draws one species, mines a graph from the demo network, finds its nodes in drawings that
nothing has seen before, and checks them against the parts. The pictures are written to folders, so
that each step can be done again by hand.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mining import match_peaks

from .annotations import Annotations, write_annotations
from .backbones import load_backbone
from .demo_network import SIDE, trained_demo_net
from .demo_report import BestNode, DemoResult
from .drawing import draw_graph
from .drawings import SEEDS, Drawing, draw_animal, draw_background
from .evaluation import evaluate, raw_peaks
from .graph import ExplanatoryGraph
from .images import open_images
from .measures import ranking, tracking_ratio, unique_nodes
from .pipeline import extract, mine
from .preprocess import Preprocess
from .protocol import GRAPH, RAW, RAW_MIRRORED
from .purity import Purity, best_photos, majority, node_labels, part_purity
from .sheet import contact_sheet
from .storage import PathLike, write_bytes
from .structures import U1, Matches
from .truth import part_truth

if TYPE_CHECKING:
    from torch import nn

MODEL = "explgraph.demo:network"
"""What ``--model`` takes on the command line, and what the demo's files record."""

_N_BEST = 200  # nodes, and raw peaks, that purity judges beside all of them
_SURE = 0.8  # a node is named after a part that lies under it in at least this share of photos
_PER_PART = 2  # nodes on the contact sheet, and in each layer of the picture of the graph


@dataclass(frozen=True, slots=True)
class DemoSizes:
    """How many drawings the demo makes.

    Attributes
    ----------
    mined, background, unseen
        Animals to mine from, scenes without an animal that say what a strong response is, and
        animals to measure on.
    """

    mined: int = 150
    background: int = 60
    unseen: int = 120


def network() -> tuple[nn.Module, Preprocess]:
    """Return the demo network and what makes its input: a factory for ``--model``."""
    return trained_demo_net(), Preprocess((SIDE, SIDE))


def run_demo(
    out: PathLike,
    *,
    species: str = "fish",
    seed: int = 0,
    progress: bool = True,
    sizes: DemoSizes | None = None,
) -> DemoResult:
    """Draw, mine, match, check against the known parts, and write everything down.

    Parameters
    ----------
    out
        Folder for all files; those of an earlier run are replaced. Drawings go to ``mined/``,
        ``background/`` and ``unseen/``, the parts' places in the unseen ones to ``parts.csv``.
    species
        What to draw: one of `explgraph.drawings.SPECIES`.
    seed
        Of mining. The drawings are always the same.
    progress
        Say on standard error what is being done.
    sizes
        Numbers of drawings; fewer make a quicker and poorer demo.

    Returns
    -------
    `DemoResult`; its ``report`` makes the summary.

    Raises
    ------
    ExplGraphError
        If the species is unknown, or there are too few drawings to mine and measure.
    """
    folder, clock = Path(out), _Clock(progress)
    with clock.step("drawing", f"Drawing the {species}"):
        unseen = _draw_all(folder, species, sizes or DemoSizes())
        write_annotations(folder / "parts.csv", _annotations(unseen))
    net = load_backbone(MODEL)
    with clock.step("mining", "Running the network over it and mining the graph"):
        graph = mine(
            net, folder / "mined", background=folder / "background", seed=seed, progress=progress
        )
    with clock.step("matching", "Finding the graph's nodes in unseen drawings"):
        peaks = extract(net, folder / "unseen", background=graph, progress=progress)
        matches = match_peaks(graph, peaks)
    with clock.step("measuring", "Checking the nodes against the known parts"):
        rows = {
            RAW: raw_peaks(peaks),
            RAW_MIRRORED: raw_peaks(peaks, matches.mirrored),
            GRAPH: matches,
        }
        result = _measure(folder, species, graph, rows, unseen)
    with clock.step("pictures", "Drawing the graph and the contact sheet"):
        _write(result)
    result = replace(result, seconds=clock.seconds)
    write_bytes(folder / "summary.json", json.dumps(result.to_json(), indent=2).encode())
    return result


class _Clock:
    """Announces steps and takes their time."""

    def __init__(self, progress: bool) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    @contextmanager
    def step(self, name: str, doing: str) -> Iterator[None]:
        from rich.console import Console

        if self._progress:
            Console(stderr=True).print(f"{doing} ...")
        start = perf_counter()
        yield
        self.seconds[name] = perf_counter() - start


def _draw_all(folder: Path, species: str, sizes: DemoSizes) -> list[Drawing]:
    """Draw all pictures into folders and return the unseen ones, in the order of their names."""
    mined = [draw_animal(species, s, size=SIDE) for s in SEEDS["mine"][: sizes.mined]]
    scenes = [draw_background(s, size=SIDE) for s in SEEDS["mine"][: sizes.background]]
    unseen = [draw_animal(species, s, size=SIDE) for s in SEEDS["measure"][: sizes.unseen]]
    _save(folder / "mined", [drawing.image for drawing in mined])
    _save(folder / "background", scenes)
    _save(folder / "unseen", [drawing.image for drawing in unseen])
    return unseen


def _save(folder: Path, images: Sequence[U1]) -> None:
    """Write pictures as the only PNG files of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / _name(index))


def _name(index: int) -> str:
    return f"{index:03d}.png"


def _annotations(drawings: Sequence[Drawing]) -> Annotations:
    """Return the visible parts' centres in pixels whose integers are pixel centres."""
    rows = [
        (_name(index), part, yx)
        for index, drawing in enumerate(drawings)
        for part, yx, seen in zip(drawing.parts, drawing.centres, drawing.visible, strict=True)
        if seen
    ]
    names = tuple(name for name, _, _ in rows)
    return Annotations(
        image=names,
        part=tuple(part for _, part, _ in rows),
        yx=np.array([yx for _, _, yx in rows]).reshape(-1, 2) * SIDE - 0.5,
        size=np.full((len(rows), 2), np.nan),
        group=names,
    )


def _measure(
    folder: Path,
    species: str,
    graph: ExplanatoryGraph,
    rows: Mapping[str, Matches],
    drawings: Sequence[Drawing],
) -> DemoResult:
    """Check the nodes against the parts, and name those that are sure of one."""
    matches, annotations = rows[GRAPH], _annotations(drawings)
    masks = np.stack([drawing.part_mask for drawing in drawings])
    parts = drawings[0].parts
    return DemoResult(
        out=folder,
        species=species,
        graph=graph.rename(_part_names(matches, masks, parts)),
        matches=matches,
        evaluation=evaluate(rows, annotations, photo_size=(SIDE, SIDE), rank={GRAPH: graph.gain}),
        best={part: _best_nodes(graph, matches, annotations, part) for part in parts},
        purity=_purities(graph, rows, masks, len(parts)),
        seconds={},
    )


def _best_nodes(
    graph: ExplanatoryGraph, matches: Matches, annotations: Annotations, part: str
) -> tuple[BestNode, ...]:
    ratio = tracking_ratio(matches, part_truth(annotations, part, (SIDE, SIDE)))
    nodes = unique_nodes(matches, ranking(ratio), _PER_PART).tolist()
    return tuple(BestNode(node, graph.node_id(node), float(ratio[1, node])) for node in nodes)


def _purities(
    graph: ExplanatoryGraph,
    rows: Mapping[str, Matches],
    masks: NDArray[np.int8],
    n_parts: int,
) -> dict[str, Purity]:
    """Judge nodes and raw peaks: all of them, and those that are ranked highest."""
    ranks = {RAW: rows[RAW].score.mean(axis=0), GRAPH: graph.gain}
    result = {}
    for row, title in ((RAW, "raw peaks"), (GRAPH, "nodes")):
        best = np.argsort(-ranks[row], kind="stable")[:_N_BEST]
        result[f"all {title}"] = part_purity(rows[row], masks, n_parts)
        result[f"{_N_BEST} best {title}"] = part_purity(rows[row], masks, n_parts, nodes=best)
    return result


def _part_names(
    matches: Matches, masks: NDArray[np.int8], parts: Sequence[str]
) -> dict[int | str, str]:
    """Return the name of the part that a node is sure of, by node."""
    labels = node_labels(matches, masks, len(parts))
    names: dict[int | str, str] = {}
    for node in range(labels.shape[1]):
        photos = best_photos(matches.score[:, node])
        if len(photos) == 0:
            continue
        part, share = majority(labels[photos, node], len(parts))
        if share >= _SURE:
            names[node] = parts[part].replace("_", " ")
    return names


def _write(result: DemoResult) -> None:
    """Write the graph, the matches and the pictures."""
    result.graph.save(result.out / "graph.safetensors")
    result.matches.save(result.out / "matches.safetensors")
    picture = result.graph.select(_nodes_of_each_part(result.graph))
    for suffix in ("svg", "png"):
        draw_graph(picture, result.out / f"graph.{suffix}")
    best = {node.node for nodes in result.best.values() for node in nodes}
    contact_sheet(
        result.graph,
        result.matches,
        open_images(result.out / "unseen"),
        result.out / "nodes.png",
        nodes=sorted(best, key=lambda node: (-result.graph.node_layer[node], node)),
    )


def _nodes_of_each_part(graph: ExplanatoryGraph) -> list[int]:
    """Return the best nodes of each layer and part; no part counts as one more."""
    chosen: list[int] = []
    taken: Counter[tuple[int, str]] = Counter()
    for node in np.argsort(-graph.gain, kind="stable").tolist():
        group = (int(graph.node_layer[node]), graph.names.get(node, ""))
        if taken[group] < _PER_PART:
            taken[group] += 1
            chosen.append(node)
    return chosen
