"""What ``explgraph evaluate --measures`` can measure: one entry for each, on shared peaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from explgraph.base.errors import ExplGraphError, require, unknown_name

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from explgraph.evaluation.truth import PartTruth
    from explgraph.networks.backbone import Backbone
    from explgraph.peaks.reading import ReadOptions
    from explgraph.peaks.structures import PeakSet
    from explgraph.photos.annotations import Annotations


_T = TypeVar("_T")

TRACKING = "tracking"
ANNOTATIONS, BACKGROUND, MASKS = "annotations", "background", "masks"
OBJECTS = "objects"


@dataclass(frozen=True, slots=True)
class Category:
    """What all measures of one category share: the network has seen the photos once.

    Attributes
    ----------
    name, folder
        Of the category's photos.
    net
        The network.
    peaks
        N photos, with their mirror images.
    seeds
        One graph is mined for each.
    options
        How photos are read.
    background
        Photos of anything; None where none were given.
    annotations
        Parts in these photos; None where there is no such file.
    parts
        Those to measure.
    masks
        Folder of masks, or None.
    objects
        File of boxes in which the photos' objects are, or None.
    """

    name: str
    folder: Path
    net: Backbone
    peaks: PeakSet
    seeds: Sequence[int]
    options: ReadOptions
    background: PeakSet | None = None
    annotations: Annotations | None = None
    parts: Sequence[str] = ()
    masks: Path | None = None
    objects: Path | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """N groups of photos that belong together; a photo that is not annotated is its own."""
        known = self.annotations
        group = {} if known is None else dict(zip(known.image, known.group, strict=True))
        return tuple(group.get(image, image) for image in self.peaks.images)

    def photo_sizes(self, annotations: Annotations) -> dict[str, tuple[int, int]]:
        """Return height and width of the annotated photos, by name."""
        from explgraph.photos.images import open_images

        annotated = {*annotations.image} & {*self.peaks.images}
        return open_images(self.folder).photo_sizes(annotated)

    def truths(self, annotations: Annotations, parts: Sequence[str]) -> list[PartTruth]:
        """Return the truth of some annotated parts in the photos."""
        from explgraph.evaluation.truth import part_truth

        size, images = self.photo_sizes(annotations), self.peaks.images
        return [part_truth(annotations, part, size, images=images) for part in parts]


class Result(Protocol):
    """What a measure gives for one category."""

    @property
    def table(self) -> pd.DataFrame:
        """One row per line and seed, with the columns ``category`` and ``seed``."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON values."""
        ...


@dataclass(frozen=True, slots=True)
class Measure:
    """An entry of `MEASURES`.

    Attributes
    ----------
    title
        Of its table.
    run
        Measures one category.
    keys
        Columns of its table that tell rows apart, apart from the category.
    needs
        What must be given: any of `ANNOTATIONS`, `BACKGROUND` and `MASKS`.
    takes
        What may be given: any of `MASKS` and `OBJECTS`.
    printed
        Keys and the only value of each that people are shown; JSON has all.
    """

    title: str
    run: Callable[[Category], Result]
    keys: tuple[str, ...]
    needs: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    printed: tuple[tuple[str, str], ...] = ()


def chosen_measures(names: Sequence[str]) -> dict[str, Measure]:
    """Return measures by name, in the order given.

    Raises
    ------
    ExplGraphError
        If there is none, or no measure of that name.
    """
    require(len(names) > 0, f"--measures needs at least one of {', '.join(MEASURES)}")
    for name in names:
        if name not in MEASURES:
            raise unknown_name("measure", name, MEASURES, f"There are: {', '.join(MEASURES)}")
    return {name: MEASURES[name] for name in names}


def _tracking(category: Category) -> Result:
    from explgraph.evaluation.protocol import study_peaks

    annotations = _given(category.annotations)
    return study_peaks(
        category.peaks,
        annotations,
        category.photo_sizes(annotations),
        category=category.name,
        seeds=category.seeds,
        parts=category.parts,
    )


def _facing(category: Category) -> Result:
    from explgraph.evaluation.facing import study_facing

    (head,) = category.truths(_given(category.annotations), ["head"])
    return study_facing(category.peaks, head, seeds=category.seeds, category=category.name)


def _asking(category: Category) -> Result:
    from explgraph.evaluation.asking import study_asking
    from explgraph.pipeline import match
    from mining import mine_peaks

    graph = mine_peaks(category.peaks, seed=0)
    found = match(graph, category.net, category.folder, views=True, **category.options)
    truths = category.truths(_given(category.annotations), category.parts)
    return study_asking(graph, found, truths, seeds=category.seeds, category=category.name)


def _explained(category: Category) -> Result:
    from explgraph.evaluation.explained import study_explained

    return study_explained(
        category.peaks,
        _given(category.background),
        groups=category.groups,
        seeds=category.seeds,
        category=category.name,
        objects=_objects(category),
    )


def _objects(category: Category) -> list[NDArray[np.bool_]] | None:
    """Return where the object is in each photo, if masks or boxes tell."""
    from explgraph.base.arrays import NONE
    from explgraph.photos.boxes import box_masks, read_boxes
    from explgraph.photos.images import open_images
    from explgraph.photos.masks import read_masks

    images = category.peaks.images
    if category.masks is not None:
        return [mask != NONE for mask in read_masks(category.masks, images).labels]
    if category.objects is None:
        return None
    size = open_images(category.folder).photo_sizes(images)
    return box_masks(read_boxes(category.objects), images, size)


def _kinds(category: Category) -> Result:
    from explgraph.evaluation.kinds import study_kinds
    from explgraph.photos.masks import read_masks

    return study_kinds(
        category.peaks,
        _given(category.background),
        read_masks(_given(category.masks), category.peaks.images),
        groups=category.groups,
        seeds=category.seeds,
        category=category.name,
    )


def _stability(category: Category) -> Result:
    from explgraph.evaluation.stability import study_stability

    return study_stability(
        category.peaks, groups=category.groups, seeds=category.seeds, category=category.name
    )


def _purity(category: Category) -> Result:
    from explgraph.evaluation.map_purity import map_purity
    from explgraph.evaluation.purity import study_purity
    from explgraph.photos.masks import read_masks
    from mining import match_peaks, mine_peaks

    peaks = category.peaks
    masks = read_masks(_given(category.masks), peaks.images)
    graphs = {seed: mine_peaks(peaks, seed=seed) for seed in category.seeds}
    batch_size = category.options.get("batch_size")
    return study_purity(
        {seed: (graph, match_peaks(graph, peaks)) for seed, graph in graphs.items()},
        peaks,
        masks,
        maps=map_purity(category.net, category.folder, peaks, masks, batch_size=batch_size),
        category=category.name,
    )


def _groups(category: Category) -> Result:
    from explgraph.evaluation.groups import study_groups
    from explgraph.photos.masks import read_masks

    peaks, known = category.peaks, category.annotations
    masks = None if category.masks is None else read_masks(category.masks, peaks.images)
    marks = [] if known is None else category.truths(known, category.parts)
    return study_groups(
        peaks,
        background=category.background,
        masks=masks,
        marks=marks,
        photo_groups=category.groups,
        seeds=category.seeds,
        category=category.name,
    )


def _fidelity(category: Category) -> Result:
    from explgraph.base.arrays import first_half
    from explgraph.evaluation.fidelity import fidelity_curve
    from mining import match_peaks, mine_peaks

    mined = first_half(category.groups)
    found = {}
    for seed in category.seeds:
        graph = mine_peaks(category.peaks.take(mined), seed=seed)
        matches = match_peaks(graph, category.peaks.take(~mined))
        found[seed] = fidelity_curve(graph, matches, category.net, category.folder)
    return _BySeed(category.name, found)


def _edges(category: Category) -> Result:
    from explgraph.evaluation.edges import study_edges
    from explgraph.pipeline import grouped
    from mining import match_peaks, mine_peaks

    found = {}
    for seed in category.seeds:
        mined = mine_peaks(category.peaks, seed=seed)
        matches = match_peaks(mined, category.peaks)
        graph = grouped(mined, category.peaks, background=category.background)
        found[seed] = study_edges(
            graph, matches, category.net, category.folder, groups=category.groups, seed=seed
        )
    return _BySeed(category.name, found)


@dataclass(frozen=True, slots=True)
class _BySeed:
    """Results of one category for several seeds as one."""

    category: str
    seeds: Mapping[int, Result]

    @property
    def table(self) -> pd.DataFrame:
        """The seeds' rows, one below the other."""
        import pandas as pd

        frames = [found.table.assign(seed=seed) for seed, found in self.seeds.items()]
        return pd.concat(frames, ignore_index=True).assign(category=self.category)

    def to_json(self) -> dict[str, Any]:
        """Return every figure of every seed as JSON values."""
        figures = {str(seed): found.to_json() for seed, found in self.seeds.items()}
        return {"category": self.category, "seeds": figures}


def _given(value: _T | None) -> _T:
    """Return what `Measure.needs` asked for: it was checked before the work began."""
    if value is None:
        raise ExplGraphError("a measure runs without something that its `needs` do not name")
    return value


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        TRACKING: Measure("tracking", _tracking, ("part", "row"), frozenset({ANNOTATIONS})),
        "explained": Measure(
            "share of the response that nodes explain",
            _explained,
            ("count", "layer", "row"),
            frozenset({BACKGROUND}),
            frozenset({MASKS, OBJECTS}),
            (("layer", "all layers"),),
        ),
        "kinds": Measure(
            "kinds: are nodes what they are called?",
            _kinds,
            (),
            frozenset({BACKGROUND, MASKS}),
        ),
        "fidelity": Measure(
            "share of photos whose class stays, with only the cells that nodes claim",
            _fidelity,
            ("row",),
        ),
        "edges": Measure(
            "share of nodes' responses lost without 15 nodes below, and what edges are made of",
            _edges,
            ("row",),
        ),
        "stability": Measure("nodes that are found again", _stability, ("kind",)),
        "facing": Measure(
            "facing: are photos turned rightly?", _facing, ("row",), frozenset({ANNOTATIONS})
        ),
        "asking": Measure(
            "asking: which photo is worth an answer?",
            _asking,
            ("part", "row", "answers"),
            frozenset({ANNOTATIONS}),
        ),
        "groups": Measure(
            "part groups, and what tells the nodes that follow a part",
            _groups,
            ("row",),
            takes=frozenset({MASKS}),
        ),
        "purity": Measure(
            "purity: is it one and the same part that lies under a node?",
            _purity,
            ("row",),
            frozenset({MASKS}),
        ),
    }
)
"""What can be measured, by the name that ``--measures`` takes."""
