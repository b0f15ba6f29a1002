"""The little world that runs happen in: inputs that all share, and the commands that are tried."""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from explgraph.base.tables import write_table
from tests.support.world import N_CLICKS, N_MINED, WORLD, Files

SEEN = ("--batch-size", "2", "--json")
LAYERS = "relu2,relu3"


@dataclass(frozen=True)
class Command:
    """A command line, what it writes into its working folder, and what lies there before.

    Attributes
    ----------
    arguments
        All of the line but the program's name.
    outputs
        Names in the working folder; before a run an older file is under each that is no folder.
    spooled
        Whether what is kept while it runs is kept at once, not after seconds.
    again
        What to add to go on with what an interrupted run has left.
    """

    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    spooled: bool = False
    again: tuple[str, ...] = ()


class Inputs:
    """Photos, a network and what was made of them, in a folder that is read only from."""

    def __init__(self, folder):
        folder.mkdir(parents=True)
        files = Files(WORLD, folder)
        self.model, self.graph = files.small_model, files.small_graph
        self.photos, self.background = files.zoo / "fish", files.background
        names = [path.name for path in sorted(self.photos.iterdir())][:N_CLICKS]
        self.clicks = folder / "clicks.csv"
        rows = [(name, "head", 60.0 + i, 50.0) for i, name in enumerate(names)]
        write_table(self.clicks, ("image", "part", "x", "y"), rows)
        self.parts = folder / "parts.safetensors"
        assert len(list(self.photos.iterdir())) == N_MINED

    def commands(self):
        """All commands by name; those of `KILLED` are killed."""
        net = ("--model", self.model)
        mine = ("mine", self.photos, *net, "--background", self.background, "--layers", LAYERS)
        mine = (*mine, *SEEN, "--out", "graph.safetensors")
        spool = Command(
            (*mine, "--spool", "spool"), ("graph.safetensors", "spool"), True, ("--resume",)
        )
        seen = (self.graph, self.photos, *net, *SEEN)
        photo = self.photos / "00.png"
        some = {
            "mine": Command(mine, ("graph.safetensors",)),
            "spool": spool,
            "resume": Command((*spool.arguments, "--resume"), spool.outputs, True),
            "match": Command(
                ("match", *seen, "--views", "--out", "found.safetensors", "--groups", "groups.csv"),
                ("found.safetensors", "groups.csv"),
            ),
            "parts": Command(
                ("parts", *seen, "--annotations", self.clicks, "--out", "parts.safetensors"),
                ("parts.safetensors",),
            ),
            "report": Command(
                ("report", *seen, "--nodes", "8", "--photos", "2", "--out", "report.html"),
                ("report.html",),
            ),
            "locate": Command(
                ("locate", self.parts, self.photos, *net, *SEEN, "--out", "places.csv"),
                ("places.csv",),
            ),
            "export": Command(
                (
                    *("export", self.graph, *net, "--thumbnails", "--images", self.photos),
                    *("--nodes-per-layer", "3", "--level", "nodes", "--out", "graph.svg"),
                ),
                ("graph.svg",),
            ),
            "data": Command(("export", self.graph, "--out", "graph.graphml"), ("graph.graphml",)),
            "show": Command(
                (
                    *("show", self.graph, photo, *net),
                    *("--out", "a.png", "--heatmap", "b.jpg", "--arrays", "maps.npz"),
                ),
                ("a.png", "b.jpg", "maps.npz"),
            ),
            "explain": Command(
                ("explain", photo, *net, "--target", "1", "--out", "sheet.png"), ("sheet.png",)
            ),
        }
        return {
            name: Command(tuple(map(str, c.arguments)), c.outputs, c.spooled, c.again)
            for name, c in some.items()
        }


KILLED = ("mine", "spool", "resume", "match", "parts", "report")
"""The commands that are killed; faults of calls come to all."""


def lay_out(folder, command, older):
    """Empty a working folder, and put into it what lies there before a run: ``older``, or files.

    Parameters
    ----------
    older
        A folder to copy; None: an older file under each name.
    """
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
    (folder / "tmp").mkdir(parents=True)
    if older is not None:
        shutil.copytree(older, folder, dirs_exist_ok=True)
    for name in command.outputs:
        path = folder / name
        if "." in Path(name).name and not path.exists():
            path.write_bytes(OLD)


OLD = b"what an earlier run left"
