"""How photos are read and shown to the network, whatever is kept of its maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal, TypedDict, get_args

import torch
from torch import Tensor

from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.base.layer import LayerSpec
from explgraph.base.progress import PHOTOS, Progress
from explgraph.networks.backbone import Backbone
from explgraph.photos.images import ImageSource
from explgraph.photos.loading import Batches, iterate_batches

from .structures import GROUP

Precision = Literal["float32", "bfloat16", "float16"]


class ReadOptions(TypedDict, total=False):
    """How photos are read and shown to the network; every entry may be left out.

    Attributes
    ----------
    boxes, label
        File of object boxes (CSV, COCO or VOC), and the only label to take: each box is an item.
    batch_size
        Photos per forward pass; None takes what is fastest on the network's device: see
        `Backbone.batch_size` (None).
    strict
        Stop at a photo that cannot be read, rather than skip, name and count it; `mine` then also
        refuses photos that it would warn of, see `DoubtfulDataWarning` (False).
    progress
        Say on standard error how far it is, by a bar on a terminal, elsewhere by a line every few
        seconds; or a function of (done, total) (True).
    workers
        Threads that decode (as many as cores, at most 8).
    deterministic
        One photo at a time on one thread: the network's rounding, too, is then the same wherever
        it runs on this machine. Several times slower (False).
    mirror
        Look at every photo's mirror image as well (True).
    maps
        Keep response maps of one layer as well, which parts are located with (False).
    precision
        What the network computes in: "bfloat16" and "float16" are faster on hardware made for them.
        All that follows is done in "float32", the default.
    """

    boxes: PathLike | None
    label: str | None
    batch_size: int | None
    strict: bool
    progress: Progress
    workers: int | None
    deterministic: bool
    mirror: bool
    maps: bool
    precision: Precision


def captured(
    net: Backbone, photos: Tensor, layers: Sequence[LayerSpec], options: ReadOptions
) -> list[Tensor]:
    """Return the layers' outputs, float32, of a network that computes as precisely as asked."""
    precision = options.get("precision", "float32")
    require(
        precision in get_args(Precision),
        f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}",
    )
    kind = getattr(torch, precision)
    with torch.autocast(net.device.type, kind, enabled=precision != "float32"):
        maps = net.capture(photos, [layer.name for layer in layers])
    if precision == "float16":
        for name, values in maps.items():
            require(
                bool(values.isfinite().all()),
                f"layer {name} gave NaN or infinite values in float16, whose largest number is "
                "65504: use precision='bfloat16' or 'float32'",
            )
    return [maps[layer.name] for layer in layers]


def batch_size(net: Backbone, options: ReadOptions) -> int:
    """Return how many photos the network sees at once."""
    wanted = net.batch_size(options.get("batch_size"))
    return 1 if options.get("deterministic", False) else wanted


def span_size(net: Backbone, options: ReadOptions) -> int:
    """Return how many photos of the source are a unit of work: whole batches, at least one."""
    batch = batch_size(net, options)
    return max(GROUP // batch, 1) * batch


def spans_of(size: int, first: int, last: int) -> list[range]:
    """Return the photos ``first`` to ``last`` - 1 of a source, by units of work.

    Units are fixed ranges of the source, whatever can be read: batches begin anew in each, so that
    the network rounds a photo alike wherever, and in whatever order, units are done.

    Parameters
    ----------
    size
        Of a unit, photos: `span_size`.
    """
    borders = [first, *range(first - first % size + size, last, size), last]
    return [range(*pair) for pair in pairwise(borders)] if first < last else []


def read_batches(
    net: Backbone,
    source: ImageSource,
    options: ReadOptions,
    called: str = PHOTOS,
    spans: Sequence[range] | None = None,
) -> Batches:
    """Decode photos into batches of network inputs, in order, in a stage ``called`` thus.

    ``spans`` as of `iterate_batches`.
    """
    return iterate_batches(
        source,
        net.preprocess,
        batch_size=batch_size(net, options),
        workers=options.get("workers"),
        strict=options.get("strict", False),
        progress=options.get("progress", True),
        called=called,
        spans=spans,
    )


@contextmanager
def steady_rounding(options: ReadOptions) -> Iterator[None]:
    """Keep the network on one thread while `deterministic` asks for it."""
    if not options.get("deterministic", False):
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
