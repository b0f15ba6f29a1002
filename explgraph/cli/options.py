"""The options that several commands share, and what they mean to the library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from explgraph.base.errors import ExplGraphError, require

from .outputs import Written

if TYPE_CHECKING:
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.peaks import reading
    from explgraph.peaks.reading import ReadOptions


_NETWORK, PHOTOS = "Network", "Photos"

GraphFile = Annotated[
    Path, typer.Argument(metavar="GRAPH", help="A graph that 'explgraph mine' wrote.")
]
# Addresses such as s3://bucket/photos are no paths: a Path would lose one of the slashes.
Images = Annotated[
    str,
    typer.Argument(
        metavar="IMAGES",
        help="A folder of photos, searched with its sub-folders; a .tar, a folder of them, or "
        "'train-{000..009}.tar'; the same at an address, such as s3://bucket/photos.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="A torchvision name, timm:NAME, or your own factory as path/to/file.py:function or "
        "package.module:function.",
        rich_help_panel=_NETWORK,
    ),
]
Level = Annotated[
    str | None,
    typer.Option(
        metavar="groups|nodes",
        help="Draw part groups or single nodes. Default: groups where the graph has them and "
        "nodes would be too many to read.",
    ),
]
Edges = Annotated[
    str,
    typer.Option(
        metavar="'moves with'|'is made of'",
        help="Which edges are drawn: those along which nodes move together; or, where the graph's "
        "file holds effects, those that say what a node's response is made of.",
    ),
]
GraphModel = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="The network the graph was mined from. Needed only where the graph does not name a "
        "torchvision or timm model: your own factory is never run because a file says so.",
        rich_help_panel=_NETWORK,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="A .safetensors, .pth or .pt file, or the name of one of the model's standard "
        "weights. Default: the standard weights, downloaded once; a factory's own.",
        rich_help_panel=_NETWORK,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda",
        help="Where the network runs; auto takes a GPU if there is one.",
        rich_help_panel=_NETWORK,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="float32|bfloat16|float16",
        help="What the network computes in: half precision is faster on hardware made for it.",
        rich_help_panel=_NETWORK,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Photos per run of the network. Default: what is fastest where it runs.",
        rich_help_panel=_NETWORK,
    ),
]
Layers = Annotated[
    str,
    typer.Option(
        metavar="A,B,C",
        help="Layers to mine, as 'explgraph layers' names them, or auto.",
        rich_help_panel=_NETWORK,
    ),
]
Fit = Annotated[
    str,
    typer.Option(
        metavar="stretch|letterbox|crop",
        help="How photos are made to fit the network's input: stretched, filled up, or cut.",
        rich_help_panel=_NETWORK,
    ),
]
Background = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Photos of anything, which tell what is a strong response. Default: IMAGES.",
        rich_help_panel=PHOTOS,
    ),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        metavar="F",
        help="Object boxes, each of which becomes one item: a CSV image,x,y,width,height[,label] "
        "with the box's centre in pixels, a COCO .json, or VOC .xml (a file or a folder).",
        rich_help_panel=PHOTOS,
    ),
]
Label = Annotated[
    str | None,
    typer.Option(metavar="L", help="Take only the boxes with this label.", rich_help_panel=PHOTOS),
]
Spool = Annotated[
    Path | None,
    Written.FOLDER,
    typer.Option(
        metavar="DIR",
        help="Keep peaks in files there, not in memory: for many photos, and for runs that may be "
        "interrupted. A folder that is new, or see --resume.",
        rich_help_panel=PHOTOS,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with what --spool DIR holds, if anything. The graph is the same, byte by byte, "
        "as that of a run that was never interrupted.",
        rich_help_panel=PHOTOS,
    ),
]
_WHO = "Who does the work"

Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="N processes of this machine share the work. The result has the same bytes.",
        rich_help_panel=_WHO,
    ),
]
Dask = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="The workers of this Dask scheduler share the work; they must see --spool DIR and "
        "the photos.",
        rich_help_panel=_WHO,
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|local",
        help="Actors of this Ray cluster share the work, --workers N of them or one for each CPU; "
        "they must see --spool DIR and the photos. local starts a cluster on this machine.",
        rich_help_panel=_WHO,
    ),
]
KnownMatches = Annotated[
    Path | None,
    typer.Option(
        "--matches",
        metavar="FILE",
        help="What 'explgraph match --views' found in IMAGES: the network is not run again.",
        rich_help_panel=PHOTOS,
    ),
]
Around = Annotated[
    str | None,
    typer.Option(
        metavar="NODE",
        help="Only this node, its ancestors and descendants: number, layer/filter/part, the name "
        "that you gave it, or best.",
    ),
]
NoMirror = Annotated[
    bool,
    typer.Option("--no-mirror", help="Look at photos as given only, in half the time."),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Go on with other weights than those a graph was mined from."),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Stop at a photo that cannot be read, rather than skip it.",
        rich_help_panel=PHOTOS,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs, and nothing else, on stdout.")
]


def read_options(
    batch_size: int | None, strict: bool, mirror: bool = True, precision: str = "float32"
) -> ReadOptions:
    """Collect how photos are read; the library says which values of ``precision`` there are."""
    return {
        "batch_size": batch_size,
        "strict": strict,
        "mirror": mirror,
        "precision": cast("reading.Precision", precision),
    }


def split_names(names: str) -> tuple[str, ...]:
    """Split "A,B,C" into names, without blanks around them."""
    return tuple(name.strip() for name in names.split(",") if name.strip())


def layer_choice(layers: str) -> Literal["auto"] | Sequence[str]:
    """Return the library's form of ``--layers``."""
    return "auto" if layers == "auto" else split_names(layers)


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Split "0,1,2" into whole numbers that are not negative.

    Raises
    ------
    ExplGraphError
        Naming the option.
    """
    try:
        result = tuple(int(part) for part in split_names(text))
    except ValueError as error:
        raise ExplGraphError(f"{option} must be numbers such as 0,1,2, got {text!r}") from error
    require(
        len(result) > 0 and min(result) >= 0,
        f"{option} must be numbers such as 0,1,2, none of them negative, got {text!r}",
    )
    return result


def check_out_file(out: Path) -> None:
    """Raise `ExplGraphError` before the work begins if ``out`` can be no file of arrays."""
    require(out.suffix == ".safetensors", f"--out must end in .safetensors, got {str(out)!r}")


def node_name(graph: ExplanatoryGraph, text: str) -> str | int:
    """Read a node from the command line: digits are its number, "best" the first of the ranking.

    Unless a node is called so.
    """
    if text in graph.names.values():
        return text
    if text == "best" and len(graph):
        return int(graph.ranking()[0])
    return int(text) if text.isdecimal() else text
