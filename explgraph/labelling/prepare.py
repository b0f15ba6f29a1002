"""From photos to a labelling session: the network runs once, and what it gives is kept."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from explgraph import pipeline
from explgraph.base.errors import ExplGraphError, require
from explgraph.base.files import PathLike
from explgraph.base.formats.columns import MATCHES, VIEWS
from explgraph.base.progress import Progress, watched
from explgraph.base.writing import check_folder_writable
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.graph_arrays import graph_hash
from explgraph.graphs.matches import Matches
from explgraph.networks.backbone import Backbone
from explgraph.peaks.reading import ReadOptions, span_size
from explgraph.photos.images import ImageSource, open_images

from .folder import GRAPH, holds_session
from .session import LabelSession

MAKING = "making"
"""The folder, within that of the session, of what is not done yet."""

_GROUP = 256  # photos, at least, whose matches are kept together: less is not done again

_log = logging.getLogger("explgraph")


def prepare(
    photos: object,
    net: Backbone,
    out: PathLike,
    graph: ExplanatoryGraph | None = None,
    parts: Sequence[str] = (),
    *,
    background: object | None = None,
    seed: int = 0,
    **options: Unpack[ReadOptions],
) -> LabelSession:
    """Make a labelling session of photos, or open the one that was made of them.

    What is done is kept: if it is interrupted, the same call goes on where it was.

    Parameters
    ----------
    photos
        Of one category, in any form that `extract` takes.
    net
        The network.
    out
        The session's folder; see `LabelSession`.
    graph
        A mined graph; None: it is mined from the photos.
    parts
        Names of parts; those that the session does not have yet are added.
    background, seed
        As of `mine`, if the graph is to be mined.
    **options
        How photos are read, as of `extract`; ``progress`` as there.

    Returns
    -------
    The session, open. Photos that cannot be read are not in it.

    Raises
    ------
    ExplGraphError
        As `mine` and `match`, and if the folder holds a session of other photos or of another
        graph.
    """
    source = open_images(photos, boxes=options.get("boxes"), label=options.get("label"))
    check_folder_writable(out)
    if not holds_session(out):
        with watched(options.get("progress", True)):
            mined = graph or _mined(net, source, background, Path(out), seed, options)
            found = _matched(mined, net, source, Path(out) / MAKING, options)
        return _created(out, mined, found, parts, photos)
    session = LabelSession.open(out)
    try:
        _check_same(session, source, graph)
        known = {part.name for part in session.parts}
        for name in parts:
            if name not in known:
                session.add_part(name)
    except BaseException:
        session.close()
        raise
    return session


def _mined(
    net: Backbone,
    source: ImageSource,
    background: object | None,
    out: Path,
    seed: int,
    options: ReadOptions,
) -> ExplanatoryGraph:
    """Return the graph, which is kept as soon as it is mined."""
    path = out / GRAPH
    if path.exists():
        known = ExplanatoryGraph.load(path)
        if known.header.get("weight_hash") == net.weight_hash:
            return known
    mined = pipeline.mine(
        net,
        source,
        background=background,
        seed=seed,
        spool=out / MAKING / "peaks",
        resume=True,
        **_own(options),
    )
    mined.save(path)
    return mined


def _matched(
    graph: ExplanatoryGraph, net: Backbone, source: ImageSource, folder: Path, options: ReadOptions
) -> Matches:
    """Return the matches with views; those of each group of photos are kept."""
    size = span_size(net, options)
    size *= max(1, _GROUP // size)  # whole units: the network rounds as in one go
    progress = options.get("progress", True)
    each = []
    for first in range(0, len(source), size):
        some = source.take(range(first, min(first + size, len(source))))
        path = folder / f"seen-{first:07d}.safetensors"
        found = _kept(path, graph, some)
        if found is None:
            own = _own(options)
            own["progress"] = _counting(progress, first, len(source))
            found = pipeline.match(graph, net, some, views=True, **own)
            found.save(path)
            found = Matches.load(path, mapped=True)  # memory is for what is being looked at
        each.append(found)
    return _joined(each, folder)


def _joined(each: Sequence[Matches], folder: Path) -> Matches:
    """Put the matches of groups of photos together, in files: memory need not hold them."""
    first = each[0]
    assert first.views is not None

    def rows(called: str, arrays: list[Any]) -> Any:  # noqa: ANN401  None where one does not know
        if any(array is None for array in arrays):
            return None
        shape = (sum(map(len, arrays)), *arrays[0].shape[1:])
        room = np.memmap(folder / f"{called}.bin", arrays[0].dtype, "w+", shape=shape)
        return np.concatenate(arrays, out=room)

    views = {
        name: rows(f"views.{name}", [getattr(found.views, name) for found in each])
        for name in VIEWS
    }
    own = [name for name, column in MATCHES.items() if column.shape[0] == "N"]
    skipped = [name for found in each for name in found.header.get("skipped", ())]
    return Matches(
        images=tuple(name for found in each for name in found.images),
        node_layer=first.node_layer,
        header={**first.header, "skipped": skipped},
        views=replace(first.views, **views),
        **{name: rows(name, [getattr(found, name) for found in each]) for name in own},
    )


def _counting(progress: Progress, first: int, total: int) -> Progress:
    """Return what tells of a group of photos as of a part of all."""
    if not callable(progress):
        return progress
    return lambda done, _: progress(first + done, total)


def _own(options: ReadOptions) -> Any:  # noqa: ANN401  a copy: its entries are left out or not
    return {name: value for name, value in options.items() if name not in ("boxes", "label")}


def _kept(path: Path, graph: ExplanatoryGraph, source: ImageSource) -> Matches | None:
    """Return matches that an earlier run kept, if they are of this graph and these photos."""
    if not path.exists():
        return None
    try:
        found = Matches.load(path, mapped=True)
    except ExplGraphError as error:
        _log.warning("matches are made again: %s", error)
        return None
    names = {*found.images, *found.header.get("skipped", ())}
    same = found.header.get("graph_hash") == graph_hash(graph) and names == {*source.names}
    return found if same else None


def _created(
    out: PathLike, graph: ExplanatoryGraph, found: Matches, parts: Sequence[str], photos: object
) -> LabelSession:
    LabelSession.create(out, graph, found, parts=parts, photos=_place(photos)).close()
    shutil.rmtree(Path(out) / MAKING, ignore_errors=True)
    return LabelSession.open(out)  # whose matches lie in its file


def _place(photos: object) -> PathLike | None:
    """Return where photos are, wherever one asks from; None if no path or address says so."""
    if not isinstance(photos, str | Path):
        return None
    return Path(photos).resolve() if Path(photos).exists() else photos


def _check_same(session: LabelSession, source: ImageSource, graph: ExplanatoryGraph | None) -> None:
    known = {*session.images, *session.found.header.get("skipped", ())}
    new = [name for name in source.names if name not in known]
    gone = known.difference(source.names)
    require(
        not new and not gone,
        f"{session.folder} holds a session of other photos: {len(new)} of these are not in it, and "
        f"{len(gone)} of its own are missing. Give another folder, or the photos that it is of",
    )
    require(
        graph is None or graph_hash(graph) == graph_hash(session.graph),
        f"{session.folder} holds a session of another graph: give another folder, or no graph",
    )
