"""The demo: the whole path on drawings, where every part's true place is known.

`run_demo` draws one species, mines a graph from the demo network, finds its nodes in drawings that
nothing has seen before, and checks them against the parts. The pictures are written to folders, so
that each step can be done again by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from explgraph.base.arrays import U1
from explgraph.base.files import PathLike
from explgraph.base.progress import stage
from explgraph.base.writing import check_folder_writable, write_bytes
from explgraph.demo.animals.drawing import SEEDS, Drawing, draw_animal, draw_background
from explgraph.drawing.pictures import save_picture
from explgraph.evaluation.map_purity import map_purity
from explgraph.evaluation.protocol import GRAPH, RAW, RAW_MIRRORED
from explgraph.evaluation.purity import (
    PurityStudy,
    leading_photos,
    majority,
    node_labels,
    study_purity,
)
from explgraph.evaluation.tables import evaluate, raw_peaks
from explgraph.evaluation.tracking import ranking, tracking_ratio, unique_nodes
from explgraph.evaluation.truth import part_truth
from explgraph.explanations.effects import edge_effects
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.groups.naming import name_groups
from explgraph.networks.backbone import load_backbone
from explgraph.networks.preprocess import Preprocess
from explgraph.peaks.structures import PeakSet
from explgraph.photos.annotation_files import write_annotations
from explgraph.photos.annotations import Annotations, pixel_yx
from explgraph.photos.masks import PartMasks, write_masks
from explgraph.pipeline import extract, mine
from mining import match_peaks

from .model import SIDE, trained_demo_net
from .pictures import PER_PART, write_pictures
from .result import BestNode, DemoResult

if TYPE_CHECKING:
    from torch import nn


MODEL = "explgraph.demo:network"
"""What ``--model`` takes on the command line, and what the demo's files record."""

N_CLICKS = 3
"""Drawings in which each part is marked in ``clicks.csv``."""

_SURE = 0.8  # a node is named after a part that lies under it in at least this share of photos


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
        ``background/`` and ``unseen/``, the parts' places in the unseen ones to ``parts.csv``,
        those in the first few of them to ``clicks.csv``, and their masks to ``unseen_masks/``.
    species
        What to draw: one of `explgraph.demo.animals.drawing.SPECIES`.
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
        If the species is unknown, the folder cannot be written into, or there are too few drawings
        to mine and measure.
    """
    check_folder_writable(out)
    folder, clock = Path(out), _Clock(progress)
    with clock.step("drawing", f"Drawing the {species}"):
        truth = _truth(_draw_all(folder, species, sizes or DemoSizes()))
        write_annotations(folder / "parts.csv", truth.annotations)
        write_annotations(folder / "clicks.csv", _few(truth.annotations))
        write_masks(folder / "unseen_masks", truth.masks)
    net = load_backbone(MODEL)
    with clock.step("mining", "Running the network over it and mining the graph"):
        graph = mine(
            net, folder / "mined", background=folder / "background", seed=seed, progress=progress
        )
    with clock.step("matching", "Finding the graph's nodes in unseen drawings"):
        peaks = extract(net, folder / "unseen", background=graph, progress=progress)
        matches = match_peaks(graph, peaks)
        graph = name_groups(graph, matches, truth.masks)
    with clock.step("effects", "Asking what the responses of the best nodes are made of"):
        effects = edge_effects(graph, matches, net, folder / "unseen", progress=progress)
        graph = graph.having(effects=effects)
    with clock.step("measuring", "Checking the nodes against the known parts"):
        maps = map_purity(net, folder / "unseen", peaks, truth.masks, progress=progress)
        purity = study_purity(
            {seed: (graph, matches)}, peaks, truth.masks, maps=maps, category=species
        )
        result = _measure(folder, graph, peaks, matches, truth, purity)
    with clock.step("pictures", "Drawing the graph, galleries and the report"):
        result.graph.save(folder / "graph.safetensors")
        matches.save(folder / "matches.safetensors")
        write_pictures(result, net, peaks, truth.annotations)
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
        with stage(name):
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
        save_picture(Image.fromarray(image), folder / _name(index))


def _name(index: int) -> str:
    return f"{index:03d}.png"


class _Truth(NamedTuple):
    """Where the parts truly are in the unseen drawings."""

    annotations: Annotations
    masks: PartMasks


def _truth(drawings: Sequence[Drawing]) -> _Truth:
    names = tuple(_name(index) for index in range(len(drawings)))
    masks = tuple(drawing.part_mask.astype(np.int16) for drawing in drawings)
    return _Truth(_annotations(drawings, names), PartMasks(names, drawings[0].parts, masks))


def _few(annotations: Annotations) -> Annotations:
    """Select what a person would mark in a minute: the first `N_CLICKS` drawings of each part."""
    rows = [i for part in annotations.parts() for i in _rows(annotations, part)[:N_CLICKS]]
    return annotations.take(np.array(rows, dtype=np.int64))


def _rows(annotations: Annotations, part: str) -> list[int]:
    return [i for i, name in enumerate(annotations.part) if name == part]


def _annotations(drawings: Sequence[Drawing], names: Sequence[str]) -> Annotations:
    """Return the visible parts' centres in pixels whose integers are pixel centres."""
    rows = [
        (name, part, yx)
        for name, drawing in zip(names, drawings, strict=True)
        for part, yx, seen in zip(drawing.parts, drawing.centres, drawing.visible, strict=True)
        if seen
    ]
    images = tuple(name for name, _, _ in rows)
    return Annotations(
        image=images,
        part=tuple(part for _, part, _ in rows),
        yx=pixel_yx(np.array([yx for _, _, yx in rows]).reshape(-1, 2), (SIDE, SIDE)),
        size=np.full((len(rows), 2), np.nan),
        group=images,
    )


def _measure(
    folder: Path,
    graph: ExplanatoryGraph,
    peaks: PeakSet,
    matches: Matches,
    truth: _Truth,
    purity: PurityStudy,
) -> DemoResult:
    """Check the nodes against the parts, and name those that are sure of one."""
    annotations, masks = truth
    rows = {
        RAW: raw_peaks(peaks),
        RAW_MIRRORED: raw_peaks(peaks, matches.mirrored),
        GRAPH: matches,
    }
    return DemoResult(
        out=folder,
        species=purity.category,
        graph=graph.rename(_part_names(matches, masks)),
        matches=matches,
        evaluation=evaluate(rows, annotations, photo_size=(SIDE, SIDE), rank={GRAPH: graph.gain}),
        best={part: _best_nodes(graph, matches, annotations, part) for part in masks.parts},
        purity=purity,
        seconds={},
    )


def _best_nodes(
    graph: ExplanatoryGraph, matches: Matches, annotations: Annotations, part: str
) -> tuple[BestNode, ...]:
    ratio = tracking_ratio(matches, part_truth(annotations, part, (SIDE, SIDE)))
    nodes = unique_nodes(matches, ranking(ratio), PER_PART).tolist()
    return tuple(BestNode(node, graph.node_id(node), float(ratio[1, node])) for node in nodes)


def _part_names(matches: Matches, masks: PartMasks) -> dict[int | str, str]:
    """Return the name of the part that a node is sure of, by node."""
    labels = node_labels(matches, masks)
    names: dict[int | str, str] = {}
    for node in range(labels.shape[1]):
        photos = leading_photos(matches.score[:, node])
        if len(photos) == 0:
            continue
        part, share = majority(labels[photos, node], len(masks.parts))
        if share >= _SURE:
            names[node] = masks.parts[part].replace("_", " ")
    return names
