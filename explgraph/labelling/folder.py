"""The folder of a labelling session: what it was made of, beside the journal of its answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta, Struct

from aog import PartConfig
from explgraph.base.errors import ExplGraphError, require
from explgraph.base.files import PathLike
from explgraph.base.json_text import decode_json
from explgraph.base.writing import write_bytes
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.graph_arrays import graph_hash
from explgraph.graphs.matches import Matches

SESSION, GRAPH, SEEN, ANSWERS = (
    "session.json",
    "graph.safetensors",
    "seen.safetensors",
    "answers.jsonl",
)
_SCHEMA = 1


class _SessionText(Struct, kw_only=True):
    kind: Literal["labels"]
    schema: Annotated[int, Meta(ge=1)]
    graph_hash: str
    photos: str | None = None
    config: dict[str, Any] = {}


class Material(NamedTuple):
    """What a session works with: ``found`` has views, ``photos`` is where the photos are."""

    graph: ExplanatoryGraph
    found: Matches
    photos: str | None
    config: PartConfig


def holds_session(folder: PathLike) -> bool:
    """Tell whether a folder holds a labelling session."""
    return (Path(folder) / SESSION).is_file()


def check_material(made: Material) -> None:
    """Raise `ExplGraphError` unless a session can work with this."""
    require(
        made.found.header.get("graph_hash") == graph_hash(made.graph),
        "the matches are those of another graph: match the photos with this one",
    )
    require(
        made.found.views is not None,
        "labelling needs matches with views: match(graph, net, photos, views=True)",
    )
    require(len(made.found) > 0, "there are no photos to label")
    _ = made.found.photo_sizes  # an error if unknown


def write_folder(folder: PathLike, made: Material) -> None:
    """Write what a session works with; the file that makes the folder a session comes last."""
    root = Path(folder)
    made.graph.save(root / GRAPH)
    made.found.save(root / SEEN)
    said = {
        "kind": "labels",
        "schema": _SCHEMA,
        "graph_hash": graph_hash(made.graph),
        "photos": made.photos,
        "config": made.config.to_json(),
    }
    write_bytes(root / SESSION, (json.dumps(said, indent=1, sort_keys=True) + "\n").encode())


def read_folder(folder: PathLike) -> Material:
    """Read what `write_folder` wrote.

    Raises
    ------
    ExplGraphError
        If there is no session, or a file is missing, damaged or of another session.
    """
    root = Path(folder)
    path = root / SESSION
    require(
        path.is_file(),
        f"{root} holds no labelling session ({SESSION} is missing): make one with 'explgraph "
        "studio PHOTOS --out', or LabelSession.create",
    )
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ExplGraphError(f"{path} cannot be read: {error.strerror}") from error
    said: _SessionText = decode_json(text, str(path), _SessionText)
    require(said.schema <= _SCHEMA, f"{path} is of a newer version: update explgraph")
    graph = ExplanatoryGraph.load(root / GRAPH)
    require(
        said.graph_hash == graph_hash(graph),
        f"{root / GRAPH} is not the graph that {path} was made with: put that one back",
    )
    found = Matches.load(root / SEEN, mapped=True)
    made = Material(graph, found, said.photos, PartConfig.from_json(said.config))
    check_material(made)
    return made
