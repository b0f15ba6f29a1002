"""``explgraph studio``."""

# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from explgraph.base.errors import ExplGraphError, import_extra, require
from explgraph.base.text import counted

from . import options as cli
from .base import Report
from .options import read_options, split_names
from .outputs import Written
from .terminal import say

if TYPE_CHECKING:
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.labelling.session import LabelSession
    from explgraph.networks.backbone import Backbone
    from explgraph.photos.images import ImageSource
    from explgraph.studio.serving import Place

Load = Callable[[], "Backbone"]
_SERVER = "Server"


class _Wish(NamedTuple):
    """Where the page is to be served, and whether a browser is opened."""

    host: str
    port: int
    browser: bool


def studio(
    out: Annotated[
        Path,
        Written.FOLDER,
        typer.Option(
            metavar="DIR",
            help="The folder of the labels. One that holds labels already is opened again; then "
            "it needs neither IMAGES nor a network.",
        ),
    ],
    images: Annotated[
        str | None,
        typer.Argument(metavar="[IMAGES]", help="Photos of one category, as 'explgraph mine'."),
    ] = None,
    parts: Annotated[
        str, typer.Option(metavar="A,B,C", help="Parts to label; more can be added on the page.")
    ] = "",
    graph: Annotated[
        Path | None,
        typer.Option(
            metavar="GRAPH", help="A graph of the category. Default: it is mined from IMAGES."
        ),
    ] = None,
    model: cli.GraphModel = None,
    weights: cli.Weights = None,
    background: cli.Background = None,
    boxes: cli.Boxes = None,
    label: cli.Label = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Where the page is served: others reach it only where this says so.",
            rich_help_panel=_SERVER,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, help="The port; 0 takes a free one.", rich_help_panel=_SERVER
        ),
    ] = 0,
    no_browser: Annotated[
        bool,
        typer.Option(
            "--no-browser", help="Print the address, open nothing.", rich_help_panel=_SERVER
        ),
    ] = False,
    device: cli.Device = "auto",
    batch_size: cli.BatchSize = None,
    precision: cli.Precision = "float32",
    strict: cli.Strict = False,
    as_json: cli.AsJson = False,
) -> Report:
    """Label parts on a page in your browser: click a few photos, have the part in all of them.

    The network runs once; what it gives is kept in DIR. Every answer is on the disk before the
    page says so. Ends with Ctrl-C.
    """
    from explgraph.labelling.folder import holds_session
    from explgraph.labelling.prepare import prepare
    from explgraph.photos.images import open_images

    for needed in ("starlette", "uvicorn"):
        import_extra(needed, "studio")  # before the network runs
    mined, named = _graph(graph), split_names(parts)
    if holds_session(out):
        session, load = _opened(out, mined, named), None
        if model is not None:
            load = _loading(session.graph, model, weights, device)
    else:
        if images is None or (model is None and mined is None):
            raise ExplGraphError(
                f"{out} holds no labels yet: give the photos and a network, as in 'explgraph "
                f"studio photos --model squeezenet1_0 --out {out}', or a graph with --graph"
            )
        net = _network(mined, model, weights, device)
        reading = read_options(batch_size, strict, precision=precision)
        reading |= {"boxes": boxes, "label": label}
        session = prepare(images, net, out, mined, named, background=background, **reading)
        load = lambda: net  # noqa: E731
    with ExitStack() as stack:
        stack.callback(session.close)  # if anything fails; else when the server ends
        photos = images or session.photos
        require(photos is not None, f"{out} does not say where its photos are: give IMAGES")
        source = open_images(photos, boxes=boxes, label=label).named(session.images, "labels")
        place = _Wish(host, port, not no_browser)
        result = _report(session, as_json, lambda: _serve(session, source, load, place))
        stack.pop_all()
    return result


def _graph(path: Path | None) -> ExplanatoryGraph | None:
    from explgraph.graphs.graph import ExplanatoryGraph

    return None if path is None else ExplanatoryGraph.load(path)


def _network(
    graph: ExplanatoryGraph | None, model: str | None, weights: str | None, device: str
) -> Backbone:
    from .network import graph_network, load_network

    if graph is not None:
        return graph_network(graph, model, weights, device=device)
    assert model is not None, "one of both was asked for before"
    return load_network(model, weights, device=device)


def _loading(
    graph: ExplanatoryGraph, model: str, weights: str | None, device: str
) -> Callable[[], Backbone]:
    """Return what loads the network that a graph was mined from, for explanations."""
    from .network import graph_network

    return lambda: graph_network(graph, model, weights, device=device)


def _opened(out: Path, graph: ExplanatoryGraph | None, parts: Sequence[str]) -> LabelSession:
    """Open the labels that a folder holds, with what is asked for besides."""
    from explgraph.graphs.graph_arrays import graph_hash
    from explgraph.labelling.session import LabelSession

    with ExitStack() as stack:
        session = stack.enter_context(LabelSession.open(out))
        require(
            graph is None or graph_hash(graph) == graph_hash(session.graph),
            f"{out} holds labels that were made with another graph: leave out --graph, or give "
            "another --out",
        )
        known = {part.name for part in session.parts}
        for name in parts:
            if name not in known:
                session.add_part(name)
        stack.pop_all()
    return session


def _report(session: LabelSession, as_json: bool, then: Callable[[], None]) -> Report:
    answers = {part.name: len(session.answers(part.name)) for part in session.parts}
    photos, folder = len(session.images), str(session.folder)
    data = {"labels": folder, "photos": photos, "answers": answers}
    told = ", ".join(f"{name} in {number}" for name, number in answers.items())
    text = f"{folder}: {counted(photos, 'photo')}; answered: {told or 'no part yet'}"
    return Report(data, (text,), as_json, then=then)


def _serve(session: LabelSession, source: ImageSource, load: Load | None, wish: _Wish) -> None:
    """Serve the page until Ctrl-C."""
    from explgraph.studio.app import Studio
    from explgraph.studio.desk import Desk
    from explgraph.studio.looking import Looks
    from explgraph.studio.pictures import Pictures
    from explgraph.studio.serving import open_browser, serve

    def opened(place: Place) -> None:
        say(f"Open {place.address}\nStop with Ctrl-C: every answer is kept in {session.folder}.")
        if wish.browser:
            open_browser(place)

    shown = Studio(
        Desk(session, source),
        Pictures(source, session.folder / "thumbnails"),
        Looks(session, source, load),
        command=f"explgraph studio --out {shlex.quote(str(session.folder))}",
    )
    with session, suppress(KeyboardInterrupt):
        serve(shown, host=wish.host, port=wish.port, opened=opened)
