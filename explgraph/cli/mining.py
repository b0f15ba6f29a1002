"""``explgraph layers`` and ``explgraph mine``."""

# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from explgraph.base.errors import DoubtfulDataWarning, ExplGraphError, require
from explgraph.base.progress import CLASSES, Stage, stage
from explgraph.photos.contents import kept_contents
from explgraph.photos.images import ImageSource, open_images
from explgraph.photos.packed import is_tar

from . import options as cli
from .base import FAILED, Report, doubt_lines, one_line, table
from .options import check_out_file, layer_choice, read_options
from .outputs import Written

if TYPE_CHECKING:
    from rich.table import Table

    from explgraph.base.layer import LayerSpec
    from explgraph.graphs.graph import ExplanatoryGraph


log = logging.getLogger("explgraph")


def layers(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As --model of 'explgraph mine'.")],
    weights: cli.Weights = None,
    as_json: cli.AsJson = False,
) -> Report:
    """List the layers of a network that can be mined, and mark the automatic choice.

    What speaks against a layer is noted: "read-out" where it goes to the network's output without
    another activation, as class scores do, "upsampled" where maps were made finer before it.

    Standard weights are not downloaded for this: without --weights, the architecture is enough.
    """
    from explgraph.networks.backbone import load_backbone

    net = load_backbone(model, weights, device="cpu")
    chosen = [layer.name for layer in net.select("auto")]
    notes = net.layer_notes()
    height, width = net.input_size
    data = {
        "model": net.name,
        "input_size": [height, width],
        "layers": [
            {
                **layer.to_json(),
                "automatic": layer.name in chosen,
                "note": notes.get(layer.name, ""),
            }
            for layer in net.layers()
        ],
    }
    legend = f"Input {height} x {width} pixels. * marks the automatic choice."
    told = [f"{note}: {_NOTES[note]}." for note in _NOTES if note in notes.values()]
    return Report(data, (_layer_table(net.layers(), chosen, notes), legend, *told), as_json)


_NOTES = {
    "read-out": "goes to the network's output without another activation, as class scores do; "
    "never chosen automatically, but can be named",
    "upsampled": "behind maps that were made finer again",
}


def _layer_table(
    specs: Sequence[LayerSpec], chosen: Sequence[str], notes: Mapping[str, str]
) -> Table:
    columns = ["", "layer", "channels", "grid", "stride", "receptive field", "context"]
    result = table(*columns, *["note"] * bool(notes), text=2)
    for spec in specs:
        result.add_row(
            "*" if spec.name in chosen else "",
            spec.name,
            str(spec.channels),
            _pair(spec.grid),
            _pair(spec.stride),
            _pair(spec.field),
            "global" if spec.global_context else "local",
            *[notes.get(spec.name, "")] * bool(notes),
        )
    return result


def _pair(values: tuple[float, float]) -> str:
    return f"{values[0]:g} x {values[1]:g}"


def mine(
    images: cli.Images,
    model: cli.Model,
    out: Annotated[
        Path,
        Written.FILE_OR_FOLDER,
        typer.Option(
            metavar="GRAPH", help="The .safetensors file to write; with --per-class, a folder."
        ),
    ],
    weights: cli.Weights = None,
    background: cli.Background = None,
    layers: cli.Layers = "auto",
    boxes: cli.Boxes = None,
    label: cli.Label = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the nodes' first positions.")] = 0,
    device: cli.Device = "auto",
    batch_size: cli.BatchSize = None,
    precision: cli.Precision = "float32",
    fit: cli.Fit = "stretch",
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Stop at a photo that cannot be read, rather than skip it, and at photos that "
            "give reason to doubt their graph: few of them, copies, nothing in them.",
            rich_help_panel=cli.PHOTOS,
        ),
    ] = False,
    spool: cli.Spool = None,
    resume: cli.Resume = False,
    workers: cli.Workers = None,
    dask: cli.Dask = None,
    ray: cli.Ray = None,
    per_class: Annotated[
        bool,
        typer.Option(
            "--per-class",
            help="IMAGES holds one folder for each class: write one graph for each, "
            "OUT/CLASS.safetensors, with --spool by way of DIR/CLASS. A class that fails is named, "
            "and the others go on.",
        ),
    ] = False,
    as_json: cli.AsJson = False,
) -> Report:
    """Mine the explanatory graph of one category from photos of it.

    Peaks of some thousand photos fit into memory. For more, or where a run may be interrupted, give
    --spool DIR: memory grows by a sixth of what peaks take, and the same command with --resume
    goes on where the last one was stopped.
    """
    from explgraph import pipeline
    from explgraph.engines.crews import executor_of

    from .network import load_network

    if not as_json:  # the summary tells the same
        warnings.simplefilter("ignore", DoubtfulDataWarning)
    if not per_class:
        check_out_file(out)
    require(spool is not None or not resume, "--resume goes on with a spool: give --spool DIR")
    elsewhere = dask is not None or ray not in (None, "local")
    require(spool is not None or not elsewhere, "workers need a folder that all see: --spool DIR")
    with kept_contents(spool):
        source = open_images(images, boxes=boxes, label=label)
    if not per_class:
        _note_class_folders(images, source)
    net = load_network(model, weights, device=device, fit=fit)
    choice, options = layer_choice(layers), read_options(batch_size, strict, precision=precision)
    on_gpu = net.device.type == "cuda"
    with executor_of(workers, dask, ray, num_gpus=int(on_gpu)) as executor:
        miner = partial(
            pipeline.mine,
            net,
            layers=choice,
            seed=seed,
            resume=resume,
            executor=executor,
            **options,
        )
        if not per_class:
            graph = miner(source, background=background, spool=spool)
            with stage("writing"):
                graph.save(out)
            return Report(_summary(graph, out), _sentences(graph, out), as_json)
        net.select(choice)  # a wrong name is an error of the command, not of each class
        if background is not None:  # seen by the network once, not for each class
            without_mirror = read_options(batch_size, strict, mirror=False, precision=precision)
            statistics = pipeline.extract(
                net, background, layers=choice, spool=spool, executor=executor, **without_mirror
            )
            miner = partial(miner, background=statistics)

        def mine_class(name: str, photos: ImageSource) -> ExplanatoryGraph:
            return miner(photos, spool=None if spool is None else spool / name)

        classes = _classes(images, source)
        with stage(CLASSES, len(classes), unit=CLASSES) as progress:
            return _mine_classes(mine_class, classes, out, as_json, progress)


def _mine_classes(
    miner: Callable[[str, ImageSource], ExplanatoryGraph],
    classes: Mapping[str, ImageSource],
    out: Path,
    as_json: bool,
    progress: Stage,
) -> Report:
    """Write one graph for each class; name those that fail, and go on."""
    graphs: dict[str, Any] = {}
    failed: dict[str, str] = {}
    lines: list[str] = []
    for number, (name, source) in enumerate(classes.items()):
        progress.reach(number)
        progress.note = name
        path = out / f"{name}.safetensors"
        log.info("%s: %d photos", name, len(source))
        try:
            require(len(source) > 0, f"there are no images in the class folder {name!r}")
            graph = miner(name, source)
            graph.save(path)
        except (ExplGraphError, OSError) as error:
            failed[name] = one_line(error)
            log.error("%s: %s", name, failed[name])
            continue
        graphs[name] = _summary(graph, path)
        lines += _sentences(graph, path)
    if failed:
        lines.append(f"{len(failed)} of {len(classes)} classes failed: {', '.join(failed)}")
    data = {"graphs": graphs, "failed": failed}
    return Report(data, tuple(lines), as_json, exit_code=FAILED if failed else 0)


def _note_class_folders(images: str, source: ImageSource) -> None:
    """Say so if the photos lie as for ``--per-class``: its graphs are others than that of all."""
    names = sorted({name.partition("/")[0] for name in source.names})
    if len(names) > 1 and all("/" in name for name in source.names) and not any(map(is_tar, names)):
        shown = ", ".join(names[:3]) + ", ..." * (len(names) > 3)
        log.info(
            "%s holds %d sub-folders with photos (%s), mined as one category: --per-class mines "
            "each by itself",
            images,
            len(names),
            shown,
        )


def _classes(images: str, source: ImageSource) -> dict[str, ImageSource]:
    """Divide the images of a folder, or of an archive, among its sub-folders, sorted by name."""
    folder = Path(images)
    if folder.is_dir():
        inner = (path.name for path in folder.iterdir() if path.is_dir())
        names = sorted(name for name in inner if not name.startswith("."))
    else:
        firsts = {name.partition("/")[0] for name in source.names if "/" in name}
        names = sorted(name for name in firsts if not is_tar(name))
    require(
        len(names) > 0,
        f"--per-class: {images} holds no folders, one for each class: expected a folder of class "
        "folders",
    )
    members: dict[str, list[int]] = {name: [] for name in names}
    loose: list[int] = []
    for index, item in enumerate(source.items):
        first, slash, _ = item.name.partition("/")
        (members[first] if slash and first in members else loose).append(index)
    if loose:
        log.warning("%d images lie beside the class folders and are left out", len(loose))
    taken = {name: source.take(indices) for name, indices in members.items()}
    return {
        name: own.renamed([image.removeprefix(f"{name}/") for image in own.names])
        for name, own in taken.items()
    }


def _summary(graph: ExplanatoryGraph, path: Path) -> dict[str, Any]:
    counts = np.bincount(graph.node_layer, minlength=len(graph.layers)).tolist()
    return {
        "graph": str(path),
        "photos": graph.header.get("n_images"),
        "skipped": list(graph.header.get("skipped", ())),
        "nodes": len(graph),
        "edges": len(graph.edge_child),
        "layers": {layer.name: n for layer, n in zip(graph.layers, counts, strict=True)},
        "doubts": [doubt.to_json() for doubt in graph.doubts],
    }


def _sentences(graph: ExplanatoryGraph, path: Path) -> tuple[str, ...]:
    found = _summary(graph, path)
    layers = ", ".join(f"{name} {count}" for name, count in found["layers"].items())
    counts = (
        f"{path}: {found['nodes']} nodes ({layers}) and {found['edges']} edges "
        f"from {found['photos']} photos"
    )
    return (counts, *doubt_lines(found["doubts"]))
