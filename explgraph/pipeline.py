"""The facade's verbs: from a network and photos to peaks, a graph, matches.

Networks and mining meet here, and nowhere below.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Literal, Unpack, cast

import numba
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from explgraph.base import __version__
from explgraph.base.errors import DoubtfulDataWarning, check_options, require
from explgraph.base.files import PathLike, Stages
from explgraph.base.formats.material import Material
from explgraph.base.layer import LayerSpec
from explgraph.base.progress import PHOTOS, plan, stage, watched
from explgraph.base.running.kept import clear_kept
from explgraph.base.text import printable_lines
from explgraph.engines.compiling import compiling
from explgraph.engines.crews import WorkOptions, workplace
from explgraph.engines.photos import Looking, extract_by_workers, match_by_workers, measuring
from explgraph.graphs.choice import at_border
from explgraph.graphs.doubts import find_doubts, refuse, warned_of
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.groups.contrast import node_contrast
from explgraph.groups.grouping import part_groups
from explgraph.networks.backbone import Backbone
from explgraph.peaks.extraction import extract_peaks
from explgraph.peaks.reading import ReadOptions
from explgraph.peaks.spool.reading import SpooledPeaks
from explgraph.peaks.spool.writing import spool_peaks, spool_statistics
from explgraph.peaks.statistics import ChannelStatistics, channel_statistics
from explgraph.peaks.structures import PeakSet, PeakSource, group_firsts
from explgraph.peaks.survey import survey
from explgraph.photos.contents import kept_contents
from explgraph.photos.images import ImageSource, open_images
from mining import RESULTS, MiningConfig, match_peaks, mine_peaks
from mining.devices import usable_device
from mining.engine import Device

Layers = Literal["auto"] | Sequence[str]
_Measure = Callable[[Backbone, object, Sequence[LayerSpec], ReadOptions], ChannelStatistics]


def extract(
    net: Backbone,
    images: object,
    *,
    background: object | None = None,
    layers: Layers = "auto",
    spool: PathLike | None = None,
    **options: Unpack[WorkOptions],
) -> PeakSet:
    """Run the network over photos and keep the activation peaks of some layers.

    Parameters
    ----------
    net
        The network.
    images
        A folder, a file, a list of files, an array (N, H, W, 3), a torch Dataset or an
        `ImageSource`.
    background
        What channels are normalised by: photos of anything; or a `PeakSet` or `ExplanatoryGraph`,
        whose layers and channel statistics are taken over. None: the photos themselves.
    layers
        Names, or "auto": see `Backbone.auto_layers`. Not used where ``background`` has them.
    spool
        With ``executor``, a folder that all its workers see; nothing stays in it.
    **options
        See `explgraph.peaks.reading.ReadOptions`, and for more processes or machines
        `explgraph.engines.crews.WorkOptions`.

    Returns
    -------
    Peaks of the N photos that could be read.

    Raises
    ------
    ExplGraphError
        If there are no photos, a layer is unknown or never fires, or maps hold NaN.

    Examples
    --------
    >>> net = eg.load_backbone("squeezenet1_1")  # doctest: +SKIP
    >>> peaks = eg.extract(net, "photos/zebra", background="photos/background")  # doctest: +SKIP
    >>> peaks.save("zebra_peaks.safetensors")  # doctest: +SKIP
    """
    check_options("extract", options, WorkOptions)
    source, executor = _open(images, options), options.pop("executor", None)
    reference = source if background is None else background
    with watched(options.get("progress", True)), workplace(executor, spool) as (_, crew):
        measure = channel_statistics if crew is None else measuring(crew)
        specs, statistics = _reference(net, reference, layers, options, measure)
        if crew is None:
            return extract_peaks(net, source, specs, statistics, options)
        return extract_by_workers(crew, Looking(net, specs, statistics, options), source)


def _open(images: object, options: ReadOptions) -> ImageSource:
    return open_images(images, boxes=options.get("boxes"), label=options.get("label"))


def _reference(
    net: Backbone, background: object, layers: Layers, options: ReadOptions, measure: _Measure
) -> tuple[tuple[LayerSpec, ...], ChannelStatistics]:
    """Return the layers, and the statistics that channels are normalised by."""
    if not isinstance(background, PeakSet | ExplanatoryGraph):
        specs = net.select(layers)
        return specs, measure(net, background, specs, options)
    specs = net.select([layer.name for layer in background.layers])
    require(
        specs == background.layers and net.input_size == background.input_size,
        "the layers of `background` are not those of this network at this input size: "
        "extract or mine with the same network again",
    )
    return specs, ChannelStatistics(background.channel_mean, background.channel_scale)


def mine(
    net: Backbone,
    images: object,
    *,
    background: object | None = None,
    layers: Layers = "auto",
    seed: int = 0,
    config: MiningConfig | None = None,
    spool: PathLike | None = None,
    resume: bool = False,
    **options: Unpack[WorkOptions],
) -> ExplanatoryGraph:
    """Mine the explanatory graph of one category.

    Where the photos, or what came of them, give reason to doubt the graph (few of them, copies,
    nothing in them), one `DoubtfulDataWarning` says so, and ``graph.doubts`` as often as asked.

    Mining runs where the network does: on its GPU with ``explgraph[cuda]``, else on the CPU.

    The graph also knows its part groups (`part_groups`) and, where the background is photos, each
    node's contrast to up to 60 of them (`node_contrast`): what it holds can be read at a glance.

    With ``spool``, peaks go to files, and photos may be many more than memory holds: it takes what
    some hundred photos' peaks do, or some filters' in all photos. A run that was interrupted goes
    on with ``resume`` where it was, and gives the same graph, byte by byte.

    Parameters
    ----------
    net
        The network.
    images
        Photos of one category, in any form that `extract` takes; two at least.
    background
        Photos of anything, for what is a strong response of a filter, as of `extract`, and for the
        contrast of nodes; or a `PeakSet` of such photos; or an `ExplanatoryGraph`, from which the
        channel statistics are taken, and then contrast is not known.
    layers
        Names, lowest first in the graph whatever their order here; or "auto".
    seed
        Of the nodes' first positions.
    config
        Hyper-parameters; None takes the defaults.
    spool
        A folder for the peaks and for what is mined so far. It may be deleted afterwards; kept, it
        saves the network's work when the same photos are mined again, be it with another ``config``
        or ``seed``.
    resume
        Go on with what ``spool`` holds, if anything.
    **options
        As of `extract`.

    Returns
    -------
    The graph. Equal peaks, configuration and seed give equal bytes in its file.

    Raises
    ------
    ExplGraphError
        As `extract`, and for fewer than two photos; with ``strict=True``, if there is reason to
        doubt what they show; if ``spool`` holds something and ``resume`` is not set, or holds what
        was made of other photos or with other settings, or cannot be written into.

    References
    ----------
    Q. Zhang, R. Cao, F. Shi, Y. N. Wu and S.-C. Zhu, "Interpreting CNN Knowledge via an Explanatory
    Graph", AAAI 2018.

    Examples
    --------
    >>> net = eg.load_backbone("squeezenet1_1")  # doctest: +SKIP
    >>> graph = eg.mine(net, "photos/zebra", background="photos/background")  # doctest: +SKIP
    >>> graph.save("zebra.safetensors")  # doctest: +SKIP
    """
    check_options("mine", options, WorkOptions)
    config, device = config or MiningConfig(), device_of(net)
    require(
        spool is not None or not resume,
        "resume goes on with a spool: give its folder as `spool` (--spool)",
    )
    executor, strict = options.pop("executor", None), options.get("strict", False)
    with kept_contents(spool):
        source = _open(images, options)
        reference = _reference_photos(source if background is None else background)
    with (
        watched(options.get("progress", True)),
        workplace(executor, spool, resumes=True) as (folder, crew),
    ):
        plan(_shares(source, reference, options))
        if folder is None:
            with compiling():
                specs, measured = _reference(net, reference, layers, options, channel_statistics)
                peaks = extract_peaks(net, source, specs, measured, options)
                others = _contrast_peaks(net, background, peaks, options)
            material = _surveyed(peaks, strict)
            graph = mine_peaks(peaks, config=config, seed=seed, device=device)
            graph = grouped(graph, peaks, background=others, device=device)
            return _told(recorded(graph, material), strict)
        measure = partial(spool_statistics, folder=folder, resume=resume, crew=crew)
        with compiling() if crew is None else nullcontext():
            specs, measured = _reference(net, reference, layers, options, measure)
            spooled = spool_peaks(
                net, source, specs, measured, options, folder, resume=resume, crew=crew
            )
        material = _surveyed(spooled, strict)
        stages = Stages(folder, _stage_key(spooled, config, seed, device))
        graph = mine_peaks(
            spooled, config=config, seed=seed, stages=stages, device=device, crew=crew
        )
        clear_kept(folder)
        others = _contrast_peaks(net, background, spooled, options)
        graph = grouped(graph, spooled, background=others, device=device)
        return _told(recorded(graph, material), strict)


def _surveyed(peaks: PeakSource, strict: bool) -> Material:
    """Return what the photos are like; if ``strict``, refuse them now if they are doubtful."""
    material = survey(peaks)
    if strict:
        header = {**peaks.header, "n_images": len(peaks), "material": material.to_json()}
        refuse(find_doubts(header, peaks.layers))
    return material


def recorded(graph: ExplanatoryGraph, material: Material) -> ExplanatoryGraph:
    """Return a graph whose header has what its photos are like, so that it has `doubts`."""
    nodes = np.bincount(graph.node_layer, minlength=len(graph.layers)).tolist()
    border = int(at_border(graph).sum())
    whole = structs.replace(material, nodes=tuple(nodes), border_nodes=border)
    return replace(graph, header={**graph.header, "material": whole.to_json()})


def _told(graph: ExplanatoryGraph, strict: bool) -> ExplanatoryGraph:
    """Warn of what is to be doubted, or refuse it if ``strict``."""
    told = warned_of(graph.doubts)
    if strict:
        refuse(graph.doubts)
    if told:
        warning = DoubtfulDataWarning(printable_lines(f"doubtful data: {told}"))
        warnings.warn(warning, stacklevel=3)  # where `mine` was called
    return graph


def _reference_photos(background: object) -> object:
    """Open a background of photos; one of peaks or a graph is as it was."""
    known = isinstance(background, PeakSet | ExplanatoryGraph)
    return background if known else open_images(background)


_CONTRASTED = 60  # photos of the background: 40 tell nodes as well apart as 200, see log 63
_GROUPED = 300  # photos that part groups are made from


def _contrast_peaks(
    net: Backbone, background: object, peaks: PeakSource, options: ReadOptions
) -> PeakSet | None:
    """Return the peaks of some photos of the background, as given; None if it has none."""
    if background is None or isinstance(background, ExplanatoryGraph):
        return None
    if isinstance(background, PeakSet):
        known = background.take(_spread(len(background), _CONTRASTED))
        return replace(known, mirrored=None, maps=None)
    photos = open_images(background)
    some = photos.take(_spread(len(photos), _CONTRASTED).tolist())
    read = {**options, "mirror": False, "maps": False, "boxes": None, "label": None}
    statistics = ChannelStatistics(peaks.channel_mean, peaks.channel_scale)
    return extract_peaks(net, some, peaks.layers, statistics, cast("ReadOptions", read))


def grouped(
    graph: ExplanatoryGraph,
    peaks: PeakSource,
    *,
    background: PeakSet | None = None,
    device: Device = "cpu",
) -> ExplanatoryGraph:
    """Return a graph that knows its part groups, and the contrast of its nodes.

    Parameters
    ----------
    graph
        P nodes.
    peaks
        Of photos of the category, such as those that it was mined from: up to 300 of them, spread
        evenly, are matched.
    background
        Peaks of photos of anything; None: contrast is not known, or stays as it is.
    device
        As in `mine_peaks`.
    """
    with stage("part groups"):
        chosen, parts = _spread(len(peaks), _GROUPED), []
        size = group_firsts(peaks).step
        for number in np.unique(chosen // size).tolist():  # other groups are not read
            own = chosen[chosen // size == number] - number * size
            parts.append(match_peaks(graph, peaks.group(number).take(own), device=device))
        found = Matches.joined(parts)
        if background is not None:
            others = match_peaks(graph, background, device=device)
            graph = graph.having(contrast=node_contrast(graph, found, others))
        return graph.having(groups=part_groups(graph, found))


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of ``count`` photos, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64))


# Of the time that a photo of the background takes. Measured: both views take 1.1 times as long if
# loops are compiled beside the background, else up to 2.5; mining .3 to .7, less of large networks.
_VIEW, _MINING = 0.8, 0.5


def _shares(source: ImageSource, background: object, options: ReadOptions) -> dict[str, float]:
    """Return how much work each stage of `mine` is, counted in photos of the background."""
    views = 2 if options.get("mirror", True) else 1
    shares = {PHOTOS: _VIEW * views * len(source), "mining": _MINING * len(source)}
    if isinstance(background, ImageSource):
        contrasted = min(len(background), _CONTRASTED)
        shares[PHOTOS] += contrasted * _VIEW
        return {"background": len(background), **shares}
    return shares


def _stage_key(
    spooled: SpooledPeaks, config: MiningConfig, seed: int, device: str
) -> dict[str, object]:
    """Return what decides the results of mining."""
    versions = {"explgraph": __version__, "numba": numba.__version__, "numpy": np.__version__}
    return {
        "config": config.to_json(),
        "device": device,  # its rounding
        "mining": RESULTS,
        "peaks": spooled.digest,
        "seed": str(seed),
        "versions": versions,
    }


def match(
    graph: ExplanatoryGraph,
    net: Backbone,
    images: object,
    *,
    force: bool = False,
    views: bool = False,
    spool: PathLike | None = None,
    **options: Unpack[WorkOptions],
) -> Matches:
    """Find every node of a graph in photos.

    Matching runs where the network does, as in `mine`; what follows is said of the CPU.

    From peaks on, what is found in a photo does not depend on the other photos. The network may
    round a photo differently with others in its batch, which moves places by less than 1e-4 unless
    two peaks are nearly equal; with ``deterministic=True`` it sees one photo at a time.

    Parameters
    ----------
    graph
        A mined graph with P nodes.
    net
        The network that it was mined from.
    images
        Photos, in any form that `extract` takes.
    force
        Go on although the network's weights are not those that the graph was mined from.
    views
        Keep what was seen both ways and the maps of one layer, for `fit_parts` and `locate`. That
        takes some hundred kilobytes more for each photo.
    spool
        As of `extract`.
    **options
        As of `extract`; with ``mirror=False`` only photos as given are looked at, in half the time.

    Returns
    -------
    Positions in the unit square of each photo, and scores.

    Raises
    ------
    ExplGraphError
        If the weights differ, or as `extract`.

    Examples
    --------
    >>> graph = eg.ExplanatoryGraph.load("zebra.safetensors")  # doctest: +SKIP
    >>> found = eg.match(graph, eg.load_backbone(graph), "photos/new")  # doctest: +SKIP
    >>> found.yx[0]  # where each node is in the first photo  # doctest: +SKIP
    """
    check_options("match", options, WorkOptions)
    if not force:
        check_weights(graph, net)
    if views:
        options["maps"] = True
    executor = options.pop("executor", None)
    with watched(options.get("progress", True)), workplace(executor, spool) as (_, crew):
        if crew is not None:
            source = _open(images, options)
            known = _reference(net, graph, "auto", options, channel_statistics)
            work = Looking(net, *known, options, graph, views, device_of(net))
            return match_by_workers(crew, work, source)
        with compiling():
            peaks = extract(net, images, background=graph, **options)
        return match_peaks(graph, peaks, views=views, device=device_of(net))


def device_of(net: Backbone) -> Device:
    """Return where mining and matching run: where the network does."""
    return usable_device("auto" if net.device.type == "cuda" else "cpu")


def check_weights(graph: ExplanatoryGraph, net: Backbone) -> None:
    """Raise `ExplGraphError` unless a graph was mined from this network's weights."""
    ours, theirs = net.weight_hash, graph.header.get("weight_hash")
    require(
        ours == theirs,
        f"the graph was mined from other weights (model {graph.header.get('model')!r}, hash "
        f"{str(theirs)[:12]}...) than this network's ({net.name!r}, {ours[:12]}...). Load the "
        "weights it was mined from, or pass force=True (--force) to match all the same",
    )
