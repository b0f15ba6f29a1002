"""Every format that is read: its seeds, how it is read and used, and what may be accepted."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from aog import Parts, locate
from explgraph.base.errors import ExplGraphError
from explgraph.base.files import Stages, read_arrays
from explgraph.base.formats.columns import CHANNELS, layer_arrays
from explgraph.base.formats.headers import StatisticsKey
from explgraph.base.json_text import typed
from explgraph.evaluation.few_shot.splits import held_out, read_splits
from explgraph.export import to_networkx
from explgraph.graphs.display import graph_html, matches_html
from explgraph.graphs.facts import describe_node, node_facts
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.networks.zoo import load_weights, read_weights
from explgraph.peaks.spool.manifest import Manifest
from explgraph.peaks.spool.reading import assembled
from explgraph.peaks.structures import PeakSet
from explgraph.photos.annotation_files import read_annotations
from explgraph.photos.boxes import box_masks, read_boxes
from explgraph.photos.images import open_images
from explgraph.photos.masks import read_masks
from mining import match_peaks

from . import rules, seeds
from .meaning import meaning


def nothing(value):
    """Use for what is used up by being read."""


@dataclass(frozen=True, eq=False)
class Format:
    """A kind of input.

    Attributes
    ----------
    name
        In tables and on the command line.
    made
        Make its seeds, folders of files.
    read
        Read a folder, by what users call.
    use
        Do with the result what is cheap to do; only asked where it is another than the seed's.
    rule
        Raises AssertionError where a result may not be accepted.
    checked
        Whether files have a checksum, so that nothing else than the seed may be accepted unless it
        was made anew.
    share
        How many inputs this has, of those of all.
    """

    name: str
    made: Callable[[], list[dict[str, bytes]]]
    read: Callable[[Any], Any]
    use: Callable[[Any], Any] = nothing
    rule: Callable[[Any], None] = rules.anything
    checked: bool = False
    share: float = 1.0

    @cached_property
    def seeds(self) -> list[dict[str, bytes]]:
        return self.made()


def use_graph(graph):
    list(graph.nodes)
    json.dumps(dict(graph.header), allow_nan=False)
    repr(graph)
    graph_html(graph)
    to_networkx(graph)
    if len(graph):
        describe_node(graph, None, 0)
    try:
        match_peaks(graph, seeds.peaks())
    except ExplGraphError:  # of another network, say
        graph.best(1)


def use_matches(found):
    matches_html(found)
    json.dumps(dict(found.header), allow_nan=False)
    for ask in (
        lambda: node_facts(seeds.graph(), found),
        lambda: locate(seeds.parts(), found),
        lambda: found.photo_sizes,
        lambda: found.view_probability,
    ):
        try:
            ask()
        except ExplGraphError:
            continue


def use_peaks(found):
    match_peaks(seeds.graph(), found, views=found.maps is not None)


def use_parts(found):
    found.doubts()
    to_networkx(found)
    repr(found)
    locate(found, seeds.found(True))


def read_spool(folder):
    manifest = Manifest.read(folder)
    if not all(shard.is_whole(folder) for shard in manifest.shards) or not manifest.shards:
        raise ExplGraphError("such shards are made again")
    return assembled(folder, manifest).load()


def read_statistics(folder):
    """As a run does that goes on, whatever the key."""
    arrays, header = read_arrays(folder / "a.safetensors", "statistics")
    layers = typed(header["key"], "its key", StatisticsKey).layers
    return layer_arrays(CHANNELS, arrays, layers)


def read_stage(folder):
    found = Stages(folder, seeds.STAGE_KEY).load("mined.2", seeds.STAGE_COLUMNS, {})
    if found is None:
        raise ExplGraphError("such a stage is made again")
    return found


def use_annotations(marks):
    marks.unit((40, 30))
    marks.of(marks.parts()[0])
    held_out(marks, marks.part[0], [])


def use_boxes(found):
    box_masks(found, list(found), dict.fromkeys(found, (20, 30)))


def read_names(path):
    graph = seeds.graph().rename(path)
    return dict(graph.names), graph.groups.names


def use_names(found):
    nodes, groups = found
    rules.text(*nodes.values(), *groups)


def read_tar(folder):
    source = open_images(str(folder / "a.tar"))
    return source.names, [source.load(i) for i in range(len(source))]


def read_and_load(name, folder):
    found = read_weights(folder / name)
    try:
        load_weights(seeds.network(), folder / name)
    except ExplGraphError as error:
        return found, str(error)[:0]
    return found, ""


def one(name, read):
    """Read one file of a folder."""
    return lambda folder: read(folder / name)


def ours(name, *made, kind, use, rule, share=3.0):
    return Format(
        name,
        lambda: [seeds.saved(make()) for make in made],
        one("a.safetensors", kind.load),
        use,
        rule,
        checked=True,
        share=share,
    )


def told(name, file, *made, read, use, rule, share=1.0):
    """Text of others, or ours that others may write: without a checksum."""
    return Format(name, lambda: [make() for make in made], one(file, read), use, rule, share=share)


def from_text(file, *contents):
    return [partial(seeds.text, file, content) for content in contents]


def picture_format(kind):
    file = f"a.{seeds.ENDINGS.get(kind, kind)}"
    return Format(
        f"picture {kind}",
        lambda: [seeds.picture(kind, mode) for mode in seeds.PICTURES[kind]],
        lambda folder: open_images(str(folder / file)).load(0),
        rule=rules.picture,
        share=0.7,
    )


_MARKS = {"read": read_annotations, "use": use_annotations, "rule": rules.annotations}
_BOXES = {"read": read_boxes, "use": use_boxes, "rule": rules.boxes}
_ALL = [
    ours(
        "graph", seeds.graph, seeds.plain_graph,
        kind=ExplanatoryGraph, use=use_graph, rule=rules.graph, share=5,
    ),
    ours(
        "matches", partial(seeds.found, False), partial(seeds.found, True),
        kind=Matches, use=use_matches, rule=rules.matches, share=5,
    ),
    ours("peaks", seeds.peaks, kind=PeakSet, use=use_peaks, rule=rules.peaks),
    ours("parts", seeds.parts, kind=Parts, use=use_parts, rule=rules.parts, share=4),
    Format(
        "stage", lambda: [seeds.stage()], read_stage, checked=True, share=1.5,
    ),
    Format(
        "statistics", lambda: [seeds.statistics()],
        read_statistics,
        rule=rules.channels, checked=True, share=1.5,
    ),
    Format(
        "spool", lambda: [seeds.spool()], read_spool, use_peaks, rules.peaks, checked=True, share=3,
    ),
    told(
        "names", "a.json", seeds.names,
        read=read_names, use=use_names, rule=rules.anything,
    ),
    told("annotations csv", "a.csv", seeds.annotations, *from_text("a.csv", seeds.CSV), **_MARKS),
    told("crops csv", "a.csv", *from_text("a.csv", seeds.CROPS), **_MARKS),
    told("answers csv", "a.csv", partial(seeds.answers, "a.csv"), **_MARKS),
    told("groups csv", "a.csv", seeds.groups_table, **_MARKS),
    told(
        "coco key points", "a.json", seeds.keypoints, partial(seeds.answers, "a.json"),
        *from_text("a.json", seeds.COCO), **_MARKS, share=2,
    ),
    told(
        "cvat", "a.xml", *from_text("a.xml", seeds.CVAT),
        partial(seeds.told_places, "a.xml", "cvat"), **_MARKS, share=2,
    ),
    told(
        "label studio", "a.json", *from_text("a.json", seeds.LABEL_STUDIO),
        partial(seeds.told_places, "a.json", "label-studio"), **_MARKS, share=2,
    ),
    told("boxes csv", "a.csv", *from_text("a.csv", seeds.BOXES), **_BOXES),
    told("coco boxes", "a.json", seeds.keypoints, *from_text("a.json", seeds.COCO), **_BOXES),
    told("voc boxes", "a.xml", *from_text("a.xml", seeds.VOC), **_BOXES),
    told(
        "splits", "a.json", *from_text("a.json", seeds.SPLITS),
        read=read_splits, use=nothing, rule=rules.splits,
    ),
    Format(
        "masks", lambda: [seeds.masks(mode) for mode in ("L", "P")],
        lambda folder: read_masks(folder, ["a/b.jpg"]), rule=rules.masks,
    ),
    Format(
        "cub", lambda: [seeds.CUB], lambda folder: read_annotations(folder), use_annotations,
        rules.annotations,
    ),
    Format(
        "voc parts", lambda: [seeds.voc_parts(packed=False), seeds.voc_parts(packed=True)],
        lambda folder: read_annotations(folder), use_annotations, rules.annotations,
    ),
    Format(
        "weights pth", lambda: [seeds.weights(kind) for kind in ("zip", "old", "held")],
        partial(read_and_load, "a.pth"), rule=lambda found: rules.weights(found[0]),
    ),
    Format(
        "weights safetensors", lambda: [seeds.weights("safetensors")],
        partial(read_and_load, "a.safetensors"), rule=lambda found: rules.weights(found[0]),
    ),
    *map(picture_format, seeds.PICTURES),
    Format(
        "photos tar",
        lambda: [seeds.tar(layout) for layout in seeds.TARS],
        read_tar, rule=rules.archive,
    ),
]  # fmt: skip
FORMATS: dict[str, Format] = {format.name: format for format in _ALL}


def warm():
    """Make all seeds and what uses need, once, before processes are forked."""
    for format in FORMATS.values():
        assert format.seeds
    seeds.peaks(), seeds.parts(), seeds.found(True)
    return meaning(np.zeros(1))
